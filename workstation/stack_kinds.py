"""What the entries of a stack's data may be: ``group_data/<stack>.py`` held against the kinds that
``templates/stacks/<stack>/_data.yml`` names.

That file has a kind for each entry, or a mapping of kinds for one that is a mapping. ``limits`` and
``flags`` are for the services that ask for them in the stack's templates, so a new service needs no
line there; a stack without the file has these two checked alone.

An entry of the kind ``secret`` does not stand in ``group_data/``: it is a setting of the host,
which comes from ``.env`` or the environment alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from workstation import given_file, yaml_file
from workstation.compose import forms as compose_forms
from workstation.errors import UserError, expectation, named, nearest, shown
from workstation.stack import data_key
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
    written,
)
from workstation.worker import App, Commit, Inside, Repository, SecretInAddressError

KINDS_FILE = "_data.yml"
STACKS = Path(__file__).parent.parent / "templates/stacks"
SECRET = "secret"


class StackDataError(UserError):
    """An entry of a stack's data that is unknown, missing or impossible."""


def _size(value: object) -> object:
    """Memory as Compose takes it."""
    if expected := compose_forms.size(value):
        raise ValueError(f"expected {expected}")
    return value


def _swap(value: object) -> object:
    """Memory, or -1 for as much of the swap space as there is."""
    return value if value == -1 and not isinstance(value, bool) else _size(value)


def _processors(value: object) -> object:
    """A number, or the text of one, as Compose takes it for ``cpus``."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 4096:
        raise ValueError("expected a number of processors, such as 1.5")
    return value


def _ulimits(value: object) -> object:
    """Numbers, or ``soft`` and ``hard`` ones, by the names that Docker knows."""
    entries = value.items() if isinstance(value, dict) else [("", None)]
    for name, limit in entries:
        numbers = limit if isinstance(limit, dict) and {*limit} == {"soft", "hard"} else {"": limit}
        whole = all(type(number) is int and -1 <= number < 2**63 for number in numbers.values())
        if not whole or not isinstance(name, str) or not re.fullmatch(r"[a-z]{2,20}", name):
            raise ValueError('expected limits such as {"nofile": 65536}, or with soft and hard')
    return value


def _flag(value: object) -> object:
    """A word or words for a command line; a number is one too."""
    if is_number(value):
        return value
    text = written(value)
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise ValueError("expected flags as texts in a list, such as ['--lowvram']")
    return text


Size = Annotated[Any, BeforeValidator(_size)]


class Limits(BaseModel):
    """What a container may take of the machine: the keys of a service in Compose that limit it
    (docs.docker.com/reference/compose-file/services), and no others."""

    model_config = ConfigDict(extra="forbid")

    cpu_count: Count = 1
    cpu_percent: Annotated[Whole, Field(gt=0, le=100)] = 1
    cpu_period: Count = 1
    cpu_quota: Annotated[Whole, Field(ge=-1, le=2**31 - 1)] = 1
    cpu_shares: Annotated[Whole, Field(ge=2, le=262144)] = 2
    cpus: Annotated[Any, BeforeValidator(_processors)] = 1
    cpuset: Annotated[str, form(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", "such as 0-3")] = ""
    mem_limit: Size = 0
    mem_reservation: Size = 0
    mem_swappiness: Annotated[Whole, Field(ge=0, le=100)] = 0
    memswap_limit: Annotated[Any, BeforeValidator(_swap)] = 0
    oom_kill_disable: bool = False
    oom_score_adj: Annotated[Whole, Field(ge=-1000, le=1000)] = 0
    pids_limit: Annotated[Whole, Field(ge=-1, le=2**22)] = 1
    shm_size: Size = 0
    ulimits: Annotated[Any, BeforeValidator(_ulimits)] = None


_KINDS: dict[str, Any] = {
    "text": Annotated[Visible, Field(min_length=1)],
    "text or nothing": Visible,
    "port": Port,
    "identity": Identity,
    "memory": Size,
    "folder": AnyFolder,
    "folders": Annotated[list[AnyFolder], AfterValidator(distinct)],
    "path": AnyPath,
    "variables": dict[
        Annotated[Written, form(r"[A-Za-z_][A-Za-z0-9_]{0,254}", "names of variables")],
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
}
_CONFIG = ConfigDict(coerce_numbers_to_str=True)
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind, config=_CONFIG) for name, kind in _KINDS.items()
}


def checked(stack: str, data: Any, templates: Path) -> dict[str, Any]:
    """Return the data of a stack as its templates may use it.

    + data: ``group_data/<stack>.py``, and what ``.env`` or ``--data`` put in its place
    + templates: folder that has one of each stack

    Raises StackDataError, or YamlFileError for a file of kinds that cannot be read.
    """
    where = f"group_data/{stack}.py"
    if not isinstance(data, Mapping):
        raise StackDataError(
            f"{data_key(stack)} is {shown(data)}: expected a dictionary with all of its entries, "
            f"as in {where}."
        )
    kinds, used = _kinds(templates / stack)
    result = dict(data)
    for name, kind in kinds.items():
        if kind == SECRET and name in data:
            raise StackDataError(
                f"{name} in {where} is a secret: remove it there, and set {name.upper()} in .env "
                "or in the environment."
            )
    kinds = {name: kind for name, kind in kinds.items() if kind != SECRET}
    if kinds:
        known = {*kinds, *used["stack"]}
        for name in data:
            if name not in known:
                raise StackDataError(
                    f"{named(name)} in {where} is not known{nearest(str(name), known)}: correct or "
                    "remove it."
                )
    else:
        kinds = {name: name for name in ("limits", "flags") if name in data}
    for name, kind in kinds.items():
        if name not in data:
            raise StackDataError(f"{where} has no {name}, which the stack's templates use: add it.")
        result[name] = _value(stack, name, data[name], kind, used)
    return result


def secrets(templates: Path = STACKS) -> dict[str, str]:
    """Return the secrets that stacks declare, each with the stack whose it is.

    + templates: folder that has one of each stack
    """
    return {
        name: file.parent.name
        for file in sorted(templates.glob(f"*/{KINDS_FILE}"))
        for name, kind in _kinds(file.parent)[0].items()
        if kind == SECRET
    }


def _value(stack: str, name: str, value: Any, kind: Any, used: Mapping[str, set[str]]) -> Any:
    """Return one value, checked. ``name``: with those that it lies in, and dots between."""
    where = f"group_data/{stack}.py"
    if isinstance(kind, dict):
        _names(where, name, value, set(kind), set(kind))
        return {key: _value(stack, f"{name}.{key}", value[key], kind[key], used) for key in kind}
    if kind in ("limits", "flags"):
        services = used[kind]
        needed = {"default"} if kind == "limits" else services
        # One that is named by an expression in a template cannot be told from here.
        known = services | needed if services and "" not in services else None
        _names(where, name, value, known, needed - {""})
    try:
        found = _ADAPTERS[kind].validate_python(value)
    except ValidationError as error:
        raise StackDataError(_sentence(stack, name, error.errors()[0])) from None
    return value if kind == "limits" else found


def _names(where: str, name: str, value: Any, known: set[str] | None, needed: set[str]) -> None:
    """Raise StackDataError unless ``value`` is a mapping with the names that it may and must have;
    ``known`` is None for any."""
    expected = ", ".join(sorted(known or needed))
    if not isinstance(value, dict):
        raise StackDataError(
            f"{name} in {where} is {shown(value)}: expected a dictionary with {expected}."
        )
    for key in value:
        if known is not None and key not in known:
            raise StackDataError(
                f"{name} in {where} has {named(key)}, which is not known"
                f"{nearest(str(key), known)}: expected {expected}."
            )
    for key in sorted(needed - set(value)):
        raise StackDataError(
            f"{name} in {where} has no {key}, which the stack's templates use: add it."
        )


def _sentence(stack: str, name: str, error: ErrorDetails) -> str:
    path = named(".".join([name, *(str(part) for part in error["loc"] if part != "[key]")]))
    key = f"{data_key(stack)}_{name}".upper()
    where = f"correct it in group_data/{stack}.py"
    where += "" if "." in path or error["loc"] else f", or {key} in .env"
    if error["type"] == "extra_forbidden":
        last = str(error["loc"][-1])
        return (
            f"{path} in group_data/{stack}.py is no limit that Compose has"
            f"{nearest(last, Limits.model_fields)}: correct or remove it."
        )
    if isinstance(error.get("ctx", {}).get("error"), SecretInAddressError):
        return f"{path} in group_data/{stack}.py cannot be used: {expectation(error)}."
    return f"{path} is {shown(error['input'])}, {expectation(error)}: {where}."


def _kinds(folder: Path) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """Return the kinds of a stack's entries, and what its templates ask for: ``stack``: entries,
    ``limits`` and ``flags``: services, "" for one that is not named there and then."""
    files = sorted([*folder.rglob("*.j2"), folder / KINDS_FILE])
    return _kinds_in(folder, tuple((file, *_version(file)) for file in files))


def _version(file: Path) -> tuple[int, int]:
    """What changes with a file, if it is there."""
    try:
        status = file.stat()
        return status.st_mtime_ns, status.st_size
    except OSError:
        return 0, 0


@lru_cache(maxsize=64)
def _kinds_in(
    folder: Path, files: tuple[tuple[Path, int, int], ...]
) -> tuple[dict[str, Any], dict[str, set[str]]]:
    kinds: dict[str, Any] = {}
    if given_file.is_there(folder / KINDS_FILE):
        read = yaml_file.read(folder / KINDS_FILE)
        kinds = read.content
        for name, kind in kinds.items():
            for one in kind.values() if isinstance(kind, dict) else [kind]:
                if not isinstance(one, str) or one not in {*_KINDS, SECRET}:
                    raise StackDataError(
                        f"{read.place([name])}: {named(one)} is no kind"
                        f"{nearest(str(one), _KINDS)}: choose from {', '.join((*_KINDS, SECRET))}."
                    )
    text = "\n".join(_text(file) for file, *_ in files if file.suffix == ".j2")
    used = {"stack": set(re.findall(r"\bstack\.([A-Za-z_]\w*)", text))}
    for macro in ("limits", "flags"):
        calls = re.findall(rf"\b(?:\w+_)?{macro}\(\s*(?:[\"']([\w.-]+)[\"'])?", text)
        used[macro] = set(calls)
    return kinds, used


def _text(path: Path) -> str:
    """Return the text of a template; of one that cannot be read nothing: rendering tells why."""
    try:
        return given_file.read(path).decode(errors="replace")
    except OSError:
        return ""
