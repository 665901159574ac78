"""The programs that run on hosts: one a file, ``files/<subject>/<name>``, linted where they stand.

A shell script is passed to its shell as text, so ``. files/docker/flush.sh`` cannot be left to the
host: such a line, by which shellcheck finds the functions too, gives way to what that file holds.
What is for readers and linters alone does not travel: the comment at a file's beginning with its
``#!``, and shellcheck's directives.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from workstation.errors import UserError

FILES = Path(__file__).parent.parent / "files"

ENGLISH = ("env", "LC_ALL=C.UTF-8", "LANGUAGE=")
"""Words that put a command into the one language. gettext looks at LANGUAGE even where the locale
is C.UTF-8."""

_HEAD = re.compile(r"(?:#.*\n|\n)+")
_DIRECTIVE = re.compile(r"^[ \t]*# shellcheck .*\n", re.MULTILINE)
_INCLUDED = re.compile(r"^[ \t]*\. files/(\S+)$", re.MULTILINE)


@cache
def text(name: str) -> str:
    """Return a program as a host is given it.

    + name: of its file below ``files/``, such as ``docker/bake.sh``

    Raises UserError if there is no such file.
    """
    try:
        said = (FILES / name).read_text()
    except OSError as error:
        raise UserError(
            f"{FILES / name} cannot be read ({error.strerror}): this checkout is not whole; "
            "`git status` says what is missing, `git checkout -- files` brings it back."
        ) from None
    head = _HEAD.match(said)
    said = _DIRECTIVE.sub("", said[head.end() if head else 0 :])
    return _INCLUDED.sub(lambda line: text(line[1]), said).strip()
