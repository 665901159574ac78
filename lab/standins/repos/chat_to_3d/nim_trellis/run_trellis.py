"""Starts the NIM's container from Windows, by WSL; anywhere else there is no drive letter."""

import subprocess
from pathlib import Path

from constants import CONTAINER_NAME

script = Path(__file__).resolve()
drive = script.drive[0].lower()
subprocess.run(
    ["wsl", "/bin/bash", "-c", f"podman start {CONTAINER_NAME} /mnt/{drive}"], check=True
)
