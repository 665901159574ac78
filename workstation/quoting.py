"""Quotes a value for each kind of file, so that it cannot break out of its place.

Every function is a template filter of the same name. A value that the file cannot represent is
rejected; a value that needs no quotes gets none, so that files look as a person would write them.

- ``yaml``: a YAML value; ``compose``: the same in a Compose file, which has variables
- ``compose_text``: a part of a text block (``>-``) in a Compose file
- ``command``: flags in a ``command:`` that is one string; ``plain_words``: flags where quotes are
  not supported
- ``unit``: a word in a systemd unit; ``unit_text``, ``exec_text``: a part of a word in double
  quotes, the second in a command line (``ExecStart=``)
- ``word``: a word that is used as it is, mostly in a Dockerfile; ``number``
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workstation.errors import shown


class QuotingError(ValueError):
    """A value that a file cannot represent; the message says which and why."""


# A plain scalar of these characters has no special meaning in YAML, even in flow style.
_PLAIN = re.compile(r"(?:--)?[A-Za-z0-9_/(][A-Za-z0-9_/.@+=()`-]*")
# Numbers (even base 60), booleans, null and dates in YAML 1.1 and 1.2, in PyYAML and Go.
_OTHER_TYPES = re.compile(
    r"(?:null|true|false|yes|no|on|off|y|n|[-+]?\.?[0-9][0-9_.]*(?:e[-+]?[0-9]+)?"
    r"|0[xob][0-9a-f_]+|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)",
    re.IGNORECASE,
)


def yaml(value: Any) -> str:
    """Return a value in YAML's flow style; text stays text, whatever it looks like."""
    return _yaml(value, lambda text: text)


def compose(value: Any) -> str:
    """Return a value for a Compose file: like ``yaml``, and no ``$`` in it begins a variable.

    Compose replaces variables only in values, so keys are written with ``yaml``.
    """
    return _yaml(value, _without_variables)


def compose_text(value: Any) -> str:
    """Return a part of a text block in a Compose file (``>-``)."""
    return _without_variables(_line(value))


def command(values: Sequence[Any]) -> str:
    """Return flags for a Compose ``command:`` that is one string, which Compose splits like a shell
    (github.com/mattn/go-shellwords).

    + values: each is one or more words, quoted as for a shell if necessary
    """
    words: list[str] = []
    for value in _several(values):
        try:
            words += shlex.split(_line(value))
        except ValueError:
            raise QuotingError(f"{shown(value)} has an unclosed quote") from None
    return _without_variables(" ".join(map(shlex.quote, words)))


def plain_words(values: Sequence[Any]) -> str:
    """Return flags for a variable in a Compose file that a script splits at blanks, without support
    for quotes."""
    for value in _several(values):
        if re.search(r"""["'\\*?\[\]`$;&|<>(){}]""", _line(value)):
            raise QuotingError(
                f"{shown(value)} has a character with a special meaning in a shell, and the "
                "program that reads it does not support quotes: leave it out"
            )
    return " ".join(" ".join(_line(value).split()) for value in values)


def unit(value: Any) -> str:
    """Return a word for a setting in a systemd unit (systemd.syntax(7), "Quoting")."""
    text = _line(value)
    plain = re.fullmatch(r"[A-Za-z0-9_/.@:+=,-]+", text)
    return text if plain else f'"{unit_text(text)}"'


def unit_text(value: Any) -> str:
    """Return a part of a double-quoted word in a systemd unit, without specifiers (``%``)."""
    text = _line(value)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def exec_text(value: Any) -> str:
    """Return a part of a double-quoted word in a command line of a systemd unit, which also has
    variables (systemd.service(5), "Command lines")."""
    return unit_text(value).replace("$", "$$")


def word(value: Any) -> str:
    """Return a word that needs no quotes in a Dockerfile, a shell, a unit or plain YAML. Raises
    QuotingError for any other."""
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9_./@][A-Za-z0-9_./:@+=,~-]*(?<!:)", text):
        raise QuotingError(f"{shown(value)} has a character that would need quotes here")
    return text


def number(value: Any) -> str:
    """Return a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise QuotingError(f"{shown(_known(value))} is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise QuotingError(f"{value} is not a finite number")
    text = repr(value)
    # In YAML 1.1, a float must have a point.
    return text if "." in text else text.replace("e", ".0e")


FILTERS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        *(yaml, compose, compose_text, command, plain_words),
        *(unit, unit_text, exec_text, word, number),
    )
}


# compose-go's template.go: $$, $NAME, ${NAME} and ${NAME:-default}; any other $ is an error.
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<otherwise>:?-[^${}]*)?\}|(?P<wrong>))"
)


def interpolated(value: Any, variables: Mapping[str, str], strict: bool = True) -> Any:
    """Return a value of a Compose file as Compose sees it: the reverse of ``compose``.

    + value: text, or lists and mappings of it, whose keys stay as they are
    + variables: those that Compose reads from the stack's own ``.env``
    + strict: if False, an unknown variable stays as it is

    Raises QuotingError for an unknown variable without a default: it would be empty, or whatever
    the environment happens to contain.
    """
    if isinstance(value, dict):
        return {key: interpolated(entry, variables, strict) for key, entry in value.items()}
    if isinstance(value, list):
        return [interpolated(entry, variables, strict) for entry in value]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        name, otherwise = match["name"] or match["braced"], match["otherwise"]
        found = variables.get(name)
        if found or (found is not None and not (otherwise or "").startswith(":")):
            return found
        if otherwise is not None:
            return str(otherwise.lstrip(":")[1:])
        if not strict:
            return match[0]
        what = f"the variable {name}" if name else "a dollar sign"
        raise QuotingError(
            f"{shown(value)} has {what}, which Compose replaces: write $$ for a dollar sign, or "
            "set the variable in the .env file of the stack's templates"
        )

    return _VARIABLE.sub(replaced, value)


def _without_variables(text: str) -> str:
    return text.replace("$", "$$")


def _yaml(value: Any, escaped: Callable[[str], str]) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        return _scalar(escaped(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(entry, escaped) for entry in value)}]"
    if isinstance(value, dict):
        entries = (f"{_yaml(key, str)}: {_yaml(entry, escaped)}" for key, entry in value.items())
        return f"{{{', '.join(entries)}}}"
    raise QuotingError(f"{shown(_known(value))} cannot be written in YAML")


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and not _OTHER_TYPES.fullmatch(text):
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    """Return a character for a double-quoted scalar (YAML 1.2, chapter 5.7)."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise QuotingError("it has a character that UTF-8 cannot represent")
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _line(value: Any) -> str:
    """Return text, or a number, as one line of visible characters."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuotingError(f"{shown(_known(value))} is not text")
    text = str(value)
    if not text.isprintable():
        raise QuotingError(f"{shown(value)} has a line break or an invisible character")
    return text


def _several(values: Sequence[Any]) -> Sequence[Any]:
    """Return a list. Raises QuotingError for text, which would be split into its letters."""
    if not isinstance(values, list | tuple):
        raise QuotingError(f"{shown(_known(values))} is not a list")
    return values


def _known(value: Any) -> Any:
    """Return the value. An undefined one of Jinja raises an error with its name when it becomes
    text."""
    str(value)
    return value
