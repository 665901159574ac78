"""Runs a command and measures its time, memory and result."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError


@dataclass(frozen=True)
class Sample:
    """One run: wall time and processor time of all its processes in seconds, and the peak memory of
    the largest of them in MiB."""

    seconds: float
    processor: float
    memory: float
    code: int
    output: str = field(repr=False)
    errors: str = field(repr=False)


# Starts the command and waits for it. The kernel also attributes the memory of the starting process
# to the started one (getrusage(2): execve keeps ru_maxrss), so this process is small.
_LAUNCHER = """
import json, os, sys, time
started = time.monotonic()
_, status, usage = os.wait4(os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:]), 0)
seconds = time.monotonic() - started
with open(sys.argv[1], "w") as result:
    json.dump([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024,
               os.waitstatus_to_exitcode(status)], result)
"""


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Sample:
    """Run a command to its end, without a terminal, and measure it.

    + folder: its working directory
    + environment: all of its variables
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        result, output, errors = (Path(place, name) for name in ("result", "output", "errors"))
        with output.open("wb") as out, errors.open("wb") as err:
            # Files, not pipes, so that nothing has to be read while it runs.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(result), *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                process.wait()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
        texts = [file.read_text(errors="replace") for file in (output, errors)]
        if process.returncode:
            raise LabError(f"{command[0]} could not be measured: {texts[1].strip()}")
        return Sample(*json.loads(result.read_text()), *texts)


@dataclass
class Series:
    """The runs of one contestant under one condition.

    + round_trips: how often it had to wait for the machine's answer, in each run; empty if nothing
      counted them
    """

    samples: list[Sample] = field(default_factory=list)
    round_trips: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [sample.seconds for sample in self.samples]

    @property
    def median(self) -> float:
        """The median of the wall times, in seconds."""
        return statistics.median(self.seconds)

    @property
    def processor(self) -> float:
        """The median of the processor times, in seconds."""
        return statistics.median(sample.processor for sample in self.samples)

    @property
    def memory(self) -> float:
        """The highest peak of all runs, in MiB."""
        return max(sample.memory for sample in self.samples)

    @property
    def turns(self) -> float | None:
        """The median of the round trips, None if they were not counted."""
        return statistics.median(self.round_trips) if self.round_trips else None


def ratio(longer: Series, shorter: Series) -> float:
    """Return the ratio of the median run times of one and the other."""
    return longer.median / shorter.median
