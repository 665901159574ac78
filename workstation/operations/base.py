"""The decorator of our operations: it adds changes to the plan and runs their commands."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol, cast

from pyinfra import host, state
from pyinfra.api import FunctionCommand
from pyinfra.api import operation as pyinfra_operation
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import PyinfraCommand

from workstation import hooks
from workstation.errors import UserError, in_brackets
from workstation.plan import Changes, checked
from workstation.run import current

P = ParamSpec("P")
Commands = Generator[PyinfraCommand, None, None]


class Operation(PyinfraOperation[P], Protocol[P]):
    """One of our operations. ``changes`` is the undecorated function, for operations built from
    others: ``yield from packages.installed.changes(packages=["cifs-utils"])``."""

    changes: Callable[P, Changes]


def operation(func: Callable[P, Changes]) -> Operation[P]:
    """Return an operation made from a function that yields or returns its changes to the host.

    While the run is being prepared, a ``UserError`` stops all of it before anything is changed.
    While operations run, it only fails this operation on this host: pyinfra would print a
    traceback and leave the other hosts half done.
    """

    @wraps(func)
    def reported(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            hooks.enter(host)
            yield from commands_of(func(*args, **kwargs))
        except UserError as error:
            if not state.is_executing:
                raise
            yield FunctionCommand(_fail_command, (error,), {})

    made = cast(Operation[P], pyinfra_operation()(reported))
    made.changes = func
    return made


def commands_of(changes: Changes) -> Commands:
    """Add changes to the plan, or to what was done once operations run; then yield their commands.

    While it prepares, pyinfra stops at the first command, so all changes must be known by then.
    An operation therefore decides everything from the state of the host before its first command.

    Raises PlanError before anything is changed, see ``workstation.plan.checked``.
    """
    step = current().step(host.name, host.current_op_hash or "")
    made = [checked(change) for change in changes]
    told = step.done if state.is_executing else step.planned
    told += [line for change in made for line in change.lines]
    for command in [command for change in made for command in change.commands]:
        yield command
        if state.is_executing:
            # The command has run and may have changed the host's answers.
            current().forget(host.name)
        if not isinstance(command, FunctionCommand):
            current().count(host.name)


def _fail_command(state: Any, host: Any, error: UserError) -> bool:
    return fail(host, error)


def fail(host: Any, error: UserError) -> Literal[False]:
    """Show why a command failed, keep the reason for the end of the run, and return False, which
    pyinfra takes as a failure."""
    message = f"{error}{in_brackets(error.id)}"
    host.log_styled(message, fg="red")
    current().reasons[host.name] = message
    return False
