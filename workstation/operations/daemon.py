"""The Engine's configuration: merged into, validated, loaded without stopping what runs."""

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
"""The file as the Engine has read it, until it runs with the new one; with ``.live`` the same and
live-restore: an Engine that starts without that ends what ran on while it was down."""


def configured(wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> Changes:
    """Return what merges the configuration and loads it: ``operations.docker.daemon_config``."""
    found = ask(host, Daemon)
    try:
        fit = fitted(found, wanted, defaults)
        content = content_of(found, fit)
    except DaemonJsonError as error:
        raise HostError(
            f"{found.path} on {host.name} was left untouched, because {error}: correct that, or "
            "move the file away, then run again."
        ) from error
    stake = StakeState()
    load = loading(found, content, fit.wanted, None)
    if load.step == "start" and not ask(host, Engine).complete:
        # Its packages are completed first, and it is started with them.
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
        # A plan for a machine that has no Engine yet.
        cause = "restarted if it does not know CDI by itself"
        changes.append(Change("?", "unit docker.service", cause))
    if not any(change.commands for change in changes):
        host.noop(f"{found.path} holds what it should")
    return changes


def _refuse(found: DaemonState, load: Loading, stake: StakeState) -> None:
    """Raise HostError before anything is changed where loading would do harm."""
    keys = f"{' and '.join(load.keys)} of {found.path}"
    if load.step == "by-hand":
        raise HostError(
            f"Docker on {host.name} must be restarted for {keys}, and a restart would do more than "
            f"that: {'; '.join(load.harm)}. Restart it yourself when that does no harm, or put "
            "right what is in its way, then run again."
        )
    if load.step not in ("reload", "restart") and not load.reloads:
        return
    if not found.answers:
        raise HostError(
            f"Docker runs on {host.name} and does not answer at /run/docker.sock, so {found.path} "
            "was left untouched: see `systemctl status docker` and `journalctl -u docker`, then "
            "run again."
        )
    if found.unit != "docker.service":
        raise HostError(
            f"Docker on {host.name} does not run as docker.service, but as "
            f"{found.unit or f'process {found.pid}'}, so {found.path} was left untouched: have "
            "systemd run it as docker.service, then run again."
        )
    lost = [one.name for one in stake.containers if one.removed and not one.task]
    if load.step == "restart" and not load.live and lost:
        raise HostError(
            f"Docker on {host.name} must be restarted for {keys}, and would remove what was "
            f"started with --rm: {', '.join(lost)}. End these yourself when that does no harm, "
            "then run again."
        )


def _validate(found: DaemonState, content: bytes) -> None:
    given = HiddenText(base64.b64encode(content).decode() + "\n")
    arguments = list(found.next_arguments or found.arguments)
    why = ask(host, Refusal, program=found.program, arguments=arguments, _stdin=given)
    if why:
        raise HostError(
            f"{found.path} on {host.name} was left untouched, because Docker would not start with "
            f"what stands and belongs there: {why}. Take away what is in its way, there or on "
            "Docker's command line (`systemctl cat docker`), then run again."
        )


def _written(found: DaemonState, content: bytes, load: Loading) -> Changes:
    """Return what writes the file, behind a note of what the Engine has read until now."""
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
    """Yield what becomes of the Engine and of the containers that run."""
    keys, unit, ran = " and ".join(load.keys), "unit docker.service", stake.containers
    if load.step == "later":
        cause = f"from Docker's next start on, not now: {'; '.join(load.harm)}"
        yield Change("=", f"{keys} of {found.path}", cause)
        if load.reloads:
            yield Change("~", unit, "reload", commands=[_load("reload", found, load, stake)])
    elif load.step == "restart":
        how = "no container runs"
        if ran:
            how = f"{counted(len(ran))} run on" if load.live else f"stops {counted(len(ran))}"
        if found.waiting and not found.unloaded:
            how += "; takes what somebody changed there since Docker's start as well"
        changes = [Change("~", unit, f"restart for {keys}: {how}")]
        for one in ran if not load.live else ():
            again = "Swarm starts another" if one.task else "stopped by that, then started again"
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
