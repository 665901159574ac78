"""Parses environment files such as ``.env``: ``KEY=value`` lines with quotes and comments, as in
Compose. What the keys mean is in ``environment.py``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from workstation import given_file
from workstation.errors import UserError
from workstation.settings import SECRETS
from workstation.values import CONTROL, LONGEST


class EnvironmentFileError(UserError):
    """An invalid ``.env`` file or environment variable."""


def read(path: Path, check_key: Callable[[str, str], None]) -> dict[str, str]:
    """Return the values of an environment file.

    + check_key: takes a key and its place (file and line); raises EnvironmentFileError for a key
      that may not be set there

    Values are never interpolated: a password may contain ``$``. Raises EnvironmentFileError; no
    error shows a value.
    """
    text = given_file.text(path, EnvironmentFileError)
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text, newline="")):
        original = binding.original.string
        blank = len(original) - len(original.lstrip())
        line = binding.original.line + _newlines(original[:blank])
        if binding.key is None and not binding.error:
            continue
        key, value = _entry(binding, f"{path} line {line}", check_key)
        if key in values:
            raise EnvironmentFileError(
                f"{path} line {line} sets {key} again: keep one of the two.", id="key-duplicate"
            )
        values[key] = value
    return values


def _entry(binding: Binding, place: str, check_key: Callable[[str, str], None]) -> tuple[str, str]:
    """Return the key and value of one line. Raises EnvironmentFileError for an invalid line."""
    key, value = binding.key, binding.value
    if binding.error or key is None:
        raise EnvironmentFileError(
            f"{place} is not KEY=value, or has an unclosed quote: "
            "put values with special characters in single quotes.",
            id="env-file-syntax",
        )
    if value is None:
        raise EnvironmentFileError(f"{place} has no '=': write KEY=value.", id="env-file-syntax")
    check_key(key, place)
    if CONTROL.search(value):
        raise EnvironmentFileError(
            f"{place}: the value of {key} contains a line break or control character: "
            "close its quotes, and use single quotes if it has backslashes.",
            id="env-file-syntax",
        )
    if len(value) > LONGEST:
        raise EnvironmentFileError(
            f"{place}: the value of {key} is longer than {LONGEST} characters: shorten it.",
            id="setting-invalid",
        )
    if _is_comment(binding):
        raise EnvironmentFileError(
            f"{place}: without a blank before #, the comment would be the value of {key}: add the "
            "blank, or put the value in single quotes.",
            id="env-file-syntax",
        )
    if key.lower() in SECRETS and _loses_text(binding):
        raise EnvironmentFileError(
            f"{place}: the value of {key} contains ' #', which begins a comment: "
            "put the value in single quotes.",
            id="env-file-syntax",
        )
    return key, value


def _is_comment(binding: Binding) -> bool:
    """Return whether an unquoted value looks like a comment; without a blank before the ``#``, it
    is none."""
    raw = binding.original.string.partition("=")[2]
    return re.match(r"#(\s|$)", raw) is not None


def _loses_text(binding: Binding) -> bool:
    """Return whether an unquoted value was cut at a blank and ``#``: half a password is useless."""
    raw = binding.original.string.partition("=")[2]
    return not raw.lstrip().startswith(("'", '"')) and re.search(r"\s#", raw) is not None


def _newlines(text: str) -> int:
    return len(re.findall(r"\r\n|\n|\r", text))
