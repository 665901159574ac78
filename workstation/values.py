"""What a single value may be: the types of which settings, stacks' data, pins and mirrors are made.

Each refuses with the end of a sentence that begins with "expected". Characters are those of ASCII
unless a type says otherwise: a digit or letter of another script only looks like one.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line breaks of any kind, and what UTF-8 cannot hold."""

LONGEST = 4096
"""Characters that a text may have: those of a path (limits.h, PATH_MAX)."""


@dataclass(frozen=True)
class Called:
    """What docs/settings.md calls a type. Pydantic passes over it."""

    name: str


@runtime_checkable
class Unmaskable(Protocol):
    """What pyinfra's ``HiddenValue`` offers, without importing pyinfra."""

    def unmask(self) -> str: ...


def form(pattern: str, expected: str) -> AfterValidator:
    """A validator for text that must match the whole of ``pattern``."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


def written(value: object) -> object:
    """A value as a person may write it. A number with a point is no text any more: 1.10 is 1.1."""
    if isinstance(value, float | bytes | bytearray):
        raise PydanticCustomError("text", "expected text: put it in quotes")
    if isinstance(value, int) and abs(value) >= 10**18:
        raise PydanticCustomError("long", "expected at most 18 digits")
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise PydanticCustomError("long", f"expected at most {LONGEST} characters")
        if re.search("[\ud800-\udfff]", value):
            raise PydanticCustomError("text", "expected text in UTF-8")
    return value


def _whole(value: object) -> object:
    """Digits; neither true, which Python counts as 1, nor 2.0, nor digits with underscores."""
    digits = isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value)
    if isinstance(value, bool) or not (isinstance(value, int) or digits):
        raise PydanticCustomError("whole", "expected a valid integer")
    return value


def is_number(value: object) -> bool:
    """Whether it is a number that a file can hold: not one of a thousand digits, nor infinity.
    True and false, which Python counts as numbers, are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 10**18 if isinstance(value, int) else math.isfinite(value)


def _real(value: object) -> object:
    if not is_number(value):
        raise PydanticCustomError("real", "expected a number")
    return value


def _path(value: str) -> str:
    """An absolute path as a file system can hold it, and a key of YAML."""
    parts = value.split("/")[1:]
    if not value.startswith("/") or not all(parts) or {".", ".."} & set(parts):
        raise ValueError("expected an absolute path without a trailing slash, such as /opt/stacks")
    if not value.isprintable():
        raise ValueError("expected a path without line breaks and invisible characters")
    if max(len(part.encode()) for part in parts) > 255 or len(value.encode()) > 1000:
        raise ValueError("expected names of at most 255 bytes, and 1000 for all of the path")
    return value


def _plain_path(value: str) -> str:
    """A path that fstab, systemd and Compose's short forms hold as it is."""
    if re.search(r"[\s:$\"'\\]", value):
        raise ValueError("expected a path without blanks, quotes, colons, dollars or backslashes")
    return _path(value)


# What a run makes there, or gives to another group, is somebody else's (hier(7)).
_SYSTEM = re.compile(
    r"/(bin|boot|dev|etc|lib|lib32|lib64|libx32|lost\+found|proc|run|sbin|sys)(/.*)?"
    r"|/usr/(bin|include|lib|lib32|lib64|libexec|libx32|sbin|src)(/.*)?"
    r"|/var/lib/(docker|containerd|dpkg|apt|systemd)(/.*)?"
    r"|/(home|media|mnt|opt|root|srv|tmp|usr|var)"
    r"|/usr/(local|share)|/var/(lib|log|cache|spool|tmp)"
)


def _own_folder(value: str) -> str:
    """A path that is not the system's."""
    if _SYSTEM.fullmatch(value):
        raise ValueError("expected a folder of its own, not one of the system")
    return value


def host_name(value: str) -> str:
    """A DNS name or an IP address. Raises ValueError."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        label = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
        looks_numeric = re.fullmatch(r"[\d.]+", value)
        if looks_numeric or len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})*", value):
            raise ValueError("expected a host name or an IP address") from None
    return value


def _domain(value: str) -> str:
    """A DNS name, below which other names can be."""
    host_name(value)
    if ":" in value or re.fullmatch(r"[0-9.]+", value):
        raise ValueError("expected a domain: below an IP address there are no names")
    return value


def _server(value: str) -> str:
    """A host name, or nothing yet."""
    return host_name(value) if value else value


def _identity(value: int) -> int:
    """A numeric user or group: not root, not nobody (65534), not the reserved -1 (65535)."""
    if not 1 <= value <= 2**31 - 1 or value in (65534, 65535):
        raise ValueError("expected a number from 1 to 2147483647, but not 65534 or 65535")
    return value


def _single_line(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("expected text without line breaks or control characters")
    return value


def _visible(value: str) -> str:
    """Text that begins and ends with what can be seen, or nothing."""
    if not value.isprintable() or value != value.strip():
        raise ValueError("expected text without blanks around it, and no invisible characters")
    return value


def words(value: object) -> object:
    """A list as it is; text from ``.env`` or ``--data`` as the words between its commas, of which
    pyinfra makes a number where it is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, set | frozenset):
        raise PydanticCustomError("list", "expected a list, which has an order: in [ ]")
    return value


def secret_text(value: object) -> object:
    """The secret's text. A number came through ``--data`` and may have lost leading zeros."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    elif isinstance(value, Unmaskable):
        value = value.unmask()
    if not isinstance(value, str):
        raise PydanticCustomError("secret", "expected text, from .env or the environment alone")
    if CONTROL.search(value) or len(value) > LONGEST:
        raise PydanticCustomError("secret", "expected one line without control characters")
    return SecretStr(value)


def distinct(values: list[str]) -> list[str]:
    """A list that has no entry twice. Raises ValueError."""
    if len(values) != len(set(values)):
        raise ValueError("expected each entry once")
    return values


def _folder_name(value: str) -> str:
    # Keys of extra_model_paths.yaml that are no folders (ComfyUI, utils/extra_config.py).
    if value in ("base_path", "is_default"):
        raise ValueError(f"expected no folder {value}, which means something else to ComfyUI")
    return value


def _variable(value: object) -> object:
    """A variable's value. Of a number with a point, what it says is as good as what was written."""
    return str(value) if isinstance(value, float) and math.isfinite(value) else value


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=2**31 - 1), Called("count")]
Real = Annotated[float, BeforeValidator(_real)]
Written = Annotated[str, BeforeValidator(written)]
AnyPath = Annotated[Written, AfterValidator(_path)]
AnyFolder = Annotated[AnyPath, AfterValidator(_own_folder)]
Folder = Annotated[
    Written, AfterValidator(_plain_path), AfterValidator(_own_folder), Called("folder")
]
Domain = Annotated[Written, AfterValidator(_domain), Called("domain")]
Server = Annotated[Written, AfterValidator(_server), Called("host name or address")]
Line = Annotated[Written, AfterValidator(_single_line), Called("text")]
Visible = Annotated[Written, AfterValidator(_visible)]
Port = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=65535), Called("port")]
# proc(5), pid_max: the most that 64-bit Linux can have.
Processes = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=2**22), Called("count")]
Identity = Annotated[int, BeforeValidator(_whole), AfterValidator(_identity), Called("numeric ID")]
FolderName = Annotated[
    Written,
    form(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", "names of folders such as checkpoints"),
    AfterValidator(_folder_name),
    Called("folder name"),
]
VariableName = Annotated[
    Written, form(r"[A-Z][A-Z0-9_]{0,254}", "variable names such as OLLAMA_DEBUG")
]
VariableValue = Annotated[Line, BeforeValidator(_variable)]
Variables = Annotated[
    dict[VariableName, VariableValue], Field(max_length=1000), Called("variables")
]
# go-units' RAMInBytes, which Compose uses; 0 is no limit.
Memory = Annotated[
    Written,
    form(r"0|\d{1,9}(\.\d{1,9})?[kmg]b?", "memory such as 512mb or 2gb (0: no limit)"),
    Called("memory"),
]
# Nothing in it means anything to YAML, a shell, a Dockerfile or a file of apt.
ADDRESS = r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?(/[A-Za-z0-9._~@+,=-]+)*/?"
"""What stands behind ``https://`` in an address, as a pattern."""
