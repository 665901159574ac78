"""Errors that the person at the keyboard can fix, and how they are worded.

Every error of the pure modules is one sentence that says what is wrong, where, and how to fix it.
``workstation.guards`` makes pyinfra print that sentence alone, without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic_core import ErrorDetails


class UserError(Exception):
    """One sentence for the person who can fix what it names."""


class HostError(UserError):
    """What stands on a host, or what a server answers, is in the way of an operation."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Gives ``" (did you mean X?)"`` for the known name most like ``name``, or an empty string."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[matches[0]]}?)" if matches else ""


def expectation(error: ErrorDetails) -> str:
    """Gives what pydantic expected of a value, as the end of a sentence.

    Pydantic begins its own messages with "Input should be" and prefixes those of our validators
    with "Value error, ".
    """
    message = error["msg"].removeprefix("Value error, ")
    return message.replace("Input should be", "expected", 1).rstrip(".")
