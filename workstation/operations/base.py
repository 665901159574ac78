"""The decorator of our operations: pyinfra's own, with errors told in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, ParamSpec

from pyinfra import host, state
from pyinfra.api import FunctionCommand
from pyinfra.api import operation as pyinfra_operation
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import PyinfraCommand

from workstation import hooks
from workstation.errors import UserError
from workstation.run import current

P = ParamSpec("P")
Commands = Generator[PyinfraCommand, None, None]


def operation(func: Callable[P, Commands]) -> PyinfraOperation[P]:
    """Make an operation of a generator of commands, which tells the plan what it changes.

    A ``UserError`` stops the whole run while it is prepared, before anything is changed. While
    operations run it fails this one on this host: pyinfra would print a traceback and leave the
    other hosts half-way.
    """

    @wraps(func)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            hooks.enter(host)
            current().step(host.name, host.current_op_hash or "")
            for command in func(*args, **kwargs):
                yield command
                # It has run, and may have changed what the host would answer.
                current().forget(host.name)
                if not isinstance(command, FunctionCommand):
                    current().count(host.name)
        except UserError as error:
            if not state.is_executing:
                raise
            yield FunctionCommand(_fail, (str(error),), {})

    made = pyinfra_operation()(guarded)
    # One operation inside another raises as it is, before the outer one has yielded anything.
    made._inner = func
    return made


def _fail(state: Any, host: Any, message: str) -> bool:
    host.log_styled(message, fg="red")
    current().reasons[host.name] = message
    return False
