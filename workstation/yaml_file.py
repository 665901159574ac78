"""YAML files that a person writes, read strictly, with the line of whatever is wrong in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from workstation.errors import UserError

LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader where PyYAML was built with it: for Compose files, ten times as fast."""


class YamlFileError(UserError):
    """A YAML file that cannot be read, with its name and, where known, the line."""


@dataclass(frozen=True)
class YamlFile:
    """A file's content and the places of its keys."""

    path: Path
    content: dict[str, object]
    _root: yaml.Node | None

    def place(self, keys: Sequence[str | int]) -> str:
        """Gives ``FILE line N`` for the deepest of the nested ``keys`` that the file has."""
        node, line = self._root, 1
        for key in keys:
            entry = _entry(node, key)
            if entry is None:
                break
            line, node = entry
        return f"{self.path} line {line}"


def read(path: Path) -> YamlFile:
    """Reads a file that holds one mapping; a key that comes twice is an error.

    Raises YamlFileError.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise YamlFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise YamlFileError(f"{path} is not UTF-8: save it as UTF-8.") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicates(root, path)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = error.problem or error.context
        raise YamlFileError(f"{path}{line} is not YAML: {reason}.") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise YamlFileError(f"{path} is not YAML: {reason}.") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise YamlFileError(f"{path} is not a mapping: expected 'key: value' lines.")
    return YamlFile(path, {str(key): value for key, value in content.items()}, root)


def _entry(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    """The line (from 1) and the value of one key of a mapping or one item of a list."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        item = node.value[key]
        return item.start_mark.line + 1, item
    return None


def _refuse_duplicates(node: yaml.Node | None, path: Path) -> None:
    """PyYAML keeps the last of two equal keys without a word."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode):
                if name.value in seen:
                    line = name.start_mark.line + 1
                    raise YamlFileError(
                        f"{path} line {line} sets {name.value} again: keep one of the two."
                    )
                seen.add(name.value)
            _refuse_duplicates(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, path)
