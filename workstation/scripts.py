"""The programs that run on hosts, one per file: ``files/<subject>/<name>``, where linters see them.

A shell script is passed to its shell as text, so the host cannot read ``. files/docker/flush.sh``:
such a line, by which shellcheck finds the functions too, is replaced with the content of that file.
Parts that are only for readers and linters are not sent: the comment at the beginning of a file
with its ``#!``, and shellcheck's directives.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from workstation.errors import UserError

FILES = Path(__file__).parent.parent / "files"

ENGLISH = ("env", "LC_ALL=C.UTF-8", "LANGUAGE=")
"""Words before a command that make it speak English. gettext uses LANGUAGE even if the locale is
C.UTF-8."""

_HEAD = re.compile(r"(?:#.*\n|\n)+")
_DIRECTIVE = re.compile(r"^[ \t]*# shellcheck .*\n", re.MULTILINE)
_INCLUDED = re.compile(r"^[ \t]*\. files/(\S+)$", re.MULTILINE)


@cache
def text(name: str) -> str:
    """Return a program as it is sent to hosts.

    + name: its file below ``files/``, such as ``docker/bake.sh``

    Raises UserError if there is no such file.
    """
    try:
        said = (FILES / name).read_text()
    except OSError as error:
        raise UserError(
            f"{FILES / name} cannot be read ({error.strerror}): this checkout is incomplete; "
            "`git status` shows what is missing, `git checkout -- files` restores it.",
            id="checkout-incomplete",
        ) from None
    head = _HEAD.match(said)
    said = _DIRECTIVE.sub("", said[head.end() if head else 0 :])
    return _INCLUDED.sub(lambda line: text(line[1]), said).strip()
