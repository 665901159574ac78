"""This project's part in a run of pyinfra: the plan, the question, the lock, the receipt.

Most of it uses pyinfra's own interfaces. ``config.py`` and ``inventory.py`` call ``install``; the
first task or operation on a host calls ``enter``, which registers callbacks on pyinfra's state. The
callbacks let nothing begin that was not planned, shown and locked: if pyinfra does not do its part,
the run is refused.

Three public functions of pyinfra are replaced, because it has no interface for them:

1. ``print_meta``: our plan is shown instead of pyinfra's table of operations.
2. ``print_run_json``: the same for programs, each operation with its changes.
3. ``read_buffer``: a byte that is not UTF-8 in a host's output is shown as ``\\xe4``. pyinfra
   itself stops reading there with a traceback, and the command waits forever for a reader. Codes
   for the terminal and other invisible characters are shown the same way.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import click
import gevent
import pyinfra
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import BaseStateCallback, State
from pyinfra.connectors import util
from pyinfra.context import ctx_state
from pyinfra_cli import cli, prints
from typing_extensions import override

from workstation import command_line, lock
from workstation.errors import UserError
from workstation.operations import receipts
from workstation.plan import Change, Step, render
from workstation.report.receipt import Outcome
from workstation.run import current
from workstation.visible import visible

_COLORS = {"+": "green", "-": "red", "~": "yellow", "?": "cyan", "@": "cyan"}
_WIDEST = 120


class HooksError(UserError):
    """pyinfra does not do its part of a run."""

    id = "pyinfra-unsupported"


def install() -> None:
    """Replace pyinfra's functions, and check the command line if there is one; may be called again.

    Raises HooksError if pyinfra lacks something, and CommandLineError.
    """
    _replace(cli, "print_meta", _show_plan)
    _replace(cli, "print_run_json", _show_json)
    _replace(util, "read_buffer", _read_buffer)
    if ctx_state.isset():  # type: ignore[no-untyped-call]
        pyinfra.state.check_for_changes = True  # for the plan, even with -y
    signal.signal(signal.SIGINT, _interrupted)
    # Errors of connections are shown at the end; gevent would print their tracebacks as well.
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*dict.fromkeys((*hub.NOT_ERROR, PyinfraError)),)
    # sudo on this machine must speak English: pyinfra recognizes its request for a password.
    os.environ.update(LC_ALL="C.UTF-8", LANGUAGE="")
    # Hosts are prepared in greenlets, which have no click context.
    if arguments := click.get_current_context(silent=True):
        current().options = arguments.params
        command_line.check(arguments.params)


def _replace(owner: ModuleType, name: str, ours: Callable[..., Any]) -> None:
    original = getattr(owner, name, None)
    if original is None:
        raise HooksError(
            f"pyinfra {pyinfra.__version__} has no {owner.__name__}.{name}, which this project "
            "needs: install the version in requirements.lock."
        )
    if not hasattr(original, "_ours"):
        replacement = functools.wraps(original)(functools.partial(ours, original))
        setattr(replacement, "_ours", True)  # noqa: B010 (mypy knows no such attribute)
        setattr(owner, name, replacement)


def enter(host: Any) -> None:
    """Begin this project's part of the run for a host; may be called again.

    With ``-y`` there is no question between plan and run, so the host is locked before the plan is
    made, and the facts behind the plan stay true.

    Raises LockedError, and HooksError if pyinfra has begun without calling our callbacks.
    """
    state, run = host.state, current()
    if not any(isinstance(one, Hooks) for one in state.callback_handlers):
        state.check_for_changes = True
        state.add_callback_handler(Hooks())
        run.prepared = time.monotonic()
    if state.is_executing and pyinfra.is_cli and not run.began:
        raise _unknown("it does not call registered callbacks")
    if run.is_asked_for:
        _lock(host)


def _lock(host: Any) -> None:
    run = current()
    if host.name not in run.locks:
        run.count(host.name)
        stack = run.locks[host.name] = ExitStack()
        stack.enter_context(lock.held([host], lock.identity(Path(__file__).parent.parent)))


class Hooks(BaseStateCallback):
    """The callbacks for pyinfra's operations and for the end of a host's connection."""

    operation_began = 0.0

    @staticmethod
    @override
    def operation_start(state: State, op_hash: str) -> None:
        _begin(state)
        Hooks.operation_began = time.monotonic()

    @staticmethod
    @override
    def operation_host_start(state: State, host: Any, op_hash: str) -> None:
        # With --serial and --no-wait, this is the only callback before a host is changed.
        _begin(state)

    @staticmethod
    @override
    def operation_end(state: State, op_hash: str) -> None:
        file, _, _ = prints.pretty_op_name(state.op_meta[op_hash]).rpartition(" | ")
        task, seconds = Path(file).stem or "operations", current().seconds
        seconds[task] = seconds.get(task, 0.0) + time.monotonic() - Hooks.operation_began

    @staticmethod
    @override
    def host_disconnect(state: State, host: Any) -> None:
        run = current()
        if run.began:
            _end(state, host, run.began)
        elif run.is_shown_late and not run.shown:
            _show(state)
        if held := run.locks.pop(host.name, None):
            held.close()


def _begin(state: State) -> None:
    """Let a run begin to change its hosts. Raises HooksError to refuse it."""
    run = current()
    if run.began:
        return
    if pyinfra.is_cli:
        if not run.options:
            raise _unknown("its command line does not use click")
        if not run.is_asked_for and not run.shown:
            raise _unknown("it did not show the plan")
        if run.is_for_programs:
            _complete_plan(state)
        elif not run.shown:
            _show(state)
        if not run.is_asked_for:
            # The hosts may have changed while somebody read the plan.
            run.forget()
        for host in state.active_hosts:
            _lock(host)
    run.expected.clear()
    run.began = datetime.now().astimezone()


def _unknown(what: str) -> HooksError:
    return HooksError(
        f"pyinfra {pyinfra.__version__} works in a way that this project does not support: {what}. "
        "Nothing was changed: install the version in requirements.lock."
    )


def _end(state: State, host: Any, began: datetime) -> None:
    """Show changes outside the plan, commands and times; leave a receipt."""
    run, steps = current(), [step for _, step in _steps(state, host)]
    failed, complete = _failed(state, host), _complete(state, host)
    if complete and not run.is_for_programs:
        for step in steps:
            for change in step.unforeseen:
                host.log_styled(f"not in the plan: {step.name}: {change}", fg="yellow")
        count = run.commands.get(host.name, 0)
        click.echo(f"    {host.name}: {count} remote command{'s' * (count != 1)}", err=True)
        times = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run.seconds.items())
        click.echo(f"    seconds: {times}", err=True)
    if failed:
        shown_above = f"{failed} failed on {host.name}, for the reason shown above."
        error = UserError(shown_above, id="step-failed")
        if reason := run.reasons.get(host.name):
            error = UserError(reason, id="")  # the reason ends with its own
        # After pyinfra's last message, which only says that no hosts remain.
        atexit.register(error.show)
    if steps and host.name in run.contexts:
        ending: Outcome | None = None
        if run.interrupted:
            ending = "interrupted"
        elif not complete:
            ending = "failed"
        receipts.leave(
            state, host, receipts.of_run(host, steps, failed, ending, began, run.seconds)
        )


def _failed(state: State, host: Any) -> str:
    """Return the name of the host's step that failed, or an empty string."""
    for owner, operation, name in _operations(state):
        meta = state.ops[owner][operation].operation_meta
        if owner is host and meta.is_complete() and not meta.did_succeed():
            return name
    return ""


def _complete(state: State, host: Any) -> bool:
    return all(one.operation_meta.is_complete() for one in state.ops[host].values())


def _interrupted(number: int, _: FrameType | None) -> None:
    """Replaces pyinfra's handler of SIGINT, which exits with status 0, as if everything had been
    done. The exit is raised where the run waits, not in the greenlet that happens to run, which
    might catch it; greenlets that wait for a command are ended, because pyinfra would wait for them
    before it disconnects."""
    click.echo("Interrupted: the next run finishes what this one started.", err=True)
    current().interrupted = True
    if ctx_state.isset() and pyinfra.state.initialised:  # type: ignore[no-untyped-call]
        pyinfra.state.pool.kill(block=False)
    gevent.kill(gevent.get_hub().parent, SystemExit(128 + number))


def note(text: str) -> None:
    """Show what a person should know before the run begins; nothing if the text is empty."""
    if text:
        click.echo(click.style(f"    note: {text}", fg="yellow"), err=True)


def check_limits(hosts: Iterable[str], groups: Iterable[str]) -> None:
    """Raise HooksError if ``--limit`` and ``--exclude`` leave no host of the inventory: pyinfra
    would do nothing, and exit with status 0."""
    options, names = current().options, [*hosts, *groups]
    limit, exclude = options.get("limit") or names, options.get("exclude") or ()
    left = command_line.matching(limit, names) and not command_line.matching(exclude, names)
    if not left:
        choose = ", ".join(dict.fromkeys(names))
        raise HooksError(
            f"--limit or --exclude leaves no host: choose from {choose}.", id="no-host-left"
        )


# The plan


def _show_plan(original: Callable[[State], None], state: State) -> None:
    """Replaces ``print_meta``, after which pyinfra asks whether to go on."""
    _show(state)
    if current().only_looks:
        return
    if not state.get_op_order():  # type: ignore[no-untyped-call]
        # Such as tasks/history.py, which only shows something: there is nothing to confirm.
        sys.exit(bool(state.failed_hosts))
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal for an answer: run again with -y, or with --dry to see the plan.",
            id="no-terminal",
        )


def _show(state: State) -> None:
    _complete_plan(state)
    width = min(shutil.get_terminal_size().columns, _WIDEST) if sys.stderr.isatty() else 80
    for host in state.inventory.iter_activated_hosts():
        if not (steps := [step for _, step in _steps(state, host)]):
            continue
        click.echo(err=True)
        for sign, line in render(host.name, steps, width):
            styled = click.style(line, fg=_COLORS.get(sign), bold=sign == "#") if sign else line
            click.echo(styled, err=True)
    click.echo(err=True)


def _complete_plan(state: State) -> None:
    """Name the steps, and add a line for each of pyinfra's own operations."""
    run = current()
    if run.shown:
        return
    run.shown = True
    if run.prepared:
        run.seconds["plan"] = time.monotonic() - run.prepared
    for host, operation, name in _operations(state):
        foreign = (host.name, operation) not in run.steps
        step = run.step(host.name, operation)
        step.name = name
        if foreign and state.ops[host][operation].operation_meta.will_change:
            # Otherwise it would run without having been confirmed.
            step.planned.append(Change("~", name, "by pyinfra itself, which shows no details"))


def _operations(state: State) -> Iterator[tuple[Any, str, str]]:
    """Yield host, hash and name of every operation, in the order in which they run."""
    for operation in state.get_op_order():  # type: ignore[no-untyped-call]
        name = prints.pretty_op_name(state.op_meta[operation])
        for host in state.inventory.iter_activated_hosts():
            if operation in state.ops[host]:
                yield host, operation, name


def _steps(state: State, host: Any) -> list[tuple[str, Step]]:
    return [
        (operation, current().step(host.name, operation, name))
        for owner, operation, name in _operations(state)
        if owner is host
    ]


# For programs


def _show_json(original: Callable[..., None], state: State, dry: bool) -> None:
    """Replaces ``print_run_json``: pyinfra's plan and results, each operation with its changes.

    ``plan[].changes`` and ``results.operations[].changes`` map a host to its list of ``change``
    (create, change, remove, keep, depends), ``subject``, ``cause`` and ``diff``; ``preflight`` maps
    it to its findings, ``remote_commands`` to the number of commands that it received;
    ``seconds`` maps the plan and each task to the time it took.
    """
    _complete_plan(state)
    run = current()
    payload: dict[str, Any] = {"plan": prints.build_plan_json(state), "results": None}
    for entry in payload["plan"]:
        entry["changes"] = _changes(state, entry["op_hash"], lambda step: step.planned)
    if not dry:
        payload["results"] = prints.build_results_json(state)
        for entry in payload["results"]["operations"]:
            entry["changes"] = _changes(state, entry["op_hash"], lambda step: step.done)
    payload["preflight"] = {
        name: [asdict(one) for one in found] for name, found in run.findings.items()
    }
    payload["remote_commands"] = run.commands
    payload["seconds"] = {name: round(seconds, 3) for name, seconds in run.seconds.items()}
    prints.print_json(payload)


def _changes(state: State, operation: str, told: Callable[[Step], Any]) -> dict[str, Any]:
    return {
        host.name: [change.as_json() for change in told(current().step(host.name, operation, name))]
        for host, other, name in _operations(state)
        if other == operation
    }


# What hosts say


def _read_buffer(
    original: Callable[..., None], name: str, io: Iterable[Any], *args: Any, **kwargs: Any
) -> None:
    """Replaces ``read_buffer``, which reads a program's output for both connectors."""
    lines = _decoded(io)
    noise_ends = getattr(getattr(io, "channel", None), "noise_ends", "")
    if noise_ends and name == "stdout":
        lines = _after(noise_ends, lines)
    original(name, lines, *args, **kwargs)


def _decoded(lines: Iterable[Any]) -> Iterator[str]:
    """Yield lines as visible text; everything that a host says passes here. paramiko decodes lines
    itself; its error contains the line. What reads an answer may know carriage returns at the end
    of its lines."""
    iterator = iter(lines)
    while True:
        try:
            line = next(iterator)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            line = error.object
        text = line if isinstance(line, str) else line.decode(errors="backslashreplace")
        said = text.rstrip("\r\n")
        yield visible(said) + text[len(said) :]


def _after(mark: str, lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines after a mark, or all lines if there is no mark."""
    before = []
    for line in lines:
        if line.rstrip("\n") == mark:
            yield from lines
            return
        before.append(line)
    yield from before
