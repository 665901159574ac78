"""Types of single values, of which settings, stacks' data, pins and mirrors are made.

Each rejects a value with the end of a sentence, which begins with "expected". Only ASCII characters
are allowed unless a type says otherwise: digits and letters of other scripts can look the same.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from workstation.compose import forms as compose_forms
from workstation.system_folders import may_be_set

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line breaks of any kind, and characters that UTF-8 cannot represent."""

LONGEST = 4096
"""Largest number of characters in a text: that of a path (limits.h, PATH_MAX)."""


@dataclass(frozen=True)
class Called:
    """The name of a type in docs/settings.md. Pydantic ignores it."""

    name: str


@runtime_checkable
class Unmaskable(Protocol):
    """The interface of pyinfra's ``HiddenValue``, without importing pyinfra."""

    def unmask(self) -> str: ...


def form(pattern: str, expected: str) -> AfterValidator:
    """Return a validator for text that must match the whole of ``pattern``."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


def written(value: object) -> object:
    """Return a value that a person may write as text. Raises an error for a number with a point,
    which may have changed: 1.10 becomes 1.1."""
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
    """Return a whole number or its digits; not true, which Python counts as 1, nor 2.0, nor digits
    with underscores."""
    digits = isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value)
    if isinstance(value, bool) or not (isinstance(value, int) or digits):
        raise PydanticCustomError("whole", "expected a valid integer")
    return value


def is_number(value: object) -> bool:
    """Return whether it is a number that fits in a file: finite, with a reasonable number of
    digits. True and false, which Python counts as numbers, do not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 10**18 if isinstance(value, int) else math.isfinite(value)


def _real(value: object) -> object:
    if not is_number(value):
        raise PydanticCustomError("real", "expected a number")
    return value


def _path(value: str) -> str:
    """Return an absolute path that fits in a file system and in a YAML key."""
    parts = value.split("/")[1:]
    if not value.startswith("/") or not all(parts) or {".", ".."} & set(parts):
        raise ValueError("expected an absolute path without a trailing slash, such as /opt/stacks")
    if not value.isprintable():
        raise ValueError("expected a path without line breaks or invisible characters")
    if max(len(part.encode()) for part in parts) > 255 or len(value.encode()) > 1000:
        raise ValueError("expected at most 255 bytes in each name and 1000 in the whole path")
    return value


def _plain_path(value: str) -> str:
    """Return a path that needs no quotes in fstab, systemd and Compose's short forms."""
    if re.search(r"[\s:$\"'\\]", value):
        raise ValueError("expected a path without spaces, quotes, colons, dollars or backslashes")
    return _path(value)


def _own_folder(value: str) -> str:
    """Return a path that does not belong to the system."""
    if not may_be_set(value):
        raise ValueError("expected a dedicated folder, not a system folder or a home folder")
    return value


def host_name(value: str) -> str:
    """Return a DNS name or an IP address, which may name an interface (``fe80::1%eth0``). Raises
    ValueError."""
    try:
        ipaddress.ip_address(value)
        # Python accepts any text as the interface.
        known = re.fullmatch(r"[^%]*(%[A-Za-z0-9_.-]{1,15})?", value) is not None
    except ValueError:
        label = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
        is_name = re.fullmatch(rf"{label}(\.{label})*", value) and len(value) <= 253
        known = bool(is_name) and not re.fullmatch(r"[\d.]+", value)
    if not known:
        raise ValueError("expected a host name or an IP address")
    return value


def _domain(value: str) -> str:
    """Return a DNS name that can have subdomains."""
    host_name(value)
    if ":" in value or re.fullmatch(r"[0-9.]+", value):
        raise ValueError("expected a domain: an IP address has no subdomains")
    return value


def _server(value: str) -> str:
    """Return a host name, or an empty string."""
    return host_name(value) if value else value


def _identity(value: int) -> int:
    """Return a numeric user or group ID: not root, nobody (65534) or the reserved -1 (65535)."""
    if not 1 <= value <= 2**31 - 1 or value in (65534, 65535):
        raise ValueError("expected a number from 1 to 2147483647, but not 65534 or 65535")
    return value


def _single_line(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("expected text without line breaks or control characters")
    return value


def _visible(value: str) -> str:
    """Return text that begins and ends with a visible character, or an empty string."""
    if not value.isprintable() or value != value.strip():
        raise ValueError("expected text without surrounding spaces or invisible characters")
    return value


def words(value: object) -> object:
    """Return a list as it is, and text from ``.env`` or ``--data`` as the words between its commas;
    pyinfra turns a single number into an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, set | frozenset):
        raise PydanticCustomError("list", "expected a list in [ ], which has an order")
    return value


def secret_text(value: object) -> object:
    """Return the secret. A number came from ``--data`` and may have lost leading zeros."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    elif isinstance(value, Unmaskable):
        value = value.unmask()
    if not isinstance(value, str):
        raise PydanticCustomError("secret", "expected text, only from .env or the environment")
    if CONTROL.search(value) or len(value) > LONGEST:
        raise PydanticCustomError("secret", "expected one line without control characters")
    return SecretStr(value)


def distinct(values: list[str]) -> list[str]:
    """Return a list without duplicates. Raises ValueError for one with duplicates."""
    if len(values) != len(set(values)):
        raise ValueError("expected each entry only once")
    return values


def memory_limit(value: Any) -> Any:
    """Return a memory size to which Docker can limit a container. Raises ValueError."""
    if expected := compose_forms.memory_limit(value):
        raise ValueError(f"expected {expected}")
    return value


def _folder_name(value: str) -> str:
    # Keys of extra_model_paths.yaml that are not folders (ComfyUI, utils/extra_config.py).
    if value in ("base_path", "is_default"):
        raise ValueError(f"expected no folder {value}, which has another meaning in ComfyUI")
    return value


def _variable(value: object) -> object:
    """Return a variable's value; a number with a point becomes text, as its exact spelling does not
    matter here."""
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
# proc(5), pid_max: the maximum on 64-bit Linux.
Processes = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=2**22), Called("count")]
Identity = Annotated[int, BeforeValidator(_whole), AfterValidator(_identity), Called("numeric ID")]
FolderName = Annotated[
    Written,
    form(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", "folder names such as checkpoints"),
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
# RAMInBytes of go-units, which Compose uses; 0 means no limit.
Memory = Annotated[
    Written,
    form(r"0|\d{1,9}(\.\d{1,9})?[kmg]b?", "a size such as 512mb or 2gb (0: no limit)"),
    AfterValidator(memory_limit),
    Called("memory"),
]
# It contains nothing with a special meaning in YAML, a shell, a Dockerfile or apt's files.
ADDRESS = r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?(/[A-Za-z0-9._~@+,=-]+)*/?"
"""A pattern for the part of an address after ``https://``."""
