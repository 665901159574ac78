"""Check what others have configured for Ollama's unit, and how it combines with our files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from workstation.findings import Finding
from workstation.preflight.ollama_service import overridden, service_findings
from workstation.units.commands import Started, started
from workstation.units.files import Service, UnitFile, Value, service, with_file
from workstation.units.ollama import BINARY, UNIT, USER

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.ollama import OllamaState

_NAME = "ollama.service"
_FOLDER = str(PurePosixPath(BINARY).parent)
_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin")


def unit_findings(
    found: OllamaState, unit: UnitFile, drop_in: UnitFile, gpu: bool = True
) -> Iterator[Finding]:
    """Yield what the stacks need of the unit but will not get, even with our files in place.

    + unit, drop_in: our files
    + gpu: whether Ollama needs the card

    A run never changes anybody else's drop-in. One that keeps the pinned release from running, or
    opens it to the LAN, stops the run. One that our files override, or that may keep Ollama from
    running, is a note.
    """
    if found.masked:
        yield Finding(
            _NAME,
            False,
            f"it is masked: {found.masked} links to /dev/null",
            "run `systemctl unmask ollama.service` on the host",
            id="ollama-masked",
        )
        return
    before = service([*([found.unit] if found.unit else []), *found.drop_ins], found.variables)
    after = service([unit, *with_file(found.drop_ins, drop_in)], found.variables)
    wanted = service([unit, drop_in])
    line = after.start[0] if after.start else Value("", "")
    starts = started(line, after.environment)
    problems = [
        *_starts(after, starts),
        *_runs_as(after, wanted, starts),
        *_environment(starts, wanted),
        *service_findings(found, after, wanted, gpu),
    ]
    yield from problems
    if not problems:
        yield Finding(
            _NAME,
            True,
            "no drop-in overrides the settings that this project needs",
            id="ollama-unit-override",
        )
    yield from _giving_way(found, before, after)


def _starts(after: Service, starts: Started) -> Iterator[Finding]:
    """Yield a finding if the unit starts anything but the server of the pinned release."""
    if len(after.start) != 1 or starts.several:
        files = " and ".join(dict.fromkeys(one.file for one in after.start[1:])) or "a drop-in"
        several = f"{len(after.start)} commands" if len(after.start) != 1 else "several commands"
        files = after.start[0].file if starts.several else files
        seen = f"{files} turns it into {several}, which systemd rejects"
        yield overridden("ExecStart", seen, files)
        return
    file = after.start[0].file
    if seen := _other_program(starts):
        yield overridden("ExecStart", f"{file} makes it start {seen}", file)
        return
    for read in starts.reads:
        seen = f"{file} makes it read {read} first, which may set variables for Ollama"
        yield overridden("ExecStart", seen, file, note=True)


def _other_program(starts: Started) -> str:
    """Return what is started instead of the pinned release's server; empty if nothing else is."""
    if starts.program not in (BINARY, PurePosixPath(BINARY).name):
        return f"{starts.program or 'nothing'} instead of the pinned release"
    if starts.words[1:2] not in (("serve",), ("start",)):
        return f"`{' '.join(starts.words)}` instead of the server of the pinned release"
    path = starts.environment.get("PATH")
    if starts.program != BINARY and starts.searched and path:
        folders = path.text.split(":")
        place = folders.index(_FOLDER) if _FOLDER in folders else len(folders)
        if first := [one for one in folders[:place] if one not in _SYSTEM]:
            return f"the ollama in {first[0]}, if there is one, instead of the pinned release"
        if place == len(folders):
            return "an ollama found in PATH instead of the pinned release"
    return ""


def _runs_as(after: Service, wanted: Service, starts: Started) -> Iterator[Finding]:
    if starts.privileged:
        file = after.start[0].file
        yield overridden("User", f"{file} makes it run as root (+ or !)", file, note=True)
    for key in ("User", "Group"):
        value = after.settings.get(key, Value("", ""))
        if value.text == wanted.settings[key].text:
            continue
        who = value.text or "root"
        # root can read and write everything, and so can Ollama's own user in any group.
        harmless = key == "Group" or who in ("root", "0")
        yield overridden(
            key,
            f"{value.file} makes it run as {key.lower()} {who}, but its models belong to {USER}",
            value.file,
            note=harmless,
        )


def _environment(starts: Started, wanted: Service) -> Iterator[Finding]:
    """Yield our variables that have another value. OLLAMA_HOST and OLLAMA_MODELS decide who can
    reach it and where its models are, so they stop the run."""
    for name, ours in wanted.environment.items():
        value = starts.environment.get(name)
        if value is not None and _same(name, value.text, ours.text):
            continue
        seen = f"{value.file} sets it to {value.text}" if value else "a drop-in removes it"
        yield overridden(
            name,
            f"{seen} instead of {ours.text}",
            value.file if value else "that drop-in",
            note=name not in ("OLLAMA_HOST", "OLLAMA_MODELS"),
        )


def _same(name: str, one: str, other: str) -> bool:
    """Whether two values mean the same to Ollama (envconfig/config.go, Host and Models)."""
    if name == "OLLAMA_HOST":
        return _address(one) == _address(other)
    if name == "OLLAMA_MODELS":
        return one.rstrip("/") == other.rstrip("/")
    return one == other


def _address(text: str) -> tuple[str, str]:
    """Return the host and port that Ollama listens on; both have a default."""
    place = text.strip().strip("\"'").rpartition("://")[2].partition("/")[0]
    host, separator, port = place.rpartition(":")
    if not separator or not port.isdigit():
        host, port = place, "11434"
    return {"localhost": "127.0.0.1", "": "127.0.0.1"}.get(host, host), port


def _giving_way(found: OllamaState, before: Service, after: Service) -> Iterator[Finding]:
    """Yield what our files will override; nothing once they are in place."""
    if found.unit and found.unit.path != UNIT:
        yield Finding(
            f"{_NAME}: file",
            False,
            f"{UNIT}, which starts the pinned release, will override {found.unit.path}",
            f"nothing to do; to return to your unit later, remove {UNIT} and its drop-in",
            note=True,
            id="ollama-unit-replaced",
        )
    elif found.unit and (other := _own_program(found.unit, before)):
        yield Finding(
            f"{_NAME}: file",
            False,
            f"it starts {other} and will be replaced by a unit for the pinned release",
            f"nothing to do; your unit is kept as {UNIT}.before-ai-workstation",
            note=True,
            id="ollama-unit-replaced",
        )
    now, then = before.environment.get("OLLAMA_HOST"), after.environment.get("OLLAMA_HOST")
    if now and then and not _same("OLLAMA_HOST", now.text, then.text) and now.file != then.file:
        yield Finding(
            f"{_NAME}: OLLAMA_HOST",
            False,
            f"{then.text} will override {now.text} from {now.file}: Ollama will answer only on "
            "loopback and to containers",
            "use a tunnel to reach it from elsewhere: `ssh -L 11434:127.0.0.1:11434`",
            note=True,
            id="ollama-unit-replaced",
        )


def _own_program(unit: UnitFile, before: Service) -> str:
    """Return the program that a unit file, not a drop-in, starts instead of the pinned release."""
    if not before.start or before.start[0].file != unit.path:
        return ""
    starts = started(before.start[0], before.environment)
    return starts.program if _other_program(starts) else ""
