"""How facts and operations run shell scripts, and how facts read the output.

A script (:mod:`workstation.scripts`) is passed to its shell as one argument and its values as
positional parameters, so no value is ever pasted into shell text. Whatever the host's language,
scripts use ``scripts.ENGLISH``.

A fact sends a :func:`question`. Its answer is enclosed in two marks, so that the output of a login
script or shell is not mistaken for it, and it has a time limit, so that a hung program does not
hang the run. :class:`Fact` reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pyinfra.api import FactBase, HiddenValue, QuoteString, StringCommand
from typing_extensions import override

from workstation import run, scripts
from workstation.errors import HostError

T = TypeVar("T")

LIMIT = 300
"""Seconds that a question may take by default; generous, because a machine may be slow."""

# Variables of Compose, Docker and GNU programs, set in /etc/environment or a login script, that
# change what a command does or on which machine. A Docker context, from root's configuration, does
# too.
_UNSET = (
    *("POSIXLY_CORRECT", "GREP_OPTIONS", "TAR_OPTIONS", "BLOCK_SIZE"),
    *("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES"),
    *("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"),
    *("DOCKER_DEFAULT_PLATFORM", "DOCKER_BUILDKIT", "BUILDX_BUILDER", "BUILDKIT_HOST"),
)
_ENVIRONMENT = (
    *("env", *(word for name in _UNSET for word in ("-u", name))),
    *("DOCKER_CONTEXT=default", *scripts.ENGLISH[1:]),
)

MARK = "-- ai-workstation --"


class HiddenText(str):
    """A secret for standard input, which pyinfra would print with ``-v``.

    It behaves like its text but prints as a mask. It must end with a newline, because pyinfra
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


class UnansweredError(HostError):
    """The host did not answer a question, or not in time."""

    id = "host-not-answering"


def script(text: str, *values: str | int | HiddenValue, stdin: str | None = None) -> StringCommand:
    """Return the command of an operation that runs ``text`` with ``values`` as ``$1``, ``$2`` ...

    + text: POSIX shell script
    + values: positional parameters; a ``HiddenValue`` is masked in all output of pyinfra
    + stdin: the script's standard input; it is never printed, so secrets go here
    """
    command = (*_ENVIRONMENT, "sh", "-c", QuoteString(text.strip()), "sh", *_quoted(values))
    if stdin is None:
        return StringCommand(*command)
    return StringCommand(*command, _stdin=stdin)


def question(text: str, *values: str | int | HiddenValue, limit: int = LIMIT) -> StringCommand:
    """Return the command of a fact that runs ``text`` with ``values`` as ``$1``, ``$2`` ...

    + text: Bash script, with ``/usr/sbin`` and ``/sbin`` in its PATH. If it includes
      ``files/shell/limited.sh``, it has ``$answers``, a temporary folder in memory for commands
      that run in parallel; ``limited SECONDS COMMAND...``, which runs a program that may hang and
      returns 124 when its time is up; and ``answered COMMAND...``, which gives it 60 s and fails
      the question without its answer
    + values: positional parameters, see :func:`script`
    + limit: seconds that the whole question may take
    """
    return StringCommand(
        *(*_ENVIRONMENT, "bash", "-c", QuoteString(scripts.text("shell/question.sh")), "question"),
        *(QuoteString(MARK), str(limit), QuoteString(text.strip())),
        *("bash", *_quoted(values)),
    )


def _quoted(values: Sequence[str | int | HiddenValue]) -> list[QuoteString]:
    return [
        QuoteString(value if isinstance(value, HiddenValue) else str(value)) for value in values
    ]


class Fact(FactBase[T]):
    """A fact that sends a :func:`question`. ``read`` gets the lines of the answer. For an empty
    answer, the fact is the empty value of its type: ``[]`` for a ``Fact[list[str]]``."""

    @override
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        (answer,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        cls.default = staticmethod(get_origin(answer) or answer)  # type: ignore[method-assign]

    @override
    def process(self, output: list[str]) -> T:
        """Return the fact. Raises UnansweredError if the script failed or took too long."""
        lines = answer(output, self.name.rpartition(".")[2])
        found: T = self.read(lines) if lines else self.default()
        by_hand = tuple(run.current().options.get("operations") or ())[:1] == ("fact",)
        return plain(found) if by_hand else found

    def read(self, lines: list[str]) -> T:
        """Return the fact from the lines of an answer, of which there is at least one."""
        raise NotImplementedError


def plain(value: Any) -> Any:
    """Return a fact as JSON types, for `pyinfra HOST fact NAME`, which cannot show dataclasses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(entry) for name, entry in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def answer(output: Sequence[str], name: str) -> list[str]:
    """Return the lines between the marks of :func:`question`.

    + output: all output of the command
    + name: of the fact, for the error

    Raises UnansweredError.
    """
    ends = [number for number, line in enumerate(output) if line.startswith(MARK)]
    begin = next((number for number in ends if output[number] == MARK), None)
    end = next((number for number in reversed(ends) if output[number] != MARK), None)
    if begin is None or end is None:
        raise UnansweredError(f"the answer to the query {name} was cut off")
    status = output[end].removeprefix(MARK).strip()
    said = " ".join(line.strip() for line in output[end + 1 :] if line.strip())
    if status == "hung":
        raise UnansweredError(f"`{said}` does not answer within 60 s")
    if status in ("124", "137"):
        raise UnansweredError(f"the query {name} took too long")
    if status != "0":
        raise UnansweredError(f"the query {name} failed: {said or f'exit status {status}'}")
    lines = list(output[begin + 1 : end])
    # The mark always starts a new line, even if the last line of the answer had no newline.
    return lines[:-1] if lines and not lines[-1] else lines
