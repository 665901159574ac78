"""The Engine's configuration: merged, validated, and loaded without stopping containers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pyinfra import host, state
from pyinfra.api import FunctionCommand

from workstation import scripts
from workstation.docker.daemon import (
    RELOADED,
    Loading,
    content_of,
    counted,
    fitted,
    forgets,
    loading,
    once_loaded,
)
from workstation.docker.daemon_json import DaemonJsonError, merge
from workstation.errors import HostError
from workstation.facts.asking import ask, expect
from workstation.facts.daemon import UNLOADED, Daemon, DaemonState, Refusal, Stake, StakeState
from workstation.facts.docker import Engine
from workstation.facts.shell import HiddenText, script
from workstation.operations import files
from workstation.operations.live import live
from workstation.plan import Change, Changes, Group, together

BEFORE = "/run/ai-workstation.docker-before"
"""Copy of the file that the Engine has read, kept until it runs with the new one. ``.live`` is the
same plus live-restore: an Engine that starts without live-restore stops the containers that kept
running while it was down."""


def configured(wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> Changes:
    """Return the changes that merge and load the configuration: see
    ``operations.docker.daemon_config``."""
    found = ask(host, Daemon)
    try:
        fit = fitted(found, wanted, defaults)
        content = content_of(found, fit)
    except DaemonJsonError as error:
        raise HostError(
            f"{found.path} on {host.name} was left untouched because {error}: correct it, or "
            "move the file away, then run again.",
            id="daemon-json-invalid",
        ) from error
    stake = StakeState()
    load = loading(found, content, fit.wanted, None)
    if load.step == "start" and not ask(host, Engine).complete:
        # Its packages are completed first, which also starts it.
        load = Loading()
    if load.step in ("restart", "later", "by-hand"):
        stake = ask(host, Stake)
        load = loading(found, content, fit.wanted, stake)
    _refuse(found, load, stake)
    changes: list[Change | Group] = []
    if content != found.content:
        if found.program:
            _validate(found, content)
        changes += _written(found, content, load)
        changes += [
            Change("=", f"{key} of {found.path}", f"left out: {reason}")
            for key, reason in fit.left_out
        ]
    changes += _loaded(found, load, stake)
    if found.program and not state.is_executing:
        expect(host, Daemon, once_loaded(found, content, load))
    if not found.program and "features" in fit.wanted:
        # Planning for a machine that has no Engine yet.
        cause = "restarted if CDI is not enabled by default"
        changes.append(Change("?", "unit docker.service", cause))
    if not any(change.commands for change in changes):
        host.noop(f"{found.path} is up to date")
    return changes


def _refuse(found: DaemonState, load: Loading, stake: StakeState) -> None:
    """Raise HostError before anything is changed if loading would do harm."""
    keys = f"{' and '.join(load.keys)} of {found.path}"
    if load.step == "by-hand":
        raise HostError(
            f"Docker on {host.name} must be restarted to apply {keys}, but a restart would do more "
            f"than that: {'; '.join(load.harm)}. Restart it yourself when that is safe, or remove "
            "the obstacle, then run again.",
            id="docker-restart-unsafe",
        )
    if load.step not in ("reload", "restart") and not load.reloads:
        return
    if not found.answers:
        raise HostError(
            f"Docker is running on {host.name} but does not answer on /run/docker.sock, so "
            f"{found.path} was left untouched: check `systemctl status docker` and `journalctl -u "
            "docker`, then run again.",
            id="docker-not-answering",
        )
    if found.unit != "docker.service":
        raise HostError(
            f"Docker on {host.name} runs as {found.unit or f'process {found.pid}'} instead of "
            f"docker.service, so {found.path} was left untouched: let systemd run it as "
            "docker.service, then run again.",
            id="docker-wrong-unit",
        )
    lost = [one.name for one in stake.containers if one.removed and not one.task]
    if load.step == "restart" and not load.live and lost:
        raise HostError(
            f"Docker on {host.name} must be restarted to apply {keys}, which would remove "
            f"containers started with --rm: {', '.join(lost)}. Stop them yourself when that is "
            "safe, then run again.",
            id="docker-restart-unsafe",
        )


def _validate(found: DaemonState, content: bytes) -> None:
    given = HiddenText(base64.b64encode(content).decode() + "\n")
    arguments = list(found.next_arguments or found.arguments)
    why = ask(host, Refusal, program=found.program, arguments=arguments, _stdin=given)
    if why:
        raise HostError(
            f"{found.path} on {host.name} was left untouched because Docker would not start with "
            f"its content and the keys to be added: {why}. Remove the conflicting option from the "
            "file or from Docker's command line (`systemctl cat docker`), then run again.",
            id="daemon-json-rejected",
        )


def _written(found: DaemonState, content: bytes, load: Loading) -> Changes:
    """Return the changes that write the file, after noting what the Engine has read until now."""
    entries: list[files.Entry] = [files.File(found.path, content, mode="", backup=True)]
    if found.content is None:
        entries.insert(0, files.Directory(found.path.rpartition("/")[0]))
    writing = list(files.present.changes(entries=entries))
    if not (load.step and writing):
        return writing
    old = merge(found.content, {"live-restore": True}) if load.live else b""
    remember = script(
        *(scripts.text("daemon/remember.sh"), found.path, UNLOADED, BEFORE, found.invocation),
        *load.keys,
        *(load.reloads if load.step != "restart" else ()),
        stdin=base64.b64encode(old).decode() + "\n",
    )
    return [together(writing, before=[remember])]


def _loaded(found: DaemonState, load: Loading, stake: StakeState) -> Changes:
    """Yield the changes to the Engine and to running containers."""
    keys, unit, ran = " and ".join(load.keys), "unit docker.service", stake.containers
    if load.step == "later":
        cause = f"takes effect when Docker next starts, not now: {'; '.join(load.harm)}"
        yield Change("=", f"{keys} of {found.path}", cause)
        if load.reloads:
            yield Change("~", unit, "reload", commands=[_load("reload", found, load, stake)])
    elif load.step == "restart":
        how = "no containers are running"
        if ran:
            how = f"{'keeps' if load.live else 'stops'} {counted(len(ran))}"
            how += " running" if load.live else ""
        if found.waiting and not found.unloaded:
            how += "; also applies other changes made there since Docker started"
        changes = [Change("~", unit, f"restart to apply {keys}: {how}")]
        for one in ran if not load.live else ():
            again = "replaced by Swarm" if one.task else "stopped by the restart, then started"
            changes.append(Change("~", f"container {one.name}", again))
        yield together(changes, [_load("restart", found, load, stake)])
    elif load.step:
        yield Change("~", unit, load.step, commands=[_load(load.step, found, load, stake)])


def _load(step: str, found: DaemonState, load: Loading, stake: StakeState) -> FunctionCommand:
    live_restore, lost = ("yes" if one else "" for one in (load.live, forgets(found)))
    reloaded = "|".join(sorted(RELOADED))
    arguments = (step, found.path, UNLOADED, BEFORE, live_restore, lost, reloaded)
    again = [one.id for one in stake.containers if not (load.live or one.task)]
    return live(script(scripts.text("daemon/load.sh"), *arguments, *again))
