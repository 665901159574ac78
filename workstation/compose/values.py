"""Values of a Compose file: text of a certain form, numbers, and fixed words.

Sources: docs.docker.com/reference/compose-file, compose-go 2.9, moby 28 (values that the Engine
rejects when it creates a container), docker/go-units, capabilities(7), signal(7).
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator
from typing import Any

from workstation.compose.forms import (
    FLAG,
    NAME,
    NOTHING,
    TEXT,
    Form,
    Path,
    Problem,
    checked,
    duration,
    either,
    keys,
    listed,
    named_by,
    pattern,
    scalar,
    size,
    whole,
    words,
)

_CAPABILITIES = words(
    """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE
    DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN
    MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID
    SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO
    SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM ALL
    """
)
_SIGNALS = words(
    """
    ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP
    SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ
    """
)
# docker/go-units, ulimit.go.
ULIMITS = words(
    """
    core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
    """
)
LOG_DRIVERS = words("json-file local journald syslog gelf fluentd awslogs splunk gcplogs none")

IDENTIFIER = pattern(r"[A-Za-z0-9._-]+", "letters, digits, dots, dashes and underscores")
DURATION = checked(duration)
SIZE = checked(size)
TEXTS = listed(TEXT, "a list of strings")
LINES = either(TEXT, TEXTS)


def _command(value: Any) -> str:
    """Return what was expected, or an empty string for a command that Compose can split, which it
    does like a shell (mattn/go-shellwords)."""
    if not isinstance(value, str):
        return "text"
    try:
        shlex.split(value)
    except ValueError:
        return "a command without unclosed quotes"
    return ""


COMMAND = either(TEXTS, NOTHING, checked(_command))
VALUE = scalar(
    "text, a number, true, false or nothing",
    lambda value: value is None or isinstance(value, str | int | float),
)
PAIRS = either(named_by(NAME, VALUE, "a mapping"), TEXTS)
VARIABLES = either(
    named_by(pattern(r"[^=\0]+", "a variable name, without `=`"), VALUE, "a mapping"),
    listed(pattern(r"(?s)[^=\0]+(=.*)?", "NAME=value"), "a list of NAME=value"),
)
REPLICAS = whole(0, 2**31 - 1)


def _address(value: Any) -> str:
    try:
        ipaddress.ip_address(value.strip("[]") if isinstance(value, str) else "")
    except ValueError:
        return "an IP address"
    return ""


def reached(value: Any) -> str:
    return "" if value == "host-gateway" or not _address(value) else "an IP address or host-gateway"


def extra_host(value: Any) -> str:
    """Return what was expected, or an empty string for ``name=address`` or ``name:address``
    (opts.ValidateExtraHost of docker/cli)."""
    name, separator, address = (
        re.split(r"([=:])", value, maxsplit=1)
        if isinstance(value, str) and re.search("[=:]", value)
        else ("", "", "")
    )
    known = name and separator and not reached(address)
    return "" if known else "a name and an address, such as nas:192.168.0.6"


JOINED_TO = r"(?:service|container):[A-Za-z0-9][A-Za-z0-9_.-]*"
"""A regular expression for the names of other services or containers."""

ADDRESS = checked(_address)
PRIVILEGE = scalar(
    "a Linux capability, such as NET_ADMIN",
    lambda value: isinstance(value, str) and value.upper().removeprefix("CAP_") in _CAPABILITIES,
    _CAPABILITIES,
)
SIGNAL = scalar(
    "a signal, such as SIGTERM",
    lambda value: (
        isinstance(value, str)
        and (
            value.upper().removeprefix("SIG") in _SIGNALS
            or bool(
                re.fullmatch(r"([1-9]|[1-5][0-9]|6[0-4])|(?i:SIGRT(MIN\+|MAX-)[0-9]{1,2})", value)
            )
        )
    ),
    [f"SIG{name}" for name in _SIGNALS],
)
_OPTIONS = ("no-new-privileges", "apparmor", "seccomp", "label", "systempaths", "writable-cgroups")
SECURITY = scalar(
    f"one of {', '.join(_OPTIONS)}, with its value",
    lambda value: (
        isinstance(value, str)
        and bool(
            re.fullmatch(
                r"no-new-privileges([=:](true|false))?|(apparmor|seccomp|label)[=:].+"
                r"|systempaths[=:]unconfined|writable-cgroups[=:](true|false)",
                value,
            )
        )
    ),
    ["no-new-privileges:true", "no-new-privileges=true", "systempaths=unconfined"],
)


def _health_test(value: Any, path: Path) -> Iterator[Problem]:
    yield from LINES.problems(value, path)
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        return
    if value[0] not in ("CMD", "CMD-SHELL", "NONE"):
        yield (
            (*path, 0),
            f"is {value[0]!r}: expected CMD, CMD-SHELL or NONE before the command"[:200],
        )
    elif (value[0] == "CMD" and len(value) < 2) or (value[0] == "CMD-SHELL" and len(value) != 2):
        more = "the command as one string" if value[0] == "CMD-SHELL" else "the words of a command"
        yield path, f"has {len(value) - 1} entries after {value[0]}: expected {more}"


HEALTH = keys(
    {
        "test": Form("a command", list, _health_test),
        "interval": DURATION,
        "timeout": DURATION,
        "start_period": DURATION,
        "start_interval": DURATION,
        "retries": whole(0, 2**31 - 1),
        "disable": FLAG,
    }
)
NUMBER = scalar(
    "a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)
)
NUMBERS = named_by(NAME, either(TEXT, NUMBER), "a mapping of names to strings")
MAC = pattern(r"(?i)[0-9a-f]{2}([:-][0-9a-f]{2}){5}", "an address such as 02:42:ac:11:65:43")


def _network(value: Any) -> str:
    try:
        ipaddress.ip_network(value if isinstance(value, str) and "/" in value else "", False)
    except ValueError:
        return "a network such as 172.30.0.0/24"
    return ""


NETWORK = checked(_network)

EXPOSED = either(
    whole(1, 65535, text=False),
    pattern(r"[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?", "a port, such as 8080"),
)
