"""All forms in which the share's password might leak, and a watch over processes."""

from __future__ import annotations

import base64

from lab.nas import MARKER
from tests.lab.conftest import Workstation

# In base64 it looks different at each of three offsets.
FORMS = (
    MARKER,
    *(base64.b64encode(b"x" * offset + MARKER.encode())[4:-4].decode() for offset in (1, 2, 3)),
)
TALKATIVE = ("-vvv", "--debug", "--diff")
PATTERNS = "/root/forms"

# The patterns come from a file: as arguments, the command would find them in itself.
_WATCH = f"""
while :; do
  grep -lsF -f {PATTERNS} /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> /root/seen
  sleep 0.2
done
"""


def watch(machine: Workstation) -> None:
    """Start to search the command lines and environments of all processes, five times a second."""
    machine.send("\n".join(FORMS).encode() + b"\n", PATTERNS)
    machine.send(_WATCH.encode(), "/root/watch")
    machine.run("systemd-run --quiet --unit=watch sh /root/watch")


def seen(machine: Workstation) -> str:
    """Stop the watch; return the files of ``/proc`` in which a form of the password was found."""
    assert machine.succeeds("systemctl is-active watch")
    machine.run("systemctl stop watch; rm /root/watch")
    return machine.run("sort -u /root/seen; rm /root/seen")
