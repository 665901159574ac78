"""Steps with live progress: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from lab.errors import LabError

console = Console(stderr=True, highlight=False, soft_wrap=True)

# Seconds after which a silent step reports that it is alive, without a terminal.
HEARTBEAT_SECONDS = 5.0


@dataclass
class Step:
    """A running step.

    + detail: what it is doing, shown while it runs
    + failed: set by the body to end the step as failed without an exception
    """

    title: str
    started: float = field(default_factory=time.monotonic)
    detail: str = ""
    spoke: float = 0.0
    failed: bool = False

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    def line(self) -> str:
        """Return its one line: title, whole seconds, detail."""
        detail = f"  {self.detail[:100]}" if self.detail else ""
        return f"{self.title}  {self.seconds:.0f} s{detail}"

    def tell(self, line: str) -> None:
        """Print a permanent line."""
        self.spoke = time.monotonic()
        console.print(line, markup=False)


@contextlib.contextmanager
def step(title: str) -> Iterator[Step]:
    """Show `title` and progress while the body runs, and at the end the seconds it took."""
    running = Step(title)
    ended = threading.Event()
    show = _spin if console.is_terminal else _beat
    thread = threading.Thread(target=show, args=(running, ended), daemon=True)
    thread.start()
    try:
        yield running
    except BaseException:
        running.failed = True
        raise
    finally:
        ended.set()
        thread.join()
        mark = "[red]failed[/]" if running.failed else "[green]ok[/]"
        console.print(f"{mark} {escape(running.title)}  [dim]{running.seconds:.1f} s[/]")


@contextlib.contextmanager
def stopwatch(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Record under `name` how many seconds the body takes."""
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = time.monotonic() - started


def run(command: Sequence[str], running: Step) -> None:
    """Run a command and show its last line of output as the step's detail.

    Raises LabError with the end of the output if it fails.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                running.detail = line.strip()
                lines.append(line.rstrip())
    if process.returncode:
        end = "\n".join(lines[-20:])
        raise LabError(f"{command[0]} failed with exit code {process.returncode}:\n{end}")


def _spin(running: Step, ended: threading.Event) -> None:
    with console.status(escape(running.title)) as status:
        while not ended.wait(0.2):
            status.update(escape(running.line()))


def _beat(running: Step, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        if time.monotonic() - running.spoke >= HEARTBEAT_SECONDS:
            console.print(f".. {escape(running.line())}")
