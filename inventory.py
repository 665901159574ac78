"""The one host to work on, in one group for each stack that it runs; from .env or the environment.

pyinfra takes every list at this level as a group. ``group_data/`` holds the groups' settings.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from workstation import environment, hooks, ssh

# Also where config.py was not read: from another folder, or with another --config.
hooks.install()

_folder = Path(__file__).resolve().parent
_environment = environment.read(
    os.environ,
    folder=_folder,
    stacks=environment.known_stacks(_folder),
    default="dhoch3",
)
_data = _environment.host_data()

if _environment.is_local:
    _is_root = os.geteuid() == 0
else:
    _is_root = _data.get("ssh_user", getpass.getuser()) == "root"
    # A host that is not known yet is accepted and remembered, a changed key is refused: what a
    # person at a terminal would confirm. Put the key into known_hosts beforehand and say
    # --data ssh_strict_host_key_checking=yes where that is not enough.
    _data["ssh_strict_host_key_checking"] = "accept-new"
    ssh.ensure_known_hosts(_data.get("ssh_known_hosts_file"))
    ssh.check_ssh_files(_data.get("ssh_key"))
    _data["ssh_paramiko_connect_kwargs"] = ssh.connect_options()

# Everything this project does needs root. Sudo is not always there when root logs in directly.
_data["_sudo"] = not _is_root

hooks.check_limits([_environment.host], _environment.stacks)

globals().update({_stack: [(_environment.host, _data)] for _stack in _environment.stacks})
