"""Stops the NIM's container by podman, which only a login shell can find."""

import subprocess
import time

from .constants import CONTAINER_NAME


def _podman(command, timeout):
    return subprocess.run(
        ["bash", "-lc", f"podman {command} || true"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    ).stdout.strip()


def is_container_running() -> bool:
    try:
        said = _podman(
            f"ps -a --format '{{{{.Names}}}} {{{{.Status}}}}' | grep ^{CONTAINER_NAME}", 10
        )
        return any(word in said.lower() for word in ("up", "running", "starting", "created"))
    except Exception as error:
        print(f"Failed to check container status {CONTAINER_NAME}: {error}")
        return False


def stop_container() -> bool:
    """Return whether it no longer runs; one that never did counts as stopped."""
    try:
        for command in ("stop", "rm -f"):
            if not is_container_running():
                return True
            _podman(f"{command} {CONTAINER_NAME}", 30)
            for _ in range(5):
                if not is_container_running():
                    return True
                time.sleep(1)
        return False
    except Exception as error:
        print(f"Failed to stop container {CONTAINER_NAME}: {error}")
        return False
