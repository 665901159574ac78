"""Reads YAML that a person writes, strictly, with the line of every error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from workstation import given_file
from workstation.errors import UserError, named

LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader if PyYAML was built with it: ten times as fast for Compose files."""

_DEEPEST, _MOST = 50, 200_000
"""Largest depth of nesting, and largest number of values, counting aliases each time."""


class YamlFileError(UserError):
    """An invalid YAML file, with its name and, if known, the line."""

    id = "yaml-invalid"


class ComposeLoader(LOADER):  # type: ignore[misc, valid-type]
    """Interprets plain words as Compose does (gopkg.in/yaml.v3).

    PyYAML would read ``22:22`` as a base 60 number, ``no`` as false, and a date as a date.
    """


_BOOLEAN, _WHOLE, _REAL = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float"))
ComposeLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in (_BOOLEAN, _WHOLE, _REAL, "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in LOADER.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    (_BOOLEAN, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_WHOLE, r"[-+]?(?:0|[1-9][0-9_]*|0[0-7_]+|0o[0-7]+|0x[0-9a-fA-F_]+|0b[01_]+)", "-+0123456789"),
    (_REAL, r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    ComposeLoader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(frozen=True)
class YamlFile:
    """A file's content and the lines of its keys."""

    path: Path
    content: dict[str, object]
    _root: yaml.Node | None

    def place(self, keys: Sequence[str | int]) -> str:
        """Return ``FILE line N`` for the deepest of the nested ``keys`` that the file has."""
        return f"{self.path} line {line_of(self._root, keys)}"


def line_of(node: yaml.Node | None, keys: Sequence[str | int]) -> int:
    """Return the line (from 1) of the deepest of the nested ``keys`` that exist below a node."""
    line = 1
    for key in keys:
        entry = _entry(node, key)
        if entry is None:
            break
        line, node = entry
    return line


def line_in(template: str, rendered: str, line: int) -> int:
    """Return the line of a template that a rendered line was copied from; 0 if it is not clear."""
    lines = [one.strip() for one in rendered.splitlines()]
    wanted = lines[line - 1] if 0 < line <= len(lines) else ""
    found = [number for number, one in enumerate(template.splitlines(), 1) if one.strip() == wanted]
    if len(found) != lines.count(wanted):
        return 0
    return found[lines[: line - 1].count(wanted)]


def read(path: Path) -> YamlFile:
    """Return a file that contains one mapping; a duplicate key is an error.

    Raises YamlFileError.
    """
    content, root = load(given_file.text(path, YamlFileError), str(path))
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise YamlFileError(f"{path} is not a mapping: expected 'key: value' lines.")
    return YamlFile(path, {str(key): value for key, value in content.items()}, root)


def load(
    text: str, name: str, loader: type[yaml.SafeLoader | yaml.CSafeLoader] = LOADER
) -> tuple[object, yaml.Node | None]:
    """Return the content of YAML text, and its root node.

    + name: name of the file, for errors

    Raises YamlFileError, also for a duplicate key, of which YAML libraries silently keep the last,
    and for text that expands to more than a person writes (with nested aliases, a few lines are
    billions of values, and code that walks through them would never finish).
    """
    try:
        _refuse_excess(text, name, loader)
        made = loader(text)
        try:
            root = made.get_single_node()
            _refuse_duplicates(root, name, set())
            return made.construct_document(root) if root else None, root
        finally:
            made.dispose()
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = error.problem or error.context
        raise YamlFileError(f"{name}{line} is not valid YAML: {_one_line(reason)}.") from None
    except yaml.YAMLError as error:
        raise YamlFileError(f"{name} is not valid YAML: {_one_line(error)}.") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # PyYAML raises these for a value that does not match its tag, such as `!!int ""`.
        raise YamlFileError(
            f"{name} is not valid YAML: a value cannot be read ({_one_line(error)})."
        ) from None


def _one_line(error: object) -> str:
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return first[:200].rstrip(".")


def _entry(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    """Return the line (from 1) and the value of one key of a mapping or one item of a list."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == str(key):
                return name.start_mark.line + 1, value
        merged = [value for name, value in node.value if name.value == "<<"]
        for one in merged:
            for source in one.value if isinstance(one, yaml.SequenceNode) else [one]:
                if isinstance(source, yaml.MappingNode) and (found := _entry(source, key)):
                    return found
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        item = node.value[key]
        return item.start_mark.line + 1, item
    return None


def _refuse_excess(text: str, name: str, loader: type[yaml.SafeLoader | yaml.CSafeLoader]) -> None:
    """Raise YamlFileError for too many levels or values, before the text is loaded."""
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, Loader=loader):
        place = f"{name} line {event.start_mark.line + 1}" if event.start_mark else name
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in within):
                raise YamlFileError(f"{place}: *{event.anchor} contains itself: remove it.")
            count += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
        if len(within) > _DEEPEST:
            raise YamlFileError(f"{place} is nested more than {_DEEPEST} levels deep: flatten it.")
        if count > _MOST:
            raise YamlFileError(
                f"{place}: the file has more than {_MOST} values up to here, counting aliases each "
                "time: shorten it."
            )


def _refuse_duplicates(node: yaml.Node | None, name: str, done: set[int]) -> None:
    if node is None or id(node) in done:
        return
    done.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise YamlFileError(
                        f"{name} line {line} sets {named(key.value)} again: keep one of the two.",
                        id="key-duplicate",
                    )
                seen.add(key.value)
            _refuse_duplicates(value, name, done)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, name, done)
