"""The host to work on, in one group per stack that it runs; from .env or the environment.

pyinfra treats every list at this level as a group. ``group_data/`` contains the groups' settings.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from workstation import environment, hooks, ssh

# In case config.py was not read: from another folder, or with another --config.
hooks.install()

_folder = Path(__file__).resolve().parent
_environment = environment.read(
    os.environ,
    folder=_folder,
    stacks=environment.known_stacks(_folder),
    default="dhoch3",
)
_data = _environment.host_data()
hooks.note(_environment.note)

if _environment.is_local:
    _is_root = os.geteuid() == 0
else:
    _is_root = _data.get("ssh_user", getpass.getuser()) == "root"
    # The key of a new host is accepted and remembered, as a person at a terminal would confirm it;
    # a changed key is refused. If that is not enough, put the key into known_hosts beforehand and
    # use --data ssh_strict_host_key_checking=yes.
    _data["ssh_strict_host_key_checking"] = "accept-new"
    ssh.ensure_known_hosts(_data.get("ssh_known_hosts_file"))
    ssh.check_ssh_files(_data.get("ssh_key"))
    _data["ssh_paramiko_connect_kwargs"] = ssh.connect_options()

# Everything in this project needs root. If root logs in directly, sudo may not be installed.
_data["_sudo"] = not _is_root

hooks.check_limits([_environment.host], _environment.stacks)

globals().update({_stack: [(_environment.host, _data)] for _stack in _environment.stacks})
