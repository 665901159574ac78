"""Commands that show their output live, for steps that take more than a few seconds."""

from __future__ import annotations

from typing import Any

from pyinfra.api import FunctionCommand, StringCommand

from workstation.run import current


def live(command: StringCommand) -> FunctionCommand:
    """Return a command that shows its output live."""

    def run_live(state: Any, host: Any, command: StringCommand) -> bool:
        status, _ = command_output(host, command)
        return status

    return FunctionCommand(run_live, (command,), {})


def command_output(host: Any, command: StringCommand) -> tuple[bool, Any]:
    """Run ``command`` with the operation's own sudo settings and show its output live."""
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
