"""Checks whether tests notice when a safety line is removed.

    python -m tests.mutations [-k WORD] [-j JOBS]

Makes each change of ``tests/mutations.yml`` in a copy of the checkout, runs the tests that should
notice it, and lists the changes that none of them noticed. The exit status is 1 if the list does
not explain one of these.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".yml")
FAST = ("tests/unit", "tests/fixtures")
"""All that an entry without tests of its own is tried with."""

LIMIT = 900
"""Seconds that the tests of one mutation may take; a single test has a limit of its own."""

# These take the real lock of this machine, like any run does, so only one may run at a time.
_ALONE = (
    *("test_run.py", "test_inventory.py"),
    *("test_safety_run.py", "test_safety_inventory.py"),
)
_alone = threading.Lock()

_LEFT_OUT = (
    *(".git", ".venv", ".lab", ".env", ".ai-workstation"),
    *("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"),
)

Verdict = Literal["noticed", "SURVIVED", "explained", "EXPLAINED, BUT NOTICED", "NO END"]


class MutationError(Exception):
    """The list does not match the checkout; the message says where."""


@dataclass(frozen=True)
class Mutation:
    """A change of one file: ``old``, found there once, becomes ``new``. ``why``: what goes wrong
    with it; ``tests``: which should notice; ``survives``: why none can, if so."""

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...] = FAST
    survives: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {_short(self.old)} -> {_short(self.new) or 'nothing'}"

    def applied(self, text: str) -> str:
        """Return the file's text with the change. Raises MutationError if it cannot be made."""
        count = text.count(self.old)
        if count != 1:
            raise MutationError(
                f"{_short(self.old)} is found {count} times in {self.file}, where once is expected:"
                " correct the entry in tests/mutations.yml."
            )
        changed = text.replace(self.old, self.new)
        if self.file.endswith(".py"):
            try:
                compile(changed, self.file, "exec")
            except SyntaxError as error:
                raise MutationError(
                    f"{self} leaves no Python behind (line {error.lineno}: {error.msg}): any test "
                    "would notice that; correct the entry in tests/mutations.yml."
                ) from None
        return changed


@dataclass(frozen=True)
class Outcome:
    """The result of a mutation, and the test that noticed it."""

    mutation: Mutation
    verdict: Verdict
    test: str = ""

    @property
    def good(self) -> bool:
        return self.verdict in ("noticed", "explained")


def load(path: Path = LIST) -> list[Mutation]:
    """Return the mutations of a list. Raises MutationError for an incomplete entry."""
    found = []
    for group in yaml.safe_load(path.read_text()):
        for entry in group["mutations"]:
            unknown = entry.keys() - {"old", "new", "why", "tests", "survives"}
            if unknown or not entry.get("old") or not entry.get("why"):
                raise MutationError(
                    f"{group['file']} has an entry without old or why, or with {unknown or 'less'}:"
                    f" {entry}."
                )
            found.append(
                Mutation(
                    file=group["file"],
                    old=entry["old"],
                    new=entry.get("new") or "",
                    why=entry["why"],
                    tests=tuple(entry.get("tests") or group.get("tests") or FAST),
                    survives=entry.get("survives", ""),
                )
            )
    return found


def _short(text: str, most: int = 70) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"


class Checkout:
    """A copy of the checkout in which one mutation at a time is made and tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        shutil.copytree(ROOT, self.folder, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        # Some tests query Git for the files of the repository.
        for arguments in (["init", "--quiet"], ["add", "--all"]):
            subprocess.run(["git", *arguments], cwd=self.folder, check=True)
        self._times = 0

    @contextmanager
    def made(self, mutation: Mutation) -> Iterator[None]:
        """Apply the mutation while the body runs."""
        path = self.folder / mutation.file
        original, status = path.read_bytes(), path.stat()
        # Python decides by size and time, in whole seconds, whether its compiled code is up to
        # date.
        self._times += 1
        path.write_text(mutation.applied(original.decode()))
        os.utime(path, (self._times, self._times))
        try:
            yield
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def failure(self, tests: Iterable[str]) -> tuple[str, str]:
        """Return the first test that fails, and pytest's output; nothing if none fails.

        Raises TimeoutExpired, and MutationError if pytest could not begin.
        """
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *tests],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=LIMIT,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode == 0:
            return "", said
        if done.returncode not in (1, 2):
            raise MutationError(f"pytest could not run {' '.join(tests)}:\n{said[-2000:]}")
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
        return found[1] if found else "pytest", said

    def tried(self, mutation: Mutation) -> Outcome:
        """Return the result of a mutation."""
        shared = all(path.endswith(".py") and not path.endswith(_ALONE) for path in mutation.tests)
        try:
            with self.made(mutation), nullcontext() if shared else _alone:
                test, _ = self.failure(mutation.tests)
        except subprocess.TimeoutExpired:
            return Outcome(mutation, "NO END")
        if mutation.survives:
            return Outcome(mutation, "EXPLAINED, BUT NOTICED" if test else "explained", test)
        return Outcome(mutation, "noticed" if test else "SURVIVED", test)


def chosen(mutations: Iterable[Mutation], word: str) -> list[Mutation]:
    """Return the mutations that have a word in their file, text or reason."""
    return [
        one
        for one in mutations
        if word.casefold() in "\n".join((one.file, one.old, one.new, one.why)).casefold()
    ]


def run(mutations: Sequence[Mutation], jobs: int) -> Iterator[Outcome]:
    """Yield the result of each mutation as soon as it is known.

    Raises MutationError if the tests fail without any.
    """
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        free: queue.Queue[Checkout] = queue.Queue()
        for number in range(jobs):
            free.put(Checkout(Path(folder) / str(number)))
        one = free.get()
        test, said = one.failure(sorted({path for each in mutations for path in each.tests}))
        free.put(one)
        if test:
            raise MutationError(
                f"{test} fails without any mutation, so it can tell nothing:\n{said[-3000:]}"
            )

        def tried(mutation: Mutation) -> Outcome:
            checkout = free.get()
            try:
                return checkout.tried(mutation)
            finally:
                free.put(checkout)

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(tried, mutations)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("-k", metavar="WORD", default="", help="only those with this word")
    parser.add_argument("-j", metavar="JOBS", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    try:
        mutations = chosen(load(), options.k)
        for mutation in mutations:
            mutation.applied((ROOT / mutation.file).read_text())
        if not mutations:
            raise MutationError(f"No mutation has the word {options.k}.")
        outcomes = []
        for outcome in run(mutations, min(options.j, len(mutations))):
            outcomes.append(outcome)
            print(f"{outcome.verdict:9} {outcome.mutation}  {outcome.test}", flush=True)
    except MutationError as error:
        print(error, file=sys.stderr)
        return 2
    counts = dict.fromkeys(("noticed", "explained"), 0)
    for outcome in outcomes:
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    print(f"\n{len(outcomes)} mutations: {told}")
    for outcome in outcomes:
        if outcome.verdict != "noticed":
            reason = outcome.mutation.survives or outcome.mutation.why
            print(f"  {outcome.verdict}: {outcome.mutation}\n      {reason}")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
