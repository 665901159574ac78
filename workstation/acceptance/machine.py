"""Checks of the host itself: units, the model store, the share, disks, Ollama, names."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from workstation import scripts
from workstation.acceptance import Answer, Probe, evidence
from workstation.findings import HOST, Finding
from workstation.needs import needs
from workstation.settings import Settings
from workstation.stack import Stack
from workstation.units.ollama import BINARY, RELEASES
from workstation.units.show import blocks

_GB = 10**9
_FULL = 2 * _GB
"""Free bytes below which services fail: no space for logs, temporary files and databases."""
_COMFORTABLE = 20 * _GB
"""Free bytes that builds and models soon use up."""

_UNITS = {
    "docker.service": "docker",
    "ai-workstation-containers.service": "docker",
    "ai-workstation-guard.service": "docker",
}
_OLLAMA_UNITS = {
    "ollama.service": "ollama",
    "ollama-docker.socket": "ollama",
    "ollama-docker-guard.service": "ollama",
}
"""Units that must run -> the task that creates them; these only if a service uses native Ollama."""

_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState"

# The Engine's own folder may have been moved (data-root); a folder that does not exist is skipped.
_DISKS = """
df -Pk -- "$@" $(timeout 60 docker info -f '{{.DockerRootDir}}' 2>/dev/null) 2>&1
true
"""


def host_probes(
    settings: Settings,
    stacks: Sequence[Stack],
    further: Mapping[str, str] | None = None,
    ollama: str = "",
) -> Iterator[Probe]:
    """Yield the probes of the host; those of the model store, the share, Ollama and separate disks
    only if a stack uses them.

    + further: additional units that must run on this host -> the task that creates them
    + ollama: the required version of Ollama; empty: any
    """
    used = needs(settings, stacks)
    units = {
        **_UNITS,
        **(_OLLAMA_UNITS if used.ollama else {}),
        **({settings.smb_mount: "smb"} if used.share else {}),
        **(further or {}),
    }
    yield Probe(
        "units",
        scripts.text("acceptance/units.sh"),
        (_PROPERTIES, *units),
        "see `systemctl --failed`",
        shlex.join(["systemctl", "show", "-p", _PROPERTIES, *units]),
        read=lambda probe, answer: _unit_findings(units, answer),
    )
    if any(stack.uses(settings.models_path) for stack in stacks):
        yield Probe(
            "the model store exists and belongs to its group",
            scripts.text("acceptance/store.sh"),
            (settings.models_path, settings.store_group),
            "run tasks/storage.py",
            shlex.join(["ls", "-ld", settings.models_path]),
        )
    if used.share:
        yield Probe(
            "the share is mounted",
            scripts.text("acceptance/share.sh"),
            (settings.smb_mount, settings.smb_unc),
            f"run tasks/smb.py; see `journalctl -k --grep CIFS` and `findmnt {settings.smb_mount}`",
            shlex.join(["findmnt", settings.smb_mount]),
        )
        # Separate from the other disks: the query hangs if the file server is gone.
        yield _disk_probe("free space on the share", 'df -Pk -- "$@" 2>&1', settings.smb_mount)
    for disk in used.disks:
        yield Probe(
            f"{disk} is a disk of its own",
            scripts.text("acceptance/mounted.sh"),
            (disk,),
            "mount it (see /etc/fstab and `systemctl --failed`), then run tasks/stacks.py",
            shlex.join(["findmnt", disk]),
        )
    folders = ["/", "/var/lib/docker", settings.models_path, *used.disks]
    if used.ollama:
        folders.append(settings.ollama_models)
    yield _disk_probe("free space", _DISKS, *folders)
    if used.ollama:
        yield from _ollama_probes(str(settings.ollama_port), ollama)
        if settings.ollama_from_containers == "use":
            yield Probe(
                "containers cannot manage Ollama",
                scripts.text("acceptance/ollama_fenced.sh"),
                ("ollama-docker.socket",),
                "run tasks/ollama.py; see `journalctl -u ollama-docker.service`",
                f"curl http://ADDRESS:{settings.ollama_port}/api/delete",
            )
    yield Probe(
        "containers are closed to neighbors except for published ports",
        scripts.text("acceptance/guard.sh"),
        ("ai_workstation_forward", 'ct state new oifname "br-.*drop'),
        "run `systemctl restart ai-workstation-guard`; another firewall may have flushed it",
        "nft list table inet ai_workstation_forward",
    )
    yield Probe(
        "our containers are fenced in",
        scripts.text("acceptance/fence.sh"),
        ("ai_workstation_fence",),
        "run `systemctl restart ai-workstation-guard`; another firewall may have flushed it",
        "nft list table inet ai_workstation_fence",
    )


def _unit_findings(units: Mapping[str, str], answer: Answer) -> Iterator[Finding]:
    found = blocks(answer.output.splitlines())
    for number, (unit, task) in enumerate(units.items()):
        keys = found[number] if len(found) == len(units) else {}
        shown = f"the mount of {unit}" if unit.startswith("/") else unit
        seen = answer.detail
        if keys.get("LoadState"):
            state, enabled = keys.get("ActiveState", ""), keys.get("UnitFileState") or "no file"
            seen = f"{state} ({keys.get('SubState', '')}), {enabled}"
        if keys.get("LoadState") == "not-found":
            seen = "this unit does not exist"
        yield Finding(
            f"{shown} is active and enabled",
            keys.get("ActiveState") == "active"
            and keys.get("UnitFileState") in ("enabled", "static", "generated"),
            seen,
            f"see `systemctl status {unit}`, then run tasks/{task}.py",
            evidence(
                shlex.join(["systemctl", "show", "-p", _PROPERTIES, unit]),
                "\n".join(f"{key}={value}" for key, value in keys.items()) or answer.output,
                answer.status,
            ),
            HOST,
        )


def _disk_probe(name: str, script: str, *folders: str) -> Probe:
    return Probe(
        name,
        script,
        folders,
        "free up space: `docker system df` shows what Docker uses, `du -xh --max-depth=2 / | sort "
        "-h` shows the rest",
        shlex.join(["df", "-Pk", *folders]),
        read=_disk_findings,
    )


_DF_LINE = re.compile(r"(.*?) +(\d+) +\d+ +(-?\d+) +\S+ +(/.*)")
"""``df -P``: file system, size, used, available, capacity, mountpoint (POSIX)."""


def _disk_findings(probe: Probe, answer: Answer) -> Iterator[Finding]:
    found = [_DF_LINE.fullmatch(line) for line in answer.output.splitlines()]
    disks = {line[4]: (int(line[3]) * 1024, int(line[2]) * 1024) for line in found if line}
    if not disks:
        yield probe.finding(False, answer.detail, answer)
    for mountpoint, (free, size) in disks.items():
        one = replace(probe, name=f"free space on {mountpoint}")
        seen = f"{free / _GB:.{0 if free >= 10 * _GB else 1}f} of {size / _GB:.0f} GB are free"
        finding = one.finding(free >= _COMFORTABLE, seen, answer)
        yield replace(finding, note=_FULL <= free < _COMFORTABLE)


def _ollama_probes(port: str, version: str) -> Iterator[Probe]:
    url = f"http://127.0.0.1:{port}/api/version"
    yield Probe(
        "Ollama runs the pinned release",
        scripts.text("acceptance/ollama_runs.sh"),
        (BINARY, RELEASES),
        "run tasks/ollama.py; look for a drop-in with ExecStart in `systemctl cat ollama.service`",
        f"readlink -f {BINARY} /proc/$(systemctl show -P MainPID ollama.service)/exe",
    )
    yield Probe(
        "Ollama answers on the host",
        scripts.text("acceptance/ollama_answers.sh"),
        (url, version),
        "run tasks/ollama.py; see `journalctl -u ollama`",
        f"curl {url}",
    )
    yield Probe(
        "Ollama does not answer on the LAN",
        scripts.text("acceptance/not_on_lan.sh"),
        (port,),
        "run tasks/ollama.py; look for OLLAMA_HOST in drop-ins of ollama.service",
        f"curl http://ADDRESS:{port}/; ss -Hltnp 'sport = :{port}'",
    )
    yield Probe(
        "Ollama's socket for containers is closed to neighbors",
        scripts.text("acceptance/guard.sh"),
        ("ai_workstation", f"dport {port} .*drop"),
        "run `systemctl restart ollama-docker-guard.service`; another firewall may have flushed it",
        "nft list table inet ai_workstation",
    )


def name_probe(stacks: Sequence[Stack]) -> Probe | None:
    """Return the probe that checks that the names of routed services resolve to this machine; None
    if there are no names."""
    names = {
        f"{stack.name}/{service.name}": service.host
        for stack in stacks
        for service in stack.running
        if service.host
    }
    if not names:
        return None
    asked = sorted({name for name in names.values() if not _is_local(name)})
    return Probe(
        "names resolve",
        scripts.text("acceptance/names.sh"),
        tuple(asked),
        "see `resolvectl status`",
        "getent hosts",
        read=lambda probe, answer: _name_findings(names, answer),
    )


def _is_local(name: str) -> bool:
    """Whether a name means the local machine on every machine (RFC 6761, 6.3)."""
    return name.endswith(".localhost")


def _name_findings(names: Mapping[str, str], answer: Answer) -> Iterator[Finding]:
    """Yield a finding per name. One that the host itself cannot resolve is a note, because the
    LAN's name server may know it."""
    lines = [line.split() for line in answer.output.splitlines()]
    own = [words[1] for words in lines if words[:1] == ["own"]]
    found = {words[1]: words[2:] for words in lines if words[:1] == ["name"]}
    here = own[0] if own else "the machine's address"
    for subject, name in names.items():
        addresses = found.get(name, [])
        if _is_local(name):
            seen, good = "on every machine, it means that machine itself", True
        elif not addresses:
            seen, good = "it has no address", False
        else:
            good = not set(addresses).isdisjoint(own)
            seen = ", ".join(addresses) + ("" if good else f", not this machine's {here}")
            if not good and all(ipaddress.ip_address(one).is_loopback for one in addresses):
                seen = f"{', '.join(addresses)}, which proves nothing for the LAN"
        zone = name.partition(".")[2]
        yield Finding(
            f"{subject}'s name resolves",
            good,
            f"{name}: {seen}",
            f"give `*.{zone}` the address {here} in the LAN's DNS server, or add the line "
            f"`{here} {name}` to the hosts file of every machine that opens it",
            evidence(f"getent hosts {name}", " ".join(addresses) or "nothing"),
            subject,
            note=not good,
        )
