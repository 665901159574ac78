"""The settings of a stack: ``templates/stacks/<stack>/_data.yml`` states the type, default and
meaning of each once, and ``group_data/<stack>.py`` overrides defaults.

An entry of that file has these keys, or it is a mapping of such entries:

- ``type``: one of ``stack_types.TYPES``, ``secret``, or ``password``, a secret of 8 to 72 bytes
- ``meaning``: one sentence for docs/settings.md
- ``default``: its value if it is not set; without a default, it must be set
- ``one_of``: the only allowed texts

``limits``, ``flags`` and ``egress`` are for the services that use them in the stack's templates;
setting them for one service leaves the defaults of the others alone. In a stack without the file,
only these three are checked.

A ``secret`` or ``password`` must not be in ``group_data/``: it is a setting of the host, which
comes only from ``.env`` or the environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from workstation import given_file, yaml_file
from workstation.errors import UserError, expectation, named, nearest, shown
from workstation.stack import data_key
from workstation.stack_types import ADAPTERS, TYPES, Limits

DECLARATIONS_FILE = "_data.yml"
STACKS = Path(__file__).parent.parent / "templates/stacks"
SECRETS = ("secret", "password")
_BY_SERVICE = ("limits", "flags", "egress")


class StackDataError(UserError):
    """An unknown, missing or invalid entry of a stack's data."""

    id = "stack-data-invalid"


class Declared(BaseModel):
    """One setting of a stack, as its ``_data.yml`` states it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    meaning: Annotated[str, Field(min_length=1)]
    default: Any = None
    one_of: tuple[str, ...] = ()

    @property
    def is_required(self) -> bool:
        """Whether it must be set."""
        return "default" not in self.model_fields_set

    @property
    def is_secret(self) -> bool:
        """Whether it is a setting of the host that is never shown."""
        return self.type in SECRETS


Declarations = Mapping[str, Declared | Mapping[str, Declared]]
"""Settings by name; a mapping contains settings of its own."""


def checked(stack: str, data: Any, templates: Path) -> dict[str, Any]:
    """Return the data of a stack for its templates, checked and completed with defaults.

    + data: from ``group_data/<stack>.py``, with the changes from ``.env`` or ``--data``
    + templates: the folder of all stacks

    Raises StackDataError, or YamlFileError for an unreadable file of declarations.
    """
    where = f"group_data/{stack}.py"
    if not isinstance(data, Mapping):
        raise StackDataError(
            f"{data_key(stack)} is {shown(data)}: expected a dictionary with all of its entries, "
            f"like the one in {where}."
        )
    declarations, used = _read(templates / stack)
    if declarations:
        _refuse_unknown(where, data, declarations, used["stack"])
    else:
        declarations = {
            name: Declared(type=name, meaning="-") for name in _BY_SERVICE if name in data
        }
    result = completed(declarations, data)
    for name, one in declarations.items():
        if _is_secret(one):
            continue
        if name not in result:
            raise StackDataError(
                f"{where} has no {name}, which the stack's templates use: add it.",
                id="stack-data-missing",
            )
        result[name] = _value(stack, name, result[name], one, used)
    return result


def _refuse_unknown(
    where: str, data: Mapping[str, Any], declarations: Declarations, used: set[str]
) -> None:
    """Raise StackDataError for an entry that is a secret, or that is neither declared nor used."""
    known = {*declarations, *used}
    for name in data:
        if name not in known:
            raise StackDataError(
                f"{named(name)} in {where} is unknown{nearest(str(name), known)}: correct or "
                "remove it.",
                id="stack-data-unknown",
            )
        if _is_secret(declarations.get(name)):
            raise StackDataError(
                f"{name} in {where} is a secret: remove it there, and set {name.upper()} in .env "
                "or in the environment.",
                id="secret-in-group-data",
            )


def _is_secret(one: object) -> bool:
    return isinstance(one, Declared) and one.is_secret


def completed(declarations: Declarations, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``data`` with defaults added, unchecked."""
    result: dict[str, Any] = {}
    for name, one in declarations.items():
        if isinstance(one, Declared):
            if one.is_required:
                continue
            default, merged = one.default, one.type in _BY_SERVICE
        else:
            default, merged = completed(one, {}), True
        given = data.get(name, default)
        both = isinstance(default, Mapping) and isinstance(given, Mapping)
        result[name] = {**default, **given} if merged and both else given
    return {**result, **{name: value for name, value in data.items() if name not in result}}


def declared(stack: str, templates: Path = STACKS) -> Declarations:
    """Return the settings that a stack declares, including secrets.

    + templates: the folder of all stacks

    Raises StackDataError or YamlFileError if the declarations are invalid.
    """
    return _read(templates / stack)[0]


def secrets(templates: Path = STACKS) -> dict[str, str]:
    """Return the secrets and passwords that stacks declare, each with the name of its stack.

    + templates: the folder of all stacks
    """
    return {
        name: file.parent.name
        for file in sorted(templates.glob(f"*/{DECLARATIONS_FILE}"))
        for name, one in declared(file.parent.name, templates).items()
        if _is_secret(one)
    }


def _value(
    stack: str,
    name: str,
    value: Any,
    one: Declared | Mapping[str, Declared],
    used: Mapping[str, set[str]],
) -> Any:
    """Return one value, checked. ``name`` includes the names that it is nested in, with dots."""
    where = f"group_data/{stack}.py"
    if not isinstance(one, Declared):
        _names(where, name, value, set(one), set(one))
        return {key: _value(stack, f"{name}.{key}", value[key], one[key], used) for key in one}
    if one.type in _BY_SERVICE:
        services = used[one.type]
        needed = services if one.type == "flags" else {"default"}
        # If a template names a service by an expression, its name is not known here.
        known = services | needed if services and "" not in services else None
        _names(where, name, value, known, needed - {""})
    try:
        found = ADAPTERS[one.type].validate_python(value)
    except ValidationError as error:
        raise StackDataError(_sentence(stack, name, error.errors()[0])) from None
    if one.one_of and found not in one.one_of:
        raise StackDataError(
            f"{name} in {where}{_in_env(stack, name)} is {shown(value)}"
            f"{nearest(str(value), one.one_of)}: expected one of {', '.join(one.one_of)}."
        )
    return value if one.type == "limits" else found


def _names(where: str, name: str, value: Any, known: set[str] | None, needed: set[str]) -> None:
    """Raise StackDataError unless ``value`` is a mapping with all ``needed`` names and only
    ``known`` ones; None allows any."""
    expected = ", ".join(sorted(known or needed))
    if not isinstance(value, dict):
        raise StackDataError(
            f"{name} in {where} is {shown(value)}: expected a dictionary with {expected}."
        )
    for key in value:
        if known is not None and key not in known:
            raise StackDataError(
                f"{name} in {where} has {named(key)}, which is unknown"
                f"{nearest(str(key), known)}: expected {expected}.",
                id="stack-data-unknown",
            )
    for key in sorted(needed - set(value)):
        raise StackDataError(
            f"{name} in {where} has no {key}, which the stack's templates use: add it.",
            id="stack-data-missing",
        )


def _in_env(stack: str, name: str) -> str:
    """Return the key in ``.env`` that can set an entry too, as a part of a sentence, or an empty
    string."""
    return "" if "." in name else f", or {f'{data_key(stack)}_{name}'.upper()} in .env"


def _sentence(stack: str, name: str, error: ErrorDetails) -> str:
    path = named(".".join([name, *(str(part) for part in error["loc"] if part != "[key]")]))
    where = f"correct it in group_data/{stack}.py"
    where += "" if error["loc"] else _in_env(stack, path)
    if error["type"] == "extra_forbidden":
        last = str(error["loc"][-1])
        return (
            f"{path} in group_data/{stack}.py is not a limit in Compose"
            f"{nearest(last, Limits.model_fields)}: correct or remove it."
        )
    return f"{path} is {shown(error['input'])}, {expectation(error)}: {where}."


def _read(folder: Path) -> tuple[Declarations, dict[str, set[str]]]:
    """Return what a stack declares, and what its templates use: ``stack`` has the names of entries,
    ``limits``, ``flags`` and ``egress`` those of services, "" for a name that is an expression."""
    files = sorted([*folder.rglob("*.j2"), folder / DECLARATIONS_FILE])
    return _read_files(folder, tuple((file, *_version(file)) for file in files))


def _version(file: Path) -> tuple[int, int]:
    """Return values that change when a file does; zeros if it does not exist."""
    try:
        status = file.stat()
        return status.st_mtime_ns, status.st_size
    except OSError:
        return 0, 0


@lru_cache(maxsize=64)
def _read_files(
    folder: Path, files: tuple[tuple[Path, int, int], ...]
) -> tuple[Declarations, dict[str, set[str]]]:
    declarations: dict[str, Declared | Mapping[str, Declared]] = {}
    if given_file.is_there(folder / DECLARATIONS_FILE):
        read = yaml_file.read(folder / DECLARATIONS_FILE)
        for name, entry in read.content.items():
            if isinstance(entry, dict) and entry and all(map(_is_mapping, entry.values())):
                declarations[name] = {
                    str(key): _declaration(read, (name, str(key)), one)
                    for key, one in entry.items()
                }
            else:
                declarations[name] = _declaration(read, (name,), entry)
    text = "\n".join(_text(file) for file, *_ in files if file.suffix == ".j2")
    used = {"stack": set(re.findall(r"\bstack\.([A-Za-z_]\w*)", text))}
    for macro in _BY_SERVICE:
        calls = re.findall(rf"\b(?:\w+_)?{macro}\(\s*(?:[\"']([\w.-]+)[\"'])?", text)
        used[macro] = set(calls)
    return declarations, used


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _declaration(read: yaml_file.YamlFile, path: tuple[str, ...], entry: object) -> Declared:
    """Return one entry of the declarations. Raises StackDataError with its line."""
    place, name = read.place(path), ".".join(path)
    for one_name in path:
        # In templates, ``stack.keys`` would be Python's method of dictionaries.
        if not re.fullmatch("[a-z][a-z0-9_]*", one_name) or hasattr(dict, one_name):
            raise StackDataError(
                f"{place}: {shown(one_name)} cannot be the name of a setting: use lowercase "
                "letters, digits and underscores, and no word such as keys or items.",
                id="declaration-invalid",
            )
    try:
        one = Declared.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            hint = nearest(key, Declared.model_fields)
            raise StackDataError(
                f"{place}: {named(name)} has {named(key)}, which is unknown{hint}: expected "
                f"{', '.join(Declared.model_fields)}.",
                id="declaration-invalid",
            ) from None
        if first["type"] == "missing":
            raise StackDataError(
                f"{place}: {named(name)} has no {key}: add it.", id="declaration-invalid"
            ) from None
        raise StackDataError(
            f"{place}: {named('.'.join(filter(None, (name, key))))} is {shown(first['input'])}: "
            "expected a mapping with type, meaning and default, where the first two are text.",
            id="declaration-invalid",
        ) from None
    if one.type not in {*TYPES, *SECRETS}:
        raise StackDataError(
            f"{place}: {named(one.type)} is not a type{nearest(one.type, TYPES)}: choose from "
            f"{', '.join((*TYPES, *SECRETS))}.",
            id="declaration-invalid",
        )
    _check_default(one, place, name)
    return one


def _check_default(one: Declared, place: str, name: str) -> None:
    """Raise StackDataError for a default that the setting could not have, or that a secret has."""
    if one.is_secret and ("." in name or not one.is_required):
        what, fix = "with a default", "remove the default, because this file is in version control"
        if "." in name:
            what, fix = "below another name", "put it at the top level"
        raise StackDataError(
            f"{place}: {named(name)} is a secret {what}: {fix}.", id="declaration-invalid"
        )
    if one.is_required:
        return
    try:
        found = ADAPTERS[one.type].validate_python(one.default)
    except ValidationError as error:
        first = error.errors()[0]
        raise StackDataError(
            f"{place}: the default of {named(name)} is {shown(first['input'])}, "
            f"{expectation(first)}.",
            id="declaration-invalid",
        ) from None
    if one.one_of and found not in one.one_of:
        raise StackDataError(
            f"{place}: the default of {named(name)} is {shown(one.default)}, expected one of "
            f"{', '.join(one.one_of)}.",
            id="declaration-invalid",
        )


def _text(path: Path) -> str:
    """Return the text of a template; empty if it cannot be read, which rendering reports."""
    try:
        return given_file.read(path).decode(errors="replace")
    except OSError:
        return ""
