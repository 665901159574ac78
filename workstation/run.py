"""How a run goes: the plan of everything, then the lock, then the changes.

``workstation.guards`` puts these functions in place of pyinfra's own of the same purpose. pyinfra
leaves the plan out with ``-y``, and finds a missing template only when it gets there; here the plan
is always made, and what cannot be planned fails before the first change.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pyinfra.api.state import BaseStateCallback
from pyinfra_cli import cli, prints
from pyinfra_cli.cli import CliCommands

from workstation import context, lock, remembered
from workstation.errors import UserError
from workstation.operations import receipts
from workstation.operations.plan import FINDINGS, REASONS, STEPS, step_of
from workstation.plan import Change, Step, render
from workstation.receipt import Outcome

_COLOURS = {"+": "green", "-": "red", "~": "yellow", "?": "cyan", "@": "cyan"}
_WIDEST = 120

PHASES: dict[str, float] = {}
"""Seconds that each part of this run took so far, in order: ``plan``, then the tasks."""

_locks: list[ExitStack] = []


class FailedError(UserError):
    """A run that has ended before its end, and why."""


def prepare(
    original: Callable[..., Any],
    state: Any,
    config: Any,
    command: Any,
    *args: Any,
    json_output: bool = False,
    **kwargs: Any,
) -> Any:
    """In place of ``_handle_commands``: loads what was asked for, then shows its plan.

    pyinfra is told that there is no plan to show and confirm, since that is done here and in
    ``operate``. With ``-y`` nobody is asked between plan and run, so the hosts are locked before
    the plan is made, and what was read for it stays true.
    """
    state.check_for_changes = True
    changes_hosts = command in (CliCommands.DEPLOY_FILES, CliCommands.FUNC)
    if changes_hosts and _runs_at_once():
        _lock(state)
    started = time.monotonic()
    result = original(state, config, command, *args, json_output=json_output, **kwargs)
    if changes_hosts:
        PHASES["plan"] = time.monotonic() - started
        for host, operation, name in _operations(state):
            foreign = (host.name, operation) not in STEPS
            step = step_of(host.name, operation)
            step.name = name
            if foreign and state.ops[host][operation].operation_meta.will_change:
                # Else it would run without having been asked about.
                step.planned.append(Change("~", name, "by pyinfra itself, which tells no more"))
        if not json_output:
            _show(state)
            return (False, *result[1:])
    return result


def operate(original: Callable[..., Any], state: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of ``run_ops``, with which a run begins to change its hosts."""
    if not _locks:
        if _changes_something() and not cli._do_confirm("Nothing has been changed yet."):
            sys.exit(0)
        # Somebody has read the plan meanwhile, and the hosts may have changed.
        _lock(state)
        remembered.forget()
    state.add_callback_handler(_Clock())
    started = datetime.now().astimezone()
    # What is not an Exception is somebody's interruption.
    ending: Outcome | None = "interrupted"
    try:
        result = original(state, *args, **kwargs)
        ending = None
        return result
    except Exception as error:
        ending = "failed"
        if told := _reasons(state):
            raise FailedError(told) from error
        raise
    finally:
        _leave_receipts(state, started, ending)


def _leave_receipts(state: Any, started: datetime, ending: Outcome | None) -> None:
    """Leave a receipt on every host that the run has worked on with this project's settings."""
    for host in state.inventory.iter_activated_hosts():
        steps = [step for _, step in _steps(state, host)]
        if steps and context.is_loaded(host):
            failed = _failed(state, host)
            left = receipts.of_run(host, steps, failed, ending, started, PHASES)
            receipts.leave(state, host, left)


def _reasons(state: Any) -> str:
    """Return why each host has failed: pyinfra itself says no more than that none is left."""
    told = []
    for host in state.inventory.iter_activated_hosts():
        if failed := _failed(state, host):
            stands_above = f"{failed} failed on {host.name}, for the reason that stands above."
            told.append(REASONS.get(host.name, stands_above))
    return "\n".join(told)


def _failed(state: Any, host: Any) -> str:
    """Return the name of the host's step that failed, or nothing."""
    for owner, operation, name in _operations(state):
        meta = state.ops[owner][operation].operation_meta
        if owner is host and meta.is_complete() and not meta.did_succeed():
            return name
    return ""


class _Clock(BaseStateCallback):
    """Adds up how long the operations of each task take, all hosts together."""

    started = 0.0

    @staticmethod
    def operation_start(state: Any, op_hash: str) -> None:
        _Clock.started = time.monotonic()

    @staticmethod
    def operation_end(state: Any, op_hash: str) -> None:
        file, _, _ = prints.pretty_op_name(state.op_meta[op_hash]).rpartition(" | ")
        task = Path(file).stem or "operations"
        PHASES[task] = PHASES.get(task, 0.0) + time.monotonic() - _Clock.started


def confirm(original: Callable[..., Any], question: str) -> bool:
    """In place of ``_do_confirm``, which ends in a traceback where there is no terminal."""
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to answer at: run again with -y, or with --dry to see the plan."
        )
    return bool(original(question))


def disconnect(original: Callable[..., Any], state: Any) -> Any:
    """In place of ``disconnect_all``: the lock goes with the connection. What still waits for a
    command of an interrupted run would be waited for."""
    state.pool.kill()
    for one in _locks:
        one.close()
    return original(state)


def show_results(original: Callable[..., Any], state: Any) -> None:
    """In place of ``print_results``: also tells what the plan did not name, and what it took."""
    original(state)
    for host in state.inventory.iter_activated_hosts():
        for _, step in _steps(state, host):
            for change in step.unforeseen:
                host.log_styled(f"not in the plan: {step.name}: {change}", fg="yellow")
        count = remembered.commands.get(host.name, 0)
        click.echo(f"    {host.name}: {count} remote commands", err=True)
    times = ", ".join(f"{name} {seconds:.1f}" for name, seconds in PHASES.items())
    click.echo(f"    seconds: {times}", err=True)


def show_json(state: Any, dry: bool) -> None:
    """In place of ``print_run_json``: pyinfra's plan and results, each operation with its changes.

    ``plan[].changes`` and ``results.operations[].changes`` map a host to its list of ``change``
    (create, change, remove, keep, depends), ``subject``, ``cause`` and ``diff``; ``preflight`` to
    what it found; ``remote_commands`` maps it to the number of commands that went to it;
    ``seconds`` maps the plan and each task to how long it took.
    """
    payload: dict[str, Any] = {"plan": prints.build_plan_json(state), "results": None}
    for entry in payload["plan"]:
        entry["changes"] = _changes(state, entry["op_hash"], lambda step: step.planned)
    if not dry:
        payload["results"] = prints.build_results_json(state)
        for entry in payload["results"]["operations"]:
            entry["changes"] = _changes(state, entry["op_hash"], lambda step: step.done)
    payload["preflight"] = {
        name: [asdict(one) for one in found] for name, found in FINDINGS.items()
    }
    payload["remote_commands"] = remembered.commands
    payload["seconds"] = {name: round(seconds, 3) for name, seconds in PHASES.items()}
    prints.print_json(payload)


def _changes_something() -> bool:
    return any(step.changes for step in STEPS.values())


def _runs_at_once() -> bool:
    options = click.get_current_context().params
    shows_only = ("dry", "debug_facts", "debug_operations")
    return bool(options["yes"]) and not any(options[name] for name in shows_only)


def _lock(state: Any) -> None:
    who = lock.identity(Path(__file__).parent.parent)
    for host in state.active_hosts:
        remembered.count(host)
    stack = ExitStack()
    stack.enter_context(lock.held(state.active_hosts, who))
    _locks.append(stack)


def _operations(state: Any) -> Iterator[tuple[Any, str, str]]:
    """Yield host, hash and name of every operation, in the order in which they run."""
    for operation in state.get_op_order():
        name = prints.pretty_op_name(state.op_meta[operation])
        for host in state.inventory.iter_activated_hosts():
            if operation in state.ops[host]:
                yield host, operation, name


def _steps(state: Any, host: Any) -> list[tuple[str, Step]]:
    """Return the host's operations, each with what it told: one of pyinfra's own, as by
    `pyinfra inventory.py exec`, tells nothing."""
    return [
        (operation, step_of(host.name, operation, name))
        for owner, operation, name in _operations(state)
        if owner is host
    ]


def _changes(state: Any, operation: str, told: Callable[[Step], Any]) -> dict[str, Any]:
    return {
        host.name: [change.as_json() for change in told(step_of(host.name, operation, name))]
        for host, other, name in _operations(state)
        if other == operation
    }


def _show(state: Any) -> None:
    width = min(shutil.get_terminal_size().columns, _WIDEST) if sys.stderr.isatty() else 80
    for host in state.inventory.iter_activated_hosts():
        click.echo(err=True)
        steps = [step for _, step in _steps(state, host)]
        for sign, line in render(host.name, steps, width):
            styled = click.style(line, fg=_COLOURS.get(sign), bold=sign == "#") if sign else line
            click.echo(styled, err=True)
    click.echo(err=True)
