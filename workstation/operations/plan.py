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
from pyinfra.api.output import format_text

# Somebody's own line in a file that we merge into may hold a password.
_PASSWORD = re.compile(r"(pass(?:word)?2?\s*=\s*)[^,\s]+", re.IGNORECASE)

_SIGNS = {"+": "green", "-": "red", "~": "yellow"}


def _told_before() -> bool:
    """Whether the same was told while preparing; -y skips the preparation."""
    return bool(state.is_executing and state.check_for_changes)


def tell(sign: str, text: str) -> None:
    """Print one line of the plan: ``+`` to be made, ``~`` to be changed, ``-`` to be removed."""
    if _told_before():
        return
    host.log(f"  {format_text(sign, _SIGNS[sign])} {text}")


def tell_diff(path: str, old: bytes, new: bytes) -> None:
    """Print the unified diff of a file's content if the run was asked for diffs."""
    if not state.config.DIFF or _told_before():
        return
    try:
        before, after = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        host.log(f"    {path}: binary content differs")
        return
    for line in difflib.unified_diff(before, after, path, path, lineterm="", n=2):
        line = _PASSWORD.sub(r"\1*MASKED*", line)
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        host.log(f"    {format_text(line, colour) if colour else line}")


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
    result: tuple[bool, Any] = host.run_shell_command(
        command, print_output=True, print_input=host.state.print_input, **connector_arguments
    )
    return result
