"""Check what else in Ollama's unit keeps it from running, or from its models, card or clients:
sandboxes, conditions, commands before it (``systemd.exec(5)``, ``systemd.unit(5)``)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from workstation.findings import Finding
from workstation.units.files import Service, Value, words
from workstation.units.ollama import BINARY, RELEASES

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.ollama import OllamaState

_NAME = "ollama.service"
_OFF = ("", "no", "n", "false", "f", "0", "off", "all", "default", "inherit", "auto", "none")
_NETWORKED = "Ollama is cut off from the host's network, so nothing can reach it"
_ELSEWHERE = "with another root folder, Ollama finds neither the pinned release nor its models"
_WITHOUT_CARD = "this hides the card from Ollama"
_NOT_SAID = "systemd waits for a signal that Ollama never sends"

# Keys that _stops judges completely: any value it accepts is fine.
_JUDGED = (
    *("Type", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "NoExecPaths", "Conflicts"),
    *("TemporaryFileSystem", "ProtectHome", "RestrictAddressFamilies", "RootDirectory"),
    *("PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow"),
)
# Judged elsewhere, or irrelevant to whether Ollama runs and who can reach it.
_HARMLESS = re.compile(
    r"ExecStart|ExecStop|ExecStopPost|ExecReload|Environment|EnvironmentFile|UnsetEnvironment"
    r"|PassEnvironment|User|Group|SupplementaryGroups|Condition\w+|Assert\w+"
    r"|(?:Limit|CPU|IO|IPAccounting|Memory(?!Deny)|NUMA|OOM|Syslog|Log|Standard|Timeout|Tasks|Restart|StartLimit"
    r"|Block|StartupCPU|StartupIO|StartupMemory|ManagedOOM|TTY|Kill|FinalKill|SendSIG)\w*"
    r"|AllowedCPUs|AllowedMemoryNodes|Nice|UMask|KeyringMode|Slice|Delegate|SuccessExitStatus"
    r"|RemainAfterExit|GuessMainPID|PIDFile|NotifyAccess|WatchdogSec|WatchdogSignal"
    r"|(?:State|Cache|Runtime|Logs|Configuration)Directory(?:Mode|Preserve)?|CoredumpFilter"
    r"|(?:Ambient)?Capabilit\w+|SecureBits|NoNewPrivileges|LockPersonality|Personality"
    r"|Restrict(?:Realtime|SUIDSGID|Namespaces)|RemoveIPC|Private(?:Tmp|IPC|Mounts)|MountFlags"
    r"|Protect(?:Hostname|ControlGroups|Kernel(?:Logs|Modules|Tunables)|Proc)|IgnoreSIGPIPE"
    r"|Description|Documentation|SourcePath|After|Before|Wants|Upholds|PartOf|On(?:Failure|Success)"
    r"|(?:Requires|Wants)MountsFor|Propagates\w+|CollectMode|JobTimeout\w+|FailureAction"
    r"|SuccessAction|IgnoreOnIsolate|DefaultDependencies|StopWhenUnneeded|AllowIsolate|RebootArgument"
)


def overridden(key: str, seen: str, file: str, note: bool = False) -> Finding:
    """Return the finding that somebody's file sets a key to a value that does not work.

    + seen: the detail
    """
    rename = ", or rename that file so that it does not end in .conf" if "/" in file else ""
    if not file.endswith(".conf"):
        rename = ""
    return Finding(
        f"{_NAME}: {key}",
        False,
        seen,
        f"remove {key} from {file}{rename}; then run again",
        note=note,
        id="ollama-unit-override",
    )


def service_findings(
    found: OllamaState, after: Service, wanted: Service, gpu: bool
) -> Iterator[Finding]:
    """Yield the keys in somebody's files that do, or may, keep Ollama from running.

    + after: the unit with all files; wanted: the unit with our files only
    + gpu: whether Ollama needs the card
    """
    ours = {value.file for values in wanted.lists.values() for value in values}
    models = wanted.environment["OLLAMA_MODELS"].text
    yield from _conditions(found, after, models)
    yield from _variables(found, after)
    for key, values in after.lists.items():
        theirs = [one for one in values if one.file not in ours]
        if not theirs:
            continue
        last = theirs[-1]
        if reason := _stops(key, last.text, after, models, gpu):
            yield overridden(key, f"{key}={last.text} in {last.file}: {reason}", last.file)
        elif reason := _may_stop(key, theirs):
            yield overridden(
                key, f"{key}={last.text} in {last.file}: {reason}", last.file, note=True
            )


def _stops(key: str, text: str, after: Service, models: str, gpu: bool) -> str:
    """Return why a value keeps Ollama from running or being of use; empty if it does not, or only
    may."""
    on = text.lower() not in _OFF
    if key == "Type" and text not in ("simple", "exec", "idle"):
        return _NOT_SAID
    if key in ("PrivateNetwork", "NetworkNamespacePath") and on:
        return _NETWORKED
    if key in ("RootDirectory", "RootImage", "RootEphemeral") and on and text != "/":
        return _ELSEWHERE
    if key == "DynamicUser" and on:
        return f"Ollama may write only to its own folders, but its models are in {models}"
    if key == "RefuseManualStart" and on:
        return "Ollama is never started"
    if key == "Conflicts" and {"docker.service", "docker.socket", "containerd.service"} & {
        *text.split()
    }:
        return "Ollama stops Docker whenever it starts"
    if key == "RestrictAddressFamilies" and not _has_internet(after):
        return _NETWORKED
    if gpu and key in ("PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow"):
        return _WITHOUT_CARD if _hides_card(key, text, after) else ""
    return _hides_files(key, after, models)


def _has_internet(after: Service) -> bool:
    """Whether the lines together allow it: the first one says whether the list allows or denies,
    and lines of the other kind remove from it (systemd.exec(5))."""
    lines = [one.text for one in after.lists["RestrictAddressFamilies"]]
    denies, listed = lines[0].startswith("~"), set[str]()
    for line in lines:
        names = set(line.lstrip("~").split())
        if line == "none":
            denies, listed = False, set()
        elif line.startswith("~") == denies:
            listed |= names
        else:
            listed -= names
    return ("AF_INET" in listed) != denies


def _hides_card(key: str, text: str, after: Service) -> bool:
    """Whether a unit denies NVIDIA's devices; allowing one device denies all others."""
    if key == "PrivateDevices":
        return text.lower() not in _OFF
    allowed = " ".join(one.text for one in after.lists.get("DeviceAllow", ()))
    if "nvidia" in allowed:
        return False
    if key == "DevicePolicy":
        return text in ("closed", "strict")
    return text.lower() not in _OFF


def _hides_files(key: str, after: Service, models: str) -> str:
    """Return why Ollama cannot read its release or models, or cannot write its models."""
    named = [
        word.lstrip("-+").partition(":")[0]
        for one in after.lists.get(key, ())
        for word in words(one.text)
    ]
    writable = [
        word.lstrip("-+")
        for one in after.lists.get("ReadWritePaths", ())
        for word in words(one.text)
    ]
    if key == "ProtectHome" and named[-1].lower() not in _OFF:
        named, key = ["/home", "/root", "/run/user"], "ReadOnlyPaths"
    if key == "ProtectSystem" and named[-1] == "strict":
        named, key = ["/"], "ReadOnlyPaths"
    reads_only = f"Ollama may not write its models in {models}"
    # The innermost path counts, and of two equal ones, the stricter (systemd: namespace.c).
    reads = key == "ReadOnlyPaths" and _covers(named, models)
    if reads and _depth(named, models) >= _depth(writable, models):
        return reads_only
    if key in ("InaccessiblePaths", "TemporaryFileSystem", "NoExecPaths"):
        kept = (BINARY, RELEASES) if key == "NoExecPaths" else (BINARY, RELEASES, models)
        hidden = [path for path in kept if _covers(named, path)]
        return f"Ollama cannot access {hidden[0]}" if hidden else ""
    return ""


def _depth(folders: list[str], path: str) -> int:
    """Return the length of the innermost folder that contains a path; 0 if none does."""
    return max((len(one) for one in folders if _covers([one], path)), default=0)


def _covers(folders: list[str], path: str) -> bool:
    place = PurePosixPath(path)
    return any(place.is_relative_to(PurePosixPath(folder)) for folder in folders)


def _may_stop(key: str, values: list[Value]) -> str:
    """Return why Ollama might not run with a key; empty if it does."""
    if key in ("ExecStartPre", "ExecStartPost", "ExecCondition"):
        binding = [one for one in values if not one.text.startswith("-")]
        return "if that command fails, Ollama does not run" if binding else ""
    if key in ("Requires", "Requisite", "BindsTo"):
        return "if that unit does not start, neither does Ollama"
    if key in _JUDGED or _HARMLESS.fullmatch(key) or values[-1].text.lower() in _OFF:
        return ""
    return "only the checks at the end of a run will show whether Ollama runs with it"


def _conditions(found: OllamaState, after: Service, models: str) -> Iterator[Finding]:
    """Yield conditions that are false: systemd then silently does not start the unit.

    Of those with a ``|``, one must be true. Files that the run itself creates do not exist yet.
    """
    known = {**dict.fromkeys(found.met, True), **dict.fromkeys(found.unmet, False)}
    either = [one for one in after.conditions if "=|" in one.text]
    one_holds = any(known.get(one.text) for one in either)
    for one in after.conditions:
        holds = known.get(one.text)
        if holds or (one in either and one_holds):
            continue
        key, _, text = one.text.partition("=")
        place = PurePosixPath(text.lstrip("|!"))
        laid_down = any(
            place.is_relative_to(path) or PurePosixPath(path).is_relative_to(place)
            for path in (BINARY, RELEASES, models)
        )
        seen = "is false at present" if holds is False else "may be false"
        yield overridden(
            key,
            f"{one.text} in {one.file} {seen}, and Ollama is started only if it is true",
            one.file,
            note=holds is None or laid_down,
        )


def _variables(found: OllamaState, after: Service) -> Iterator[Finding]:
    """Yield the missing ``EnvironmentFile=``s, without which systemd does not start the unit."""
    known = [one.path for one in found.variables]
    for one in after.lists.get("EnvironmentFile", ()):
        pattern = one.text
        if pattern.startswith("-") or "%" in pattern or fnmatch.filter(known, pattern):
            continue
        yield overridden(
            "EnvironmentFile",
            f"{one.file} names {pattern}, which does not exist: systemd does not start Ollama "
            "without it",
            one.file,
        )
