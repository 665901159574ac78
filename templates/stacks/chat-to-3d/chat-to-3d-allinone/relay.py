"""Repeats what supervisord's programs write, each line after the program's name, on stderr, which
supervisord passes to the container's log. An event listener
(http://supervisord.org/events.html#event-listeners-and-event-notifications)."""

from __future__ import annotations

import ast
import io
import sys
from typing import BinaryIO, TextIO

_LONGEST = 1 << 16
"""Bytes of a line that is passed on before it has ended."""


_UNDECODABLE = "Undecodable: "


class Lines:
    """Puts together the lines of programs from pieces that begin and end anywhere."""

    def __init__(self) -> None:
        self._rest: dict[tuple[str, str, str], bytes] = {}

    def add(self, program: str, channel: str, pid: str, piece: bytes) -> list[bytes]:
        """Return the lines that a piece completes, each after the program's name. The last words of
        a program that has ended are a line of their own."""
        key = (program, channel, pid)
        lines = []
        for other in [k for k in self._rest if k[:2] == key[:2] and k != key]:
            lines.append(self._rest.pop(other))
        *complete, rest = (self._rest.pop(key, b"") + piece).split(b"\n")
        lines += complete
        if len(rest) >= _LONGEST:
            lines.append(rest)
        elif rest:
            self._rest[key] = rest
        name = program.encode()
        return [name + b" | " + line.rstrip(b"\r") + b"\n" for line in lines]


def fields(text: str) -> dict[str, str]:
    """Return what ``name:value name:value`` says."""
    return dict(pair.split(":", 1) for pair in text.split())


def contents(said: str) -> bytes:
    """Return what a program wrote. supervisord writes bytes that are not UTF-8, such as a part of a
    character, as Python would."""
    if said.startswith(_UNDECODABLE):
        try:
            found = ast.literal_eval(said.removeprefix(_UNDECODABLE))
        except (ValueError, SyntaxError):
            # Then a program wrote this word itself.
            return said.encode()
        return found if isinstance(found, bytes) else said.encode()
    return said.encode()


def serve(source: TextIO, answers: BinaryIO, log: BinaryIO) -> None:
    """Repeat events until supervisord closes the pipe."""
    lines = Lines()
    while True:
        answers.write(b"READY\n")
        answers.flush()
        header = source.readline()
        if not header:
            return
        # Counted in characters, not in bytes.
        payload = source.read(int(fields(header)["len"]))
        about, _, said = payload.partition("\n")
        program = fields(about)
        for line in lines.add(
            program["processname"], program["channel"], program["pid"], contents(said)
        ):
            log.write(line)
        log.flush()
        answers.write(b"RESULT 2\nOK")
        answers.flush()


if __name__ == "__main__":
    # Line ends stay as they are, for they count.
    events = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="\n")
    serve(events, sys.stdout.buffer, sys.stderr.buffer)
