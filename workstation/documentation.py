"""Generates the documentation of settings and ``x-workstation`` from their definitions.

    python -m workstation.documentation            lists outdated documents, with status 1
    python -m workstation.documentation --write    updates them

It generates all of docs/settings.md, the tables between two marks in docs/services.md, and the
comments in .env.example, which keeps its own keys and sample values.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from workstation import environment, stack_settings
from workstation.compose import x_workstation
from workstation.compose.x_workstation import Key
from workstation.settings import SECRETS, Settings, takes_text
from workstation.stack_settings import Declared
from workstation.values import Called

ROOT = Path(__file__).parent.parent
COMMAND = "python -m workstation.documentation --write"
_MARK = "<!-- generated: {} -->"
_END = "<!-- end of generated part -->"

Row = tuple[str, ...]
_HEAD = ("key", "type", "default", "meaning")
_CONNECTION = environment.CONNECTION.items()


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", r"\|") for cell in row] for row in lines)
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def type_name(annotation: Any, metadata: Iterable[object] = ()) -> str:
    """Return the name of a setting's type."""
    called = [one.name for one in metadata if isinstance(one, Called)]
    if called:
        return called[-1]
    if get_origin(annotation) is Literal:
        return _choice(get_args(annotation))
    if get_origin(annotation) is list:
        (item,) = get_args(annotation)
        return f"list: {type_name(item, getattr(item, '__metadata__', ()))}"
    raise TypeError(f"{annotation} has no Called among {metadata}.")


def _choice(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def default_text(default: Any) -> str:
    """Return a default as a person would write it."""
    if default in ("", [], {}):
        return "empty"
    if isinstance(default, list):
        return _choice(default)
    text = json.dumps(default) if isinstance(default, dict | bool) else str(default)
    return f"`{text}`"


def _core(name: str, field: FieldInfo) -> Row:
    default = "must be set" if field.is_required() else default_text(field.get_default())
    shown = "empty" if name in SECRETS else default
    return type_name(field.annotation, field.metadata), shown, str(field.description)


def _own(one: Declared) -> Row:
    default = "must be set" if one.is_required else default_text(one.default)
    called = _choice(one.one_of) if one.one_of else one.type
    return called, "empty" if one.is_secret else default, one.meaning


def _named(text: str) -> str:
    return f"`{text}`"


def settings_tables(root: Path = ROOT) -> dict[str, str]:
    """Return the tables of docs/settings.md: of .env, of group_data/ alone, and of ``--data``."""
    core = {name: _core(name, field) for name, field in _core_fields(root).items()}
    tasks = {name: task for name, field in _core_fields(root).items() if (task := _task(field))}
    stacks = list(_of_stacks(root))
    every: list[Row] = [
        (_named(name.upper()), *row)
        for name, row in core.items()
        if takes_text(name) and name not in tasks
    ]
    env = {
        "The machine and how to reach it": table(
            ("key", "meaning"), ((_named(key), says) for key, says in _CONNECTION)
        ),
        "Every host": table(_HEAD, every),
    }
    for stack in dict.fromkeys(stack for stack, *_ in stacks):
        rows = [(_named(key), *_own(one)) for of, _, key, one in stacks if of == stack and key]
        if rows:
            env[f"Hosts of the stack {stack}"] = table(_HEAD, rows)
    alone = [
        *((_named(name), "`all.py`", *core[name]) for name in core if not takes_text(name)),
        *((_named(path), f"`{of}.py`", *_own(one)) for of, path, key, one in stacks if not key),
    ]
    arguments = [(_named(name), f"`tasks/{task}.py`", *core[name]) for name, task in tasks.items()]
    return {
        "env": "\n".join(f"### {title}\n\n{of}" for title, of in env.items()),
        "group_data": table(("setting", "file", *_HEAD[1:]), alone),
        "data": table(("argument", "task", *_HEAD[1:]), arguments),
    }


def _core_fields(root: Path) -> dict[str, FieldInfo]:
    """Return the settings that do not belong to a stack."""
    of_stacks = stack_settings.secrets(root / "templates/stacks")
    return {name: field for name, field in Settings.model_fields.items() if name not in of_stacks}


def _task(field: FieldInfo) -> str:
    """Return the task that a setting is meant for, or an empty string."""
    extra = field.json_schema_extra
    return str(extra["task"]) if isinstance(extra, dict) else ""


def _of_stacks(root: Path) -> Iterator[tuple[str, str, str, Declared]]:
    """Yield the settings of all stacks: stack, name (in a mapping, ``mapping.name``), its key in
    ``.env`` or an empty string, and its declaration."""
    stacks = environment.known_stacks(root)
    entries = environment.stack_keys(environment.data_of(root, stacks))
    keys = {(entry.stack, entry.name): key for key, entry in entries.items()}
    for stack in stacks:
        for name, one in stack_settings.declared(stack, root / "templates/stacks").items():
            if isinstance(one, Declared):
                key = name.upper() if one.is_secret else keys.get((stack, name), "")
                yield stack, name, key, one
            else:
                yield from ((stack, f"{name}.{key}", "", inner) for key, inner in one.items())


def own_tables() -> str:
    """Return the tables of ``x-workstation``, for docs/services.md."""
    parts = []
    for title, known in (
        ("In a service", x_workstation.SERVICE),
        ("In a secret at the top level of the file", x_workstation.SECRET),
        ("At the top level of the file", x_workstation.FILE),
    ):
        parts += [f"{title}:", table(("key", "meaning", "default"), _own_rows(known))]
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _own_rows(known: Mapping[str, Key], before: str = "") -> Iterator[Row]:
    for name, key in known.items():
        default = _named(key.default) if key.default else "required" if key.required else "none"
        yield _named(f"{before}{name}"), key.meaning, default
        yield from _own_rows(key.keys, f"{before}{name}{'[]' if key.many else ''}.")


def example(text: str, root: Path = ROOT) -> str:
    """Return .env.example: the first paragraph of ``text``, then its keys and sample values, each
    below its meaning, followed by secrets of stacks that are missing in it."""
    meanings = dict(_CONNECTION)
    for name, field in _core_fields(root).items():
        meanings[name.upper()] = str(field.description)
    lines = re.findall(r"^#?[A-Z][A-Z0-9_]*=.*$", text, re.MULTILINE)
    keys = {line.strip("#").partition("=")[0]: line for line in lines}
    for stack, _, key, one in _of_stacks(root):
        meanings[key] = f"{one.meaning} Only for the stack {stack}."
        if one.is_secret:
            keys.setdefault(key, f"#{key}=")
    if unknown := keys.keys() - meanings.keys():
        raise ValueError(f".env.example has {', '.join(sorted(unknown))}: remove unknown keys.")
    parts = [text.partition("\n\n")[0] + "\n"]
    for key, line in keys.items():
        comment = re.sub(r"\[(.*?)\]\((?!http).*?\)|`", lambda found: found[1] or "", meanings[key])
        parts.append("\n".join([*(f"# {one}" for one in textwrap.wrap(comment, 97)), line]) + "\n")
    return "\n".join(parts)


def documents(root: Path = ROOT) -> dict[str, str]:
    """Return the text of each document with generated parts, by its path below ``root``."""
    return {
        "docs/settings.md": _filled(root, "docs/settings.md", settings_tables(root)),
        "docs/services.md": _filled(root, "docs/services.md", {"x-workstation": own_tables()}),
        ".env.example": example((root / ".env.example").read_text(), root),
    }


def _filled(root: Path, path: str, parts: Mapping[str, str]) -> str:
    """Return a document with new text between the marks of each part."""
    text = (root / path).read_text()
    for name, part in parts.items():
        before, begin, rest = text.partition(f"{_MARK.format(name)}\n")
        _, end, after = rest.partition(_END)
        if not begin or not end:
            raise ValueError(f"{path} lacks {_MARK.format(name)} or the {_END} behind it.")
        text = f"{before}{begin}\n{part}\n{end}{after}"
    return text


def outdated(root: Path = ROOT) -> dict[str, str]:
    """Return the text of each document that is missing or out of date, by its path."""
    return {
        path: text
        for path, text in documents(root).items()
        if not (root / path).is_file() or (root / path).read_text() != text
    }


def main(arguments: list[str]) -> int:
    """Write the outdated documents, or list them; return the exit status."""
    found = outdated()
    for path, text in found.items():
        if arguments == ["--write"]:
            (ROOT / path).write_text(text)
        else:
            print(f"{path} is out of date: run {COMMAND}")
    return 0 if arguments == ["--write"] else min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
