"""The decorator of our operations: it puts changes into the plan, and runs what makes them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, ParamSpec, Protocol, cast

from pyinfra import host, state
from pyinfra.api import FunctionCommand
from pyinfra.api import operation as pyinfra_operation
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import PyinfraCommand

from workstation import hooks
from workstation.errors import UserError
from workstation.plan import Changes, checked
from workstation.run import current

P = ParamSpec("P")
Commands = Generator[PyinfraCommand, None, None]


class Operation(PyinfraOperation[P], Protocol[P]):
    """One of ours. ``changes`` is the undecorated function, for operations that are made of others:
    ``yield from packages.installed.changes(packages=["cifs-utils"])``."""

    changes: Callable[P, Changes]


def operation(func: Callable[P, Changes]) -> Operation[P]:
    """Make an operation of a function that yields, or returns, what it changes on the host.

    A ``UserError`` stops the whole run while it is prepared, before anything is changed. While
    operations run it fails this one on this host: pyinfra would print a traceback and leave the
    other hosts half-way.
    """

    @wraps(func)
    def reported(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            hooks.enter(host)
            yield from commands_of(func(*args, **kwargs))
        except UserError as error:
            if not state.is_executing:
                raise
            yield FunctionCommand(_fail, (str(error),), {})

    made = cast(Operation[P], pyinfra_operation()(reported))
    made.changes = func
    return made


def commands_of(changes: Changes) -> Commands:
    """Put changes into the plan, or among what is done if operations run already; then yield the
    commands that make them.

    pyinfra stops at the first command while it prepares, so that all changes are known before it.
    An operation therefore decides everything from what the host was like before its first command.

    Raises PlanError before anything is changed, see ``workstation.plan.checked``.
    """
    step = current().step(host.name, host.current_op_hash or "")
    made = [checked(change) for change in changes]
    told = step.done if state.is_executing else step.planned
    told += [line for change in made for line in change.lines]
    for command in [command for change in made for command in change.commands]:
        yield command
        if state.is_executing:
            # It has run, and may have changed what the host would answer.
            current().forget(host.name)
        if not isinstance(command, FunctionCommand):
            current().count(host.name)


def _fail(state: Any, host: Any, message: str) -> bool:
    host.log_styled(message, fg="red")
    current().reasons[host.name] = message
    return False
