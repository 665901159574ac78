#!/usr/bin/python3
"""Stand-in for the init script of mmartial/comfyui-nvidia-docker: its checks, then the first start.

The real one starts as a user who switches to another through sudo; this one starts as root, and
exits in the cases where sudo would fail. Instead of cloning and downloading, it copies files, after
pauses of ``STANDIN_PAUSE`` seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

MOUNT = "/comfy/mnt"
BUNDLE = "/default-comfyui-bundle/ComfyUI"
# Numbers of capability.h.
CAPABILITIES = {"chown": 0, "setgid": 6, "setuid": 7, "audit_write": 29}


def fail(message: str) -> None:
    """Exit like the real script."""
    print(f"!! ERROR: {message}\n!! Exiting script (ID: {os.getpid()})", flush=True)
    raise SystemExit(1)


def say(text: str) -> None:
    """Print a step of the real script."""
    print(f"\n== {text}", flush=True)


def need_sudo() -> None:
    """Exit if sudo is not possible: with no-new-privileges, or without the capabilities it
    needs."""
    with open("/proc/self/status", encoding="ascii") as stream:
        status = dict(line.split(":\t", 1) for line in stream if ":\t" in line)
    if status["NoNewPrivs"].strip() != "0":
        print('sudo: The "no new privileges" flag is set, which prevents sudo from running as root')
        fail("Failed to set GID of comfy user")
    bounding = int(status["CapBnd"], 16)
    for name, number in CAPABILITIES.items():
        if not bounding >> number & 1:
            print(f"sudo: cap_{name} is missing")
            fail("Failed to set GID of comfy user")


def need_folder(folder: str, uid: int, gid: int) -> None:
    """Exit if the mount does not belong to the configured user."""
    if not os.path.isdir(folder):
        fail(f"Directory {folder} not found (or not a directory)")
    found = os.stat(folder)
    if (found.st_uid, found.st_gid) != (uid, gid):
        fail(
            f"Directory {folder} owned by unexpected user/group, expected {uid}:{gid}, actual "
            f"{found.st_uid}:{found.st_gid} -- FORCE_CHOWN will not work for this folder, it is a "
            "PATH mounted at container startup and requires a manual fix: chown -R "
            f"{uid}:{gid} foldername"
        )
    for mode, word in ((os.W_OK, "writeable"), (os.X_OK, "executable"), (os.R_OK, "readable")):
        if not os.access(folder, mode):
            fail(f"Directory {folder} not {word}")


def main() -> None:
    uid = int(os.environ.get("WANTED_UID") or 1024)
    gid = int(os.environ.get("WANTED_GID") or 1024)
    pause = float(os.environ.get("STANDIN_PAUSE", "12"))
    if os.getuid() != 0:
        fail(f"comfy MUST be running as UID {uid} GID {gid}, current UID {os.getuid()}")
    need_sudo()
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    say("Running as comfy")
    say("Confirming we have the NVIDIA driver loaded and showing details for the seen GPUs")
    if shutil.which("nvidia-smi") is None:
        fail("nvidia-smi not found")
    if subprocess.run(["nvidia-smi"], check=False).returncode:
        fail("Failed to run nvidia-smi")
    say("Testing write access as the comfy user to the run directory")
    need_folder(MOUNT, uid, gid)
    program = os.path.join(MOUNT, "ComfyUI")
    # Any existing folder counts as ComfyUI, whatever it contains.
    if not os.path.isdir(program):
        say("Cloning ComfyUI")
        time.sleep(pause)
        shutil.copytree(BUNDLE, program)
    if not os.path.isdir(os.path.join(MOUNT, "venv")):
        say("Creating virtualenv")
        time.sleep(pause)
        os.makedirs(os.path.join(MOUNT, "venv", "bin"))
        say("Installing PyTorch")
        time.sleep(pause)
    os.makedirs(os.path.join(MOUNT, "HF"), exist_ok=True)
    os.environ["HOME"] = "/home/comfy"
    os.chdir(program)
    say("Running ComfyUI")
    extra = os.environ.get("COMFY_CMDLINE_EXTRA", "").split()
    flags = ["--listen", "0.0.0.0", "--port", "8188", "--disable-auto-launch", *extra]
    os.execv("/usr/bin/python3.11", ["python3", "./main.py", *flags])


if __name__ == "__main__":
    sys.exit(main())
