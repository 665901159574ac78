"""The types for settings of a stack in ``templates/stacks/<stack>/_data.yml``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from workstation.compose import forms as compose_forms
from workstation.compose.fence import Egress
from workstation.values import (
    AnyFolder,
    AnyPath,
    Count,
    Identity,
    Port,
    Real,
    VariableValue,
    Visible,
    Whole,
    Written,
    distinct,
    form,
    is_number,
    memory_limit,
    written,
)
from workstation.worker import App, Commit, Inside, Repository


def _size(value: object) -> object:
    """Return a memory size that Compose accepts. Raises ValueError for any other value."""
    if expected := compose_forms.size(value):
        raise ValueError(f"expected {expected}")
    return value


def _swap(value: object) -> object:
    """Return a memory size, or -1 for unlimited swap."""
    return value if value == -1 and not isinstance(value, bool) else _size(value)


def _processors(value: object) -> object:
    """Return a number, or its text, that Compose accepts for ``cpus``."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 4096:
        raise ValueError("expected a number of processors, such as 1.5")
    return value


def _ulimits(value: object) -> object:
    """Return limits by name: each a number, or a ``soft`` and a ``hard`` one."""
    entries = value.items() if isinstance(value, dict) else [("", None)]
    for name, limit in entries:
        numbers = limit if isinstance(limit, dict) and {*limit} == {"soft", "hard"} else {"": limit}
        whole = all(type(number) is int and -1 <= number < 2**63 for number in numbers.values())
        if not whole or not isinstance(name, str) or not re.fullmatch(r"[a-z]{2,20}", name):
            raise ValueError('expected limits such as {"nofile": 65536}, or with soft and hard')
    return value


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("expected text")
    return value


def _flag(value: object) -> object:
    """Return one or more words for a command line, or a number."""
    if is_number(value):
        return value
    text = written(value)
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise ValueError("expected a list of flags, such as ['--lowvram']")
    return text


Size = Annotated[Any, BeforeValidator(_size)]
MemoryLimit = Annotated[Any, BeforeValidator(memory_limit)]


class Limits(BaseModel):
    """The limits of a container: exactly the limiting keys of a service in Compose
    (docs.docker.com/reference/compose-file/services)."""

    model_config = ConfigDict(extra="forbid")

    cpu_count: Count = 1
    cpu_percent: Annotated[Whole, Field(gt=0, le=100)] = 1
    cpu_period: Count = 1
    cpu_quota: Annotated[Whole, Field(ge=-1, le=2**31 - 1)] = 1
    cpu_shares: Annotated[Whole, Field(ge=2, le=262144)] = 2
    cpus: Annotated[Any, BeforeValidator(_processors)] = 1
    cpuset: Annotated[
        str, form(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", "processors such as 0-3")
    ] = ""
    mem_limit: MemoryLimit = 0
    mem_reservation: MemoryLimit = 0
    mem_swappiness: Annotated[Whole, Field(ge=0, le=100)] = 0
    memswap_limit: Annotated[Any, BeforeValidator(_swap)] = 0
    oom_kill_disable: bool = False
    oom_score_adj: Annotated[Whole, Field(ge=-1000, le=1000)] = 0
    pids_limit: Annotated[Whole, Field(ge=-1, le=2**22)] = 1
    shm_size: Size = 0
    ulimits: Annotated[Any, BeforeValidator(_ulimits)] = None


TYPES: dict[str, Any] = {
    "text": Annotated[Visible, AfterValidator(_not_empty)],
    "text or nothing": Visible,
    "true or false": bool,
    "e-mail address": Annotated[
        Written, form(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}", "an e-mail address")
    ],
    "port": Port,
    "identity": Identity,
    "memory": Size,
    "folder": AnyFolder,
    "folders": Annotated[list[AnyFolder], AfterValidator(distinct)],
    "path": AnyPath,
    "variables": dict[
        Annotated[Written, form(r"[A-Za-z_][A-Za-z0-9_]{0,254}", "variable names")],
        VariableValue,
    ],
    "repository": Repository,
    "commit": Commit,
    "folder in a repository": Inside,
    "Celery app": App,
    "count": Count,
    "count or 0": Annotated[Whole, Field(ge=0, le=2**31 - 1)],
    "count or -1": Annotated[Whole, Field(ge=-1, le=2**31 - 1)],
    "share": Annotated[Real, Field(gt=0, le=1)],
    "limits": dict[str, Limits],
    "flags": dict[str, list[Annotated[Any, BeforeValidator(_flag)]]],
    "egress": dict[str, Egress],
}
_CONFIG = ConfigDict(coerce_numbers_to_str=True)
ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind, config=_CONFIG) for name, kind in TYPES.items()
}
