"""Errors that the person at the keyboard can fix, and how they are worded.

Every error of the pure modules is one sentence that says what is wrong, where, and how to fix it.
"""

from __future__ import annotations

import difflib
import reprlib
import unicodedata
from collections.abc import Iterable

import click
from pydantic_core import ErrorDetails
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra_cli.exceptions import CliError
from typing_extensions import override


class UserError(CliError, PyinfraError):  # type: ignore[misc]  # pyinfra_cli has no types
    """One sentence for the person who can fix what it names.

    pyinfra lets a ``PyinfraError`` pass through the files that it runs, and its command line ends
    with status 1 after showing a ``CliError``: the sentence, without a traceback.

    ``id`` is the heading in docs/errors.md that explains it. A class has one for all of its errors;
    a single error may have its own.
    """

    id = ""

    def __init__(self, message: str, id: str = "") -> None:
        super().__init__(message)
        self.id = id or self.id

    @override
    def show(self, file: object = None) -> None:
        """Print the sentence, and its id in brackets."""
        logger.error(f"--> {click.style('error', 'red', bold=True)}: {self}{in_brackets(self.id)}")


def in_brackets(id: str) -> str:
    """Return an id as the end of a sentence; empty where there is none."""
    return f" [{id}]" if id else ""


class HostError(UserError):
    """What stands on a host, or what a server answers, is in the way of an operation."""


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 120
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """Gives a value for an error: short, on one line, and with the name of a character that may
    look like another."""
    text = _short(value)
    return text + _odd(text)


def named(name: object) -> str:
    """Gives a name for an error, as ``shown`` does, without quotes around it."""
    text = _short(name)
    return text.strip("'") + _odd(text)


def _short(value: object) -> str:
    try:
        return " ".join(_SHORT.repr(value).split())
    except Exception:  # a class of somebody's own, or a number of too many digits
        return f"a value of the type {type(value).__name__}"


def _odd(text: str) -> str:
    odd = next((one for one in text if not one.isascii()), "")
    name = unicodedata.name(odd, "") if odd else ""
    return f" (with {name})" if name else ""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Gives ``" (did you mean X?)"`` for the known name most like ``name``, or an empty string.

    + cutoff: how much alike they must be, up to 1 (difflib)
    """
    if len(name) > 100:
        return ""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return f" (did you mean {by_folded[matches[0]]}?)" if matches else ""


def expectation(error: ErrorDetails) -> str:
    """Gives what pydantic expected of a value, as the end of a sentence.

    Pydantic begins its own messages with "Input should be" and prefixes those of our validators
    with "Value error, ".
    """
    message = error["msg"].removeprefix("Value error, ")
    return message.replace("Input should be", "expected", 1).rstrip(".")
