"""One way to write a fact's or an operation's shell script.

A script is passed to ``sh -c`` as one argument and its values as positional
parameters, so no value is ever pasted into shell text.
"""

from __future__ import annotations

from pyinfra.api import HiddenValue, QuoteString, StringCommand
from typing_extensions import override


class HiddenText(str):
    """A secret for standard input: pyinfra prints a fact's ``_stdin`` with ``-v``.

    It behaves as its text but prints as a mask. It must end in a newline, since pyinfra
    formats a line that does not.
    """

    @override
    def __str__(self) -> str:
        return "*MASKED*"

    @override
    def __repr__(self) -> str:
        return "'*MASKED*'"

    @override
    def __format__(self, specification: str) -> str:
        return "*MASKED*"


ASIDE = """
answers=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit 1
trap 'rm -rf "$answers"' EXIT
"""
"""First words of a fact's script whose commands run side by side: each writes to a file of its own
in ``$answers``, in memory, which goes when the script ends. Without one nothing is known, and the
fact fails: no answer would look like a bare machine."""


def script(text: str, *values: str | int | HiddenValue, stdin: str | None = None) -> StringCommand:
    """Return the command that runs ``text`` with ``values`` as ``$1``, ``$2`` ...

    + text: POSIX shell script
    + values: positional parameters; a ``HiddenValue`` is masked in every output of pyinfra
    + stdin: what the script reads on standard input; it is never printed, so secrets go here
    """
    arguments = [
        QuoteString(value if isinstance(value, HiddenValue) else str(value)) for value in values
    ]
    command = ("sh", "-c", QuoteString(text.strip()), "sh", *arguments)
    if stdin is None:
        return StringCommand(*command)
    return StringCommand(*command, _stdin=stdin)
