"""Names in a host's data that belong to pyinfra and are not settings of ours."""

from __future__ import annotations

from workstation.errors import named, nearest, shown

PYINFRA_KEYS = frozenset(
    f"ssh_{name}"
    for name in (
        *("allow_agent", "config_file", "connect_retries", "connect_retry_max_delay"),
        *("connect_retry_min_delay", "file_transfer_protocol", "forward_agent", "hostname", "key"),
        *("key_password", "known_hosts_file", "look_for_keys", "paramiko_connect_kwargs"),
        *("password", "port", "strict_host_key_checking", "user"),
    )
) | frozenset(
    f"_{name}"
    for name in (
        *("chdir", "continue_on_error", "doas", "doas_user", "dzdo", "dzdo_user", "env", "get_pty"),
        *("if", "ignore_errors", "parallel", "preserve_su_env", "preserve_sudo_env", "retries"),
        *("retry_delay", "retry_until", "run_once", "serial", "shell_executable", "stdin"),
        *("su_password", "su_shell", "su_user", "success_exit_codes", "sudo", "sudo_password"),
        *("sudo_user", "temp_dir", "timeout", "use_su_login", "use_sudo_login"),
    )
)
"""The names that pyinfra 3.10 reads: options of SSH connections, and arguments of operations."""


_YES_OR_NO = frozenset(
    f"_{name}"
    for name in (
        *("continue_on_error", "doas", "dzdo", "get_pty", "ignore_errors", "preserve_su_env"),
        *("preserve_sudo_env", "run_once", "serial", "sudo", "use_su_login", "use_sudo_login"),
    )
)


def foreign_problem(key: str, value: object = None) -> str:
    """Return what is wrong with a name that looks like one of pyinfra's, or an empty string:
    pyinfra ignores names that it does not know. In group_data/, a name that begins with ``_`` may
    also be the user's own.
    """
    if key in _YES_OR_NO and not isinstance(value, bool | None):
        # Python considers any text true, even "no".
        return f"{key} is {shown(value)}, expected true or false"
    if key in PYINFRA_KEYS or not key.startswith(("_", "ssh_")):
        return ""
    hint = nearest(key, PYINFRA_KEYS, cutoff=0.6 if key.startswith("ssh_") else 0.8)
    if not hint and not key.startswith("ssh_"):
        return ""
    return f"{named(key)} is not a pyinfra option{hint}"
