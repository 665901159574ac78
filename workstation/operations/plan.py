"""How an operation tells what it is about to change.

pyinfra stops an operation's generator at its first command while it prepares, so an
operation computes all its changes first, tells them with these functions, then yields.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from pyinfra import host, state
from pyinfra.api import FunctionCommand, StringCommand

from workstation.plan import Change, Sign
from workstation.run import current

# Somebody's own line in a file that we merge into may hold a secret: an option of mount(8), a name
# and password in an address, a key of JSON.
_SECRET = re.compile(
    r"""(?P<kept>pass(?:word)?2?\s*=\s*)[^,\s]+|(?P<user>\buser(?:name)?=[^,\s%]*%)[^,\s]+"""
    r"""|(?P<address>://)[^\s"'/@]+(?=@)"""
    r"""|(?P<key>"[^"]*(?:pass|secret|token)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*\"""",
    re.IGNORECASE,
)


def tell(sign: Sign, subject: str, cause: str = "", diff: tuple[str, ...] = ()) -> None:
    """Put one line into the plan, or among what is done if operations run already.

    + sign, subject, cause, diff: see ``workstation.plan.Change``
    """
    step = current().step(host.name, host.current_op_hash or "")
    told = step.done if state.is_executing else step.planned
    told.append(Change(sign, subject, cause, diff))


def _masked(found: re.Match[str]) -> str:
    return f"{found[found.lastgroup or 0]}*MASKED*"


def difference(path: str, old: bytes, new: bytes) -> tuple[str, ...]:
    """Return the lines of the unified diff of a file's content if the run was asked for diffs.
    Bytes that are no UTF-8, as in an old comment, are shown as ``\\xfc``."""
    if not state.config.DIFF:
        return ()
    if b"\0" in old + new:
        return (f"{path}: binary content differs",)
    before, after = (text.decode(errors="backslashreplace").splitlines() for text in (old, new))
    lines = difflib.unified_diff(before, after, path, path, lineterm="", n=2)
    return tuple(_SECRET.sub(_masked, line) for line in lines)


def live(command: StringCommand) -> FunctionCommand:
    """Return a command that shows its output as it comes: for steps of more than seconds."""

    def run_live(state: Any, host: Any, command: StringCommand) -> bool:
        status, _ = command_output(host, command)
        return status

    return FunctionCommand(run_live, (command,), {})


def command_output(host: Any, command: StringCommand) -> tuple[bool, Any]:
    """Run ``command`` with the operation's own sudo settings, its output shown live."""
    arguments = dict(host.current_op_global_arguments or {})
    connector_arguments = {
        key: value
        for key, value in arguments.items()
        if key
        in ("_sudo", "_sudo_user", "_use_sudo_login", "_use_sudo_password", "_shell_executable")
    }
    connector_arguments.update(command.connector_arguments)
    current().count(host.name)
    result: tuple[bool, Any] = host.run_shell_command(
        command, print_output=True, print_input=host.state.print_input, **connector_arguments
    )
    return result
