"""Errors that the person at the keyboard can fix, and helpers to word them.

Every error of the pure modules is one sentence that says what is wrong, where, and how to fix it.
"""

from __future__ import annotations

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Iterable

import click
from pydantic_core import ErrorDetails
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra_cli.exceptions import CliError
from typing_extensions import override

from workstation.visible import visible


class UserError(CliError, PyinfraError):  # type: ignore[misc]  # pyinfra_cli has no types
    """An error shown as one sentence to the person who can fix it.

    pyinfra lets a ``PyinfraError`` pass through the files that it runs, and its command line shows
    a ``CliError`` and ends with status 1: the sentence, without a traceback.

    What comes from the host is made ``visible``, except for line breaks: some sentences are lists.

    ``id`` is the heading in docs/errors.md that explains it. A class has one for all of its errors;
    a single error may have its own.
    """

    id = ""

    def __init__(self, message: str, id: str = "") -> None:
        super().__init__(visible(message, keep="\t\n"))
        self.id = id or self.id

    @override
    def show(self, file: object = None) -> None:
        """Print the sentence, and its id in brackets."""
        logger.error(f"--> {click.style('error', 'red', bold=True)}: {self}{in_brackets(self.id)}")


def in_brackets(id: str) -> str:
    """Return an id in brackets, to follow a sentence; empty if there is none."""
    return f" [{id}]" if id else ""


class HostError(UserError):
    """The state of a host, or the answer of a server, prevents an operation."""


TOKEN = re.compile(r"\b(gh[a-z]_|github_pat_|glpat-|hf_)[\w.-]+")
"""What begins as the tokens of GitHub, GitLab and Hugging Face do."""

# What may be a password in an address: user information (before the @), and a query. Each pattern
# begins where a word does, or is bounded: a value may be megabytes long.
_CREDENTIALS = (
    (re.compile(r"(:/+)[^\s/]*@"), r"\1...@"),
    (re.compile(r"(?<![^\s/@'\"])[^\s/@:'\"]+:[^\s/@]+@(?!sha256:)"), "...@"),
    (re.compile(r"(:/[^\s?]{0,200}\?)\S+"), r"\1..."),
    (TOKEN, r"\1..."),
)


def without_credentials(text: str) -> str:
    """Return a text in which three dots stand for what may be a password in an address."""
    for pattern, dots in _CREDENTIALS:
        text = pattern.sub(dots, text)
    return text


class _Short(reprlib.Repr):
    def repr_str(self, x: str, level: int) -> str:
        # Before it is shortened, which could leave half a password without its "@".
        return super().repr_str(without_credentials(x), level)


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 120
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """Return a value for an error message: short, on one line, without passwords in addresses, and
    with the name of its first character that is not ASCII, which may look like another."""
    text = _short(value)
    return text + _odd(text)


def named(name: object) -> str:
    """Return a name for an error message, as ``shown`` does, without the quotes."""
    text = _short(name)
    return text.strip("'") + _odd(text)


def _short(value: object) -> str:
    try:
        return " ".join(_SHORT.repr(value).split())
    except Exception:  # a class of the user's, or a number with too many digits
        return f"a value of the type {type(value).__name__}"


def _odd(text: str) -> str:
    odd = next((one for one in text if not one.isascii()), "")
    name = unicodedata.name(odd, "") if odd else ""
    return f" (with {name})" if name else ""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``" (did you mean X?)"`` for the known name closest to ``name``, or an empty string.

    + cutoff: the similarity that is required, up to 1 (difflib)
    """
    if len(name) > 100:
        return ""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return f" (did you mean {by_folded[matches[0]]}?)" if matches else ""


def expectation(error: ErrorDetails) -> str:
    """Return what pydantic expected of a value, as the end of a sentence.

    Pydantic begins its own messages with "Input should be" or "List should have", and puts "Value
    error, " before those of our validators.
    """
    message = error["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input should be|\w+ should have)", "expected", message).rstrip(".")
