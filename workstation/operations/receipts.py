"""Receipts: each run leaves one on the host and on this machine; ``show`` prints them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from pyinfra.api import StringCommand
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workstation import scripts, ssh
from workstation.errors import UserError
from workstation.facts.asking import ask
from workstation.facts.receipts import FOLDER, Receipts
from workstation.facts.shell import script
from workstation.plan import Step
from workstation.render import TEMPLATES
from workstation.report import receipt, records
from workstation.report.origin import origin
from workstation.report.receipt import Accepted, Outcome, Receipt
from workstation.run import current

KEPT = 100
"""Number of receipts kept for each host."""

SHOWN = 10

_PATIENCE = 60


def of_run(
    host: Any,
    steps: Sequence[Step],
    failed: str,
    ending: Outcome | None,
    started: datetime,
    seconds: dict[str, float],
) -> Receipt:
    """Return the receipt of a run that ends now.

    + steps: of the host, in order
    + failed: name of the step that failed, or empty
    + ending: how the run ended, None if it was completed
    + seconds: part of the run -> how long it took
    """
    plan, done = receipt.lines_of(steps)
    who = origin(TEMPLATES.parent)
    report = current().accepted.get(host.name)
    return Receipt(
        host=host.name,
        who=who.who,
        commit=who.commit,
        changed=who.changed,
        arguments=who.shown_arguments,
        started=started,
        finished=datetime.now().astimezone(),
        outcome="failed" if failed else ending or ("changed" if done else "unchanged"),
        failed=failed,
        plan=plan,
        done=done,
        seconds={name: round(value, 1) for name, value in seconds.items()},
        remote_commands=current().commands.get(host.name, 0),
        acceptance=Accepted.of(report) if report else None,
    )


def leave(state: Any, host: Any, left: Receipt) -> None:
    """Leave a receipt on the host and on this machine.

    A failure is only a warning of one line: the run itself has already ended.
    """
    text = left.model_dump_json() + "\n"
    try:
        folder = records.folder(host.name, "runs")
        records.write(folder / left.file_name, text)
        for old in sorted(folder.glob("*.json"))[:-KEPT]:
            old.unlink()
    except OSError as error:
        _warn(f"The receipt of this run could not be written on this machine: {error}.")
    command = script(scripts.text("receipts/leave.sh"), FOLDER, left.file_name, KEPT, stdin=text)
    try:
        done, output = _run(state, host, command)
        problem = "" if done else output.stderr
    except Exception as error:  # a lost connection may raise an error of any library
        problem = str(error) or type(error).__name__
    if problem:
        _warn(f"The receipt of this run could not be left on {host.name}: {problem}.")


def _run(state: Any, host: Any, command: StringCommand) -> tuple[bool, Any]:
    """Run a command outside of any operation, with or without sudo, as the host's data says."""
    how = ssh.connector_arguments(state, host)
    how |= {"_timeout": _PATIENCE, **command.connector_arguments}
    result: tuple[bool, Any] = host.run_shell_command(command, **how)
    return result


def _warn(sentence: str) -> None:
    click.echo(click.style(sentence, fg="yellow"), err=True)


def show(host: Any, numbers: Sequence[int]) -> None:
    """Print the last runs on a host as a table, one run in full, or the differences of two.

    + numbers: none, one or two; 1 is the last run

    Raises UserError for an unknown number, HostError for a file that is not a receipt.
    """
    texts = ask(host, Receipts, folder=FOLDER)
    runs = [receipt.read(text, file) for file, text in texts.items()][::-1]
    console = Console(file=sys.stderr, highlight=False)
    if wrong := [number for number in numbers if number > len(runs)]:
        raise UserError(
            f"history names run {wrong[0]}, but {host.name} has {_counted(len(runs))} on record: "
            "run tasks/history.py without a number to list them.",
            id="run-unknown",
        )
    if not numbers:
        console.print(_table(host.name, runs))
        return
    if len(numbers) == 1:
        console.print(Text(_in_full(runs[numbers[0] - 1])))
        return
    newer, older = sorted(numbers)
    console.print(Text(f"{host.name}: from run {older} to run {newer}", "bold"))
    for line in receipt.differences(runs[older - 1], runs[newer - 1]):
        console.print(Text(f"  {line}"))


def _counted(count: int) -> str:
    return f"{count or 'no'} run{'' if count == 1 else 's'}"


def _table(name: str, runs: Sequence[Receipt]) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        title=f"{name}: {_counted(len(runs))} on record",
        title_justify="left",
    )
    for column in ("", "when", "took", "commit", "result", "acceptance", "who"):
        table.add_column(column, overflow="fold", no_wrap=column in ("when", "took"))
    for number, run in enumerate(runs[:SHOWN], 1):
        when = run.started.astimezone().strftime("%Y-%m-%d %H:%M")
        proof = str(run.acceptance or "-")
        cells = (str(number), when, run.duration, run.version, run.result, proof, run.who)
        table.add_row(*map(Text, cells))
    return table


def _in_full(run: Receipt) -> str:
    lines = [
        f"{run.host}: {run.started.astimezone():%Y-%m-%d %H:%M:%S}, {run.duration}, by {run.who}",
        f"  commit {run.version}: {' '.join(run.arguments)}",
        f"  {run.result}; {run.remote_commands} remote commands; acceptance: "
        f"{run.acceptance or 'none'}",
        "  seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in run.seconds.items()),
    ]
    for step, done in run.done.items():
        lines += ["", step, *(f"  {line}" for line in done)]
    if run.acceptance:
        checks = run.acceptance
        lines += ["", *(f"FAILED {name}: {detail}" for name, detail in checks.failed.items())]
        lines += [f"note {name}: {detail}" for name, detail in checks.notes.items()]
    return "\n".join(lines).rstrip()
