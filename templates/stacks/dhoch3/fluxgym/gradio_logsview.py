"""The two names that FluxGym imports from the package of this name, for today's Gradio.

A view of a running command's output, and the command's runner.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import gradio

LINES = 1000
"""How much of the output is kept in the view."""

PAUSE = 0.5
"""Seconds between two updates of the view."""


def LogsView(**arguments: Any) -> gradio.Code:  # noqa: N802 (FluxGym's name)
    """Return the component: text that only the program writes."""
    return gradio.Code(language="shell", interactive=False, **arguments)


class LogsViewRunner:
    """Runs a command; every value that it yields is the whole text to show."""

    def __init__(self) -> None:
        self._lines = [""]
        self.exit_code: int | None = None

    def __str__(self) -> str:
        return f"exit code {self.exit_code}"

    def log(self, message: str) -> str:
        """Add a line; return the text."""
        self._add(f"\n{message}\n")
        return self._text()

    def run_command(self, command: list[str], cwd: str | None = None) -> Iterator[str]:
        """Run the command line in a shell, yielding the text as it grows."""
        process = subprocess.Popen(
            " ".join(command),
            shell=True,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        told = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while data := self._read(selector, process.stdout.fileno()):
                self._add(data.decode(errors="replace"))
                if time.monotonic() - told >= PAUSE:
                    told = time.monotonic()
                    yield self._text()
        self.exit_code = process.wait()
        yield self._text()

    @staticmethod
    def _read(selector: selectors.BaseSelector, descriptor: int) -> bytes:
        selector.select()
        return os.read(descriptor, 65536)

    def _add(self, text: str) -> None:
        """Add text as a terminal shows it: a carriage return starts the line again."""
        for part in text.replace("\r\n", "\n").splitlines(keepends=True):
            line = self._lines[-1]
            if line.endswith("\n"):
                self._lines.append(part)
            elif line.endswith("\r"):
                self._lines[-1] = part
            else:
                self._lines[-1] = line + part
        del self._lines[:-LINES]

    def _text(self) -> str:
        return "".join(self._lines).replace("\r", "")
