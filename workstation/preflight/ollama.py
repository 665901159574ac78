"""What somebody has configured for Ollama's unit, and what of it will hold beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workstation.findings import Finding
from workstation.ollama_unit import BINARY, UNIT, USER
from workstation.unit_files import Service, UnitFile, Value, command, service, with_file

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.ollama import OllamaState

_NAME = "ollama.service"


def unit_findings(found: OllamaState, unit: UnitFile, drop_in: UnitFile) -> Iterator[Finding]:
    """Yield what of the unit is not as the stacks need it, though our files are there.

    + unit, drop_in: ours

    A drop-in of somebody else's is never changed: one that keeps the pinned release from running,
    or opens it to the LAN, stops the run, and what gives way to ours is a note.
    """
    if found.masked:
        yield Finding(
            _NAME,
            False,
            f"it is masked: {found.masked} leads to /dev/null",
            "run `systemctl unmask ollama.service` on the host",
        )
        return
    before = service([*([found.unit] if found.unit else []), *found.drop_ins], found.variables)
    after = service([unit, *with_file(found.drop_ins, drop_in)], found.variables)
    wanted = service([unit, drop_in])
    overridden = [
        *_starts(after),
        *_runs_as(after, wanted),
        *_environment(after, wanted),
    ]
    yield from overridden
    if not overridden:
        yield Finding(_NAME, True, "no drop-in overrides what this project needs of it")
    yield from _giving_way(found, before, after)


def _starts(after: Service) -> Iterator[Finding]:
    """Yield whether the pinned release is what is started."""
    if len(after.start) != 1:
        files = " and ".join(dict.fromkeys(one.file for one in after.start[1:])) or "a drop-in"
        yield _overridden(
            "ExecStart",
            f"{files} makes it {len(after.start)} commands, which systemd refuses",
            files,
        )
        return
    (start,) = after.start
    parts = command(start.text)
    # nice, numactl or a shell may stand before it.
    if any(part in (BINARY, "ollama") or BINARY in part.split() for part in parts):
        return
    program = parts[0] if parts else "nothing"
    yield _overridden(
        "ExecStart",
        f"it starts {program}, not the pinned release: {start.file} says so",
        start.file,
    )


def _runs_as(after: Service, wanted: Service) -> Iterator[Finding]:
    for key in ("User", "Group"):
        value = after.settings.get(key, Value("", ""))
        if value.text == wanted.settings[key].text:
            continue
        who = value.text or "root"
        # root can read and write everything; so can its own user in whatever group.
        harmless = key == "Group" or who in ("root", "0")
        yield _overridden(
            key,
            f"{value.file} has it run as {key.lower()} {who}, and its models belong to {USER}",
            value.file,
            note=harmless,
        )


def _environment(after: Service, wanted: Service) -> Iterator[Finding]:
    """Yield what of our variables has another value; the first two decide who reaches it and where
    its models are."""
    for name, ours in wanted.environment.items():
        value = after.environment.get(name)
        if value is not None and _same(name, value.text, ours.text):
            continue
        seen = f"{value.file} sets it to {value.text}" if value else "a drop-in takes it away"
        yield _overridden(
            name,
            f"{seen}, not {ours.text}",
            value.file if value else "that drop-in",
            note=name not in ("OLLAMA_HOST", "OLLAMA_MODELS"),
        )


def _same(name: str, one: str, other: str) -> bool:
    """Whether two values say the same to Ollama (envconfig/config.go, Host and Models)."""
    if name == "OLLAMA_HOST":
        return _address(one) == _address(other)
    if name == "OLLAMA_MODELS":
        return one.rstrip("/") == other.rstrip("/")
    return one == other


def _address(text: str) -> tuple[str, str]:
    """Return host and port that Ollama listens on; both have a default."""
    place = text.strip().strip("\"'").rpartition("://")[2].partition("/")[0]
    host, separator, port = place.rpartition(":")
    if not separator or not port.isdigit():
        host, port = place, "11434"
    return {"localhost": "127.0.0.1", "": "127.0.0.1"}.get(host, host), port


def _overridden(key: str, seen: str, file: str, note: bool = False) -> Finding:
    rename = ", or rename that file so that it does not end in .conf" if "/" in file else ""
    if not file.endswith(".conf"):
        rename = ""
    return Finding(
        f"{_NAME}: {key}",
        False,
        seen,
        f"take {key} out of {file}{rename}; then run again",
        note=note,
    )


def _giving_way(found: OllamaState, before: Service, after: Service) -> Iterator[Finding]:
    """Yield what holds now and will not: once ours are there, nothing."""
    if found.unit and found.unit.path != UNIT:
        yield Finding(
            f"{_NAME}: file",
            False,
            f"{found.unit.path} gives way to {UNIT}, which starts the pinned release",
            f"keep it as it is: remove {UNIT} and its drop-in to have it back",
            note=True,
        )
    elif found.unit and before.start and not any(BINARY in one.text for one in before.start):
        yield Finding(
            f"{_NAME}: file",
            False,
            f"it starts {command(before.start[0].text)[0]} and gives way to the pinned release",
            f"find yours in {UNIT}.before-ai-workstation",
            note=True,
        )
    now, then = before.environment.get("OLLAMA_HOST"), after.environment.get("OLLAMA_HOST")
    if now and then and not _same("OLLAMA_HOST", now.text, then.text) and now.file != then.file:
        yield Finding(
            f"{_NAME}: OLLAMA_HOST",
            False,
            f"{now.text} in {now.file} gives way to {then.text}: it will answer on loopback and to "
            "containers alone",
            "reach it from elsewhere through a tunnel: `ssh -L 11434:127.0.0.1:11434`",
            note=True,
        )
