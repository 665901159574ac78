"""How a value is written in each form of file, so that it never leaves the place where it stands.

Every function is a filter of the templates by its own name. A value that the form cannot hold is
refused; one that needs no quotes gets none, so that a file looks as a person would write it.

- ``yaml``: a YAML value; ``compose``: the same in a Compose file, which has variables
- ``compose_text``: a part of a block of text (``>-``) in a Compose file
- ``command``: flags in a ``command:`` that is one text; ``plain_words``: flags where no quotes are
  known
- ``unit``: a word in a systemd unit; ``unit_text``, ``exec_text``: a part of a word in double
  quotes, the second in a command line (``ExecStart=``)
- ``word``: what stands as it is, in a Dockerfile above all; ``number``
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workstation.errors import shown


class QuotingError(ValueError):
    """A value that the form of a file cannot hold; the message says which and why."""


# Of a plain scalar nothing here means anything to YAML, in flow style neither.
_PLAIN = re.compile(r"(?:--)?[A-Za-z0-9_/(][A-Za-z0-9_/.@+=()`-]*")
# Numbers (base 60 too), booleans, null and dates, of YAML 1.1 and 1.2, of PyYAML and Go.
_OTHER_TYPES = re.compile(
    r"(?:null|true|false|yes|no|on|off|y|n|[-+]?\.?[0-9][0-9_.]*(?:e[-+]?[0-9]+)?"
    r"|0[xob][0-9a-f_]+|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)",
    re.IGNORECASE,
)


def yaml(value: Any) -> str:
    """Return a value in YAML's flow style, text as text whatever it looks like."""
    return _yaml(value, lambda text: text)


def compose(value: Any) -> str:
    """Return a value for a Compose file: as ``yaml``, and no ``$`` in it begins a variable.

    Compose replaces variables in values alone, so a key is written with ``yaml``.
    """
    return _yaml(value, _without_variables)


def compose_text(value: Any) -> str:
    """Return a part of a block of text in a Compose file (``>-``)."""
    return _without_variables(_line(value))


def command(values: Sequence[Any]) -> str:
    """Return flags as a part of a Compose ``command:`` that is one text, which Compose takes apart
    as a shell does (github.com/mattn/go-shellwords).

    + values: each one or more words, quoted as for a shell where they must be
    """
    words: list[str] = []
    for value in _several(values):
        try:
            words += shlex.split(_line(value))
        except ValueError:
            raise QuotingError(f"{shown(value)} has quotes that are not closed") from None
    return _without_variables(" ".join(map(shlex.quote, words)))


def plain_words(values: Sequence[Any]) -> str:
    """Return flags for a variable that a script takes apart at blanks, with no quotes, in a Compose
    file."""
    for value in _several(values):
        if re.search(r"""["'\\*?\[\]`$;&|<>(){}]""", _line(value)):
            raise QuotingError(
                f"{shown(value)} has a character that means something to a shell, and the program "
                "that gets it knows no quotes: leave it out"
            )
    return " ".join(" ".join(_line(value).split()) for value in values)


def unit(value: Any) -> str:
    """Return a word of a setting in a systemd unit (systemd.syntax(7), "Quoting")."""
    text = _line(value)
    plain = re.fullmatch(r"[A-Za-z0-9_/.@:+=,-]+", text)
    return text if plain else f'"{unit_text(text)}"'


def unit_text(value: Any) -> str:
    """Return a part of a word in double quotes in a systemd unit, without specifiers (``%``)."""
    text = _line(value)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def exec_text(value: Any) -> str:
    """Return a part of a word in double quotes in a command line of a systemd unit, which has
    variables too (systemd.service(5), "Command lines")."""
    return unit_text(value).replace("$", "$$")


def word(value: Any) -> str:
    """Return a word that means itself in a Dockerfile, a shell, a unit and a plain scalar of YAML:
    what would have to be quoted is refused."""
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9_./@][A-Za-z0-9_./:@+=,~-]*(?<!:)", text):
        raise QuotingError(f"{shown(value)} has a character that would have to be quoted here")
    return text


def number(value: Any) -> str:
    """Return a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise QuotingError(f"{shown(_known(value))} is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise QuotingError(f"{value} is not a number that a file can hold")
    text = repr(value)
    # YAML 1.1 knows no float without a point.
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
    """Return a value of a Compose file as Compose sees it: the opposite of ``compose``.

    + value: text, or lists and mappings of it, of which the keys stay as they are
    + variables: those that Compose gets from the stack's own ``.env``
    + strict: False leaves a variable that is not among them as it stands

    Raises QuotingError for a variable that is not among them and has no default: it would be
    nothing, or whatever an environment happens to hold.
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
        what = f"the variable {name}" if name else "a dollar"
        raise QuotingError(
            f"{shown(value)} has {what}, which Compose replaces: write $$ for a dollar, or set the "
            "variable in the file .env of the stack's templates"
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
    raise QuotingError(f"{shown(_known(value))} is not what YAML can hold")


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and not _OTHER_TYPES.fullmatch(text):
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    """A character in double quotes (YAML 1.2, chapter 5.7)."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise QuotingError("it has a character that UTF-8 cannot hold")
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _line(value: Any) -> str:
    """Text, or a number, as one line of characters that can be seen."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuotingError(f"{shown(_known(value))} is not text")
    text = str(value)
    if not text.isprintable():
        raise QuotingError(f"{shown(value)} has a line break or a character that cannot be seen")
    return text


def _several(values: Sequence[Any]) -> Sequence[Any]:
    """A list; text alone would be taken for its letters."""
    if not isinstance(values, list | tuple):
        raise QuotingError(f"{shown(_known(values))} is not a list")
    return values


def _known(value: Any) -> Any:
    """The value; an undefined one of Jinja is an error that names it, as soon as it is text."""
    str(value)
    return value
