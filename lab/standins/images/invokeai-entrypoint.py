#!/usr/bin/python3
"""Stand-in for InvokeAI's entrypoint: as root, take ownership of INVOKEAI_ROOT, then switch to a
user."""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> None:
    root = os.environ["INVOKEAI_ROOT"]
    uid = int(os.environ.get("CONTAINER_UID", "1000"))
    if os.getuid() != 0:
        # Upstream calls usermod, which an ordinary user is not allowed to do.
        sys.exit("usermod: Permission denied; the container must start as root")
    # Upstream ignores errors too: a read-only mount below stays unchanged.
    subprocess.run(["chown", "--recursive", str(uid), root], check=False)
    os.chdir(root)
    os.setgroups([])
    os.setgid(int(os.environ.get("CONTAINER_GID", "1000")))
    os.setuid(uid)
    os.environ["HOME"] = root
    os.environ["PATH"] = "/opt/invokeai:" + os.environ["PATH"]
    command = sys.argv[1:] or ["invokeai-web"]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
