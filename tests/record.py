"""Records the answers of a machine with an NVIDIA card, so that they can be replayed without one.

    python3 tests/record.py [FOLDER]

Run it on any machine with a card, as root if possible. It needs Python 3.8 and nothing else: no
package, no network, no Docker. It changes nothing, takes less than two minutes even if a card no
longer answers, and never fails because something is missing.

FOLDER (default: ``tests/recorded``) gets a folder named after the card, with a text file for each
command: the command, its exit status, and its output. Serial numbers, UUIDs, PDIs (numbers that
identify a single card), MAC addresses, the machine's names and the names of processes are masked;
the same value always becomes the same word. Read the files before you pass them on.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 20
"""Seconds that one command may take."""

PATIENCE = 2
"""Late answers after which a card is not asked any more: it is wedged, and each would be late."""

ASKING = ("nvidia-smi", "nvidia-ctk", "nvidia-container-cli", "/proc/driver/nvidia")
"""What asks the driver, by which a command for a wedged card is known."""

# The queries of workstation/facts/nvidia.py and workstation/acceptance; a test compares them.
QUERIES = (
    "name,compute_cap,driver_version,memory.total,uuid",
    "name,driver_version,memory.total,uuid",
)
SHOWN = (
    ("name,memory.total,driver_version", "csv,noheader"),
    ("name,memory.total,compute_cap", "csv"),
)
HEALTH = (
    "index,pci.bus_id,pstate,ecc.errors.uncorrected.volatile.total,inforom.img,mig.mode.current"
)

_PCI = r"""
for device in /sys/bus/pci/devices/*; do
  [ "$(cat "$device/vendor" 2>/dev/null)" = 0x10de ] || continue
  echo "${device##*/}"
  for name in vendor device class subsystem_vendor subsystem_device enable; do
    echo "  $name $(cat "$device/$name" 2>/dev/null)"
  done
  echo "  driver $(basename "$(readlink "$device/driver")")"
done
"""

_EACH = 'for file in $1; do [ -r "$file" ] || continue; echo "== $file"; cat "$file"; done'

# A separate shell with nothing in /dev except what every program needs: this shows nvidia-smi's
# answer for a card that it cannot reach. Nothing outside that shell is affected.
_APART = r"""
apart="unshare --mount"; $apart true 2>/dev/null || apart="$apart --map-root-user"
exec $apart sh -c '
  mount --make-rprivate / && mkdir -p "$1" && mount -t tmpfs none "$1" || exit 125
  %s
  shift; exec "$@"' sh "$@"
"""
_NO_NODES = _APART % (
    'for one in null zero urandom; do touch "$1/$one"; mount --bind "/dev/$one" "$1/$one"; done;'
    ' mount --rbind "$1" /dev || exit 125'
)
_NO_PROC = _APART % 'mount --bind "$1" /proc/driver/nvidia || exit 125'
_NO_LIBRARY = _APART % (
    'for one in $(ldconfig -p | sed -n "s/.*libnvidia-ml\\.so.* => //p"); do'
    ' mount --bind /dev/null "$one" || exit 125; done'
)


def shell(text, *arguments):
    """Return the command that runs a shell script with arguments."""
    return ("sh", "-c", text.strip(), "sh", *arguments)


def commands(scratch):
    """Return name -> command, in the order in which they run.

    + scratch: a folder of our own, to mount over
    """
    smi = "nvidia-smi"
    found = {
        "smi-query": (smi, "--query-gpu=" + QUERIES[0], "--format=csv,noheader,nounits"),
        "smi-query-old": (smi, "--query-gpu=" + QUERIES[1], "--format=csv,noheader,nounits"),
        "smi-list": (smi, "-L"),
        "smi": (smi,),
        "smi-xml": (smi, "-q", "-x"),
    }
    for number, (fields, form) in enumerate(SHOWN, start=1):
        found[f"smi-shown-{number}"] = (smi, "--query-gpu=" + fields, "--format=" + form)
    found.update(
        {
            "smi-health": (smi, "--query-gpu=" + HEALTH, "--format=csv,noheader"),
            "smi-text": (smi, "-q"),
            "smi-version": (smi, "--version"),
            "smi-wrong-field": (smi, "--query-gpu=name,nonsense", "--format=csv,noheader"),
            "smi-wrong-option": (smi, "--nonsense"),
            "smi-no-such-card": (smi, "-i", "99"),
            "smi-no-such-card-query": (smi, "-i", "99", "--query-gpu=name", "--format=csv"),
            "smi-no-nodes": (*shell(_NO_NODES), scratch, smi, "-L"),
            "smi-no-proc": (*shell(_NO_PROC), scratch, smi, "-L"),
            "smi-no-library": (*shell(_NO_LIBRARY), scratch, smi, "-L"),
            "smi-path": shell('command -v nvidia-smi; ls -l -- "$(command -v nvidia-smi)"'),
            "proc-version": ("cat", "/proc/driver/nvidia/version"),
            "proc-gpus": shell(_EACH, "/proc/driver/nvidia/gpus/*/information"),
            "proc-params": ("cat", "/proc/driver/nvidia/params"),
            "module-version": ("cat", "/sys/module/nvidia/version"),
            "modules": shell("grep -i -e nvidia -e nouveau -e vfio /proc/modules"),
            "lsmod": shell("lsmod | grep -i nvidia"),
            "modinfo": shell(
                "modinfo nvidia | grep -E '^(filename|version|license|signer|vermagic|srcversion)'"
            ),
            "modprobe": ("modprobe", "--dry-run", "--verbose", "nvidia"),
            "pci": shell(_PCI),
            "nodes": shell("ls -l /dev/nvidia* /dev/dri /dev/dxg"),
            "libraries": shell("ldconfig -p | grep -i -e nvidia -e libcuda"),
            "ctk-version": ("nvidia-ctk", "--version"),
            "cdi-list": ("nvidia-ctk", "--quiet", "cdi", "list"),
            "cdi-generate": ("nvidia-ctk", "--quiet", "cdi", "generate"),
            "cdi-files": shell(_EACH, "/etc/cdi/* /var/run/cdi/*"),
            "cdi-refresh": shell(
                "systemctl cat nvidia-cdi-refresh.service nvidia-cdi-refresh.path"
            ),
            "container-cli": ("nvidia-container-cli", "info"),
            "secure-boot": ("mokutil", "--sb-state"),
            "secure-boot-variable": shell(
                "for file in /sys/firmware/efi/efivars/SecureBoot-*; do"
                ' [ -e "$file" ] && echo "${file##*/}" && od -An -tu1 "$file"; done'
            ),
            "firmware": shell("[ -d /sys/firmware/efi ] && echo efi || echo none"),
            "lockdown": ("cat", "/sys/kernel/security/lockdown"),
            "tainted": ("cat", "/proc/sys/kernel/tainted"),
            "module-signing": shell(
                "for file in /boot/config-$(uname -r) /lib/modules/$(uname -r)/config; do"
                " grep -E '^CONFIG_MODULE_SIG|LOCKDOWN' \"$file\"; done 2>/dev/null"
            ),
            "dkms": ("dkms", "status"),
            "packages": shell(
                "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'"
                " '*nvidia*' 'libcuda*' 'linux-image*' 'linux-modules*' 'dkms' | sort"
            ),
            "apt-policy": shell(
                "apt-cache policy linux-modules-nvidia-580-open-generic"
                " linux-modules-nvidia-580-server-open-generic nvidia-driver-580-open"
            ),
            "rpm-packages": shell("rpm -qa | grep -i -e nvidia | sort"),
            "kernel-log": shell("dmesg | grep -i -e NVRM -e Xid -e nvidia | tail -n 40"),
            "kernel": ("uname", "-srm"),
            "os-release": ("cat", "/etc/os-release"),
        }
    )
    return found


def run(command):
    """Return ``(status, output, errors)``; status is a number, ``missing`` or ``late``. A command
    that is not run because the card is wedged is ``skipped``."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    environment.pop("LANGUAGE", None)
    environment.pop("NVIDIA_CTK_CDI_OUTPUT_FILE_PATH", None)
    environment["PATH"] = environment.get("PATH", "") + ":/usr/sbin:/sbin:/usr/lib/wsl/lib"
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        return "missing", "", ""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        # No signal ends a program that waits for a wedged card, so it is left behind.
        try:
            status = str(process.wait(timeout=LIMIT))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = "late"
        output.seek(0)
        errors.seek(0)
        return (
            status,
            output.read().decode(errors="replace"),
            errors.read().decode(errors="replace"),
        )


def asks_card(command):
    """Return whether a command needs the card or the driver."""
    return any(word.startswith(ASKING) for word in command)


class Mask:
    """Replaces text that identifies a machine or a person; the same text always becomes the same
    word."""

    _UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
    _MAC = re.compile(r"(?<![0-9a-fA-F:.])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![0-9a-fA-F:.])")
    _LONG = re.compile(r"(?<![0-9a-fA-F:])(?:[0-9a-fA-F]{2}:){7,}[0-9a-fA-F]{2}")
    _ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
    # -q: "    Serial Number   : 123"; -q -x: "<serial>123</serial>".
    _TEXT = re.compile(
        r"(?im)^(\s*[^:\n]*(?:serial|guid|\bpdi\b|chassis|tray|slot|host id)[^:\n]*: )(.+)$"
    )
    _XML = re.compile(
        r"(<(\w*(?:serial|guid|uuid|chassis|tray|slot|host_id|pdi)\w*)>)"
        r"([^<\n]+)(</\2>)"
    )
    _TIME_XML = re.compile(r"(<timestamp>)([^<\n]*)(</timestamp>)")
    _UUID_MASKED = re.compile(r"(?:MIG-|GPU-)*00000000-0000-0000-0000-")
    _PROCESS_XML = re.compile(r"(<process_name>)([^<\n]*)(</process_name>)")
    _PROCESS_TEXT = re.compile(r"(?m)^(\s*Name\s+: )(.+)$")
    _PROCESS_NUMBER = re.compile(r"(?m)^(\s*Process ID\s+: |\s*<pid>|.*\bpid=)(\d+)")
    _PROCESS_LOG = re.compile(r"(\bname=)(\S+)")
    _PROCESS_ROW = re.compile(
        r"(?m)^(\|\s+\d+\s+\S+\s+\S+\s+)(\d+)(\s+[CGM+]+\s+)(\S.*?)(\s+(?:\d+MiB|N/A)\s*\|)$"
    )
    _TIME = re.compile(
        r"(?m)^(\s*Timestamp\s+: )(.+)$|^((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) .*\d\d:\d\d:\d\d.*)$"
    )
    _SIGNER = re.compile(r"(signer:\s*)(.*)( Secure Boot Module Signature key)")
    _KEPT = re.compile(r"^\W*(?:N/A|0|Unknown|None|0x0+|00000000-0000-0000-0000-000000000000)?\W*$")

    def __init__(self, names):
        self.seen = {}
        self.names = [name for name in sorted(set(names), key=len, reverse=True) if len(name) > 2]

    def number(self, kind, value):
        """Return the number of a value among those of its kind, from 1."""
        known = self.seen.setdefault(kind, {})
        return known.setdefault(value.lower(), len(known) + 1)

    def text(self, text):
        """Return a text without identifying parts."""
        text = self._TIME.sub(lambda m: (m[1] + "masked") if m[1] else "masked time", text)
        text = self._UUID.sub(
            lambda m: f"00000000-0000-0000-0000-{self.number('uuid', m[0]):012d}", text
        )
        text = self._LONG.sub(lambda m: f"masked-key-{self.number('key', m[0])}", text)
        text = self._MAC.sub(lambda m: f"02:00:00:00:00:{self.number('mac', m[0]):02x}", text)
        text = self._PROCESS_ROW.sub(self._row, text)
        text = self._PROCESS_TEXT.sub(lambda m: f"{m[1]}program", text)
        text = self._PROCESS_NUMBER.sub(r"\g<1>0", text)
        text = self._PROCESS_LOG.sub(r"\1program", text)
        text = self._PROCESS_XML.sub(lambda m: f"{m[1]}program{m[3]}", text)
        text = self._TIME_XML.sub(r"\1masked\3", text)
        text = self._XML.sub(lambda m: m[1] + self._value(m[3]) + m[4], text)
        text = self._TEXT.sub(lambda m: m[1] + self._value(m[2]), text)
        text = self._SIGNER.sub(r"\1host\3", text)
        text = self._ADDRESS.sub(self._address, text)
        for name in self.names:
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w])", "host", text)
        return text

    def _value(self, value):
        if self._KEPT.match(value) or self._UUID_MASKED.match(value):
            return value
        return f"masked-{self.number('value', value)}"

    @staticmethod
    def _row(match):
        name = "program".ljust(len(match[4]))[: max(7, len(match[4]))]
        return match[1] + "0".rjust(len(match[2])) + match[3] + name + match[5]

    @staticmethod
    def _address(match):
        # Versions look similar: only values inside a network are addresses.
        first = match[0].split(".")[0]
        return "192.0.2.1" if first in ("10", "127", "172", "192", "100", "169") else match[0]


def names_of_machine():
    """Return the names of this machine and its users."""
    found = [socket.gethostname(), platform.node()]
    found += [name.split(".")[0] for name in found]
    for key in ("USER", "LOGNAME", "SUDO_USER", "HOSTNAME"):
        found.append(os.environ.get(key, ""))
    ordinary = ("root", "localhost", "nvidia", "ubuntu", "debian", "linux", "user", "host")
    return [name for name in found if name and name not in ordinary]


def card_of(output):
    """Return the name of the recording's folder, from the answer to the first query."""
    name = output.split(",")[0].strip() if output.count(",") >= 4 else ""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown-card"


def main():
    parser = argparse.ArgumentParser(description="Records what an NVIDIA card's programs say.")
    standard = Path(__file__).resolve().parent / "recorded"
    parser.add_argument("folder", nargs="?", type=Path, default=standard)
    given = parser.parse_args()
    mask, answers, late = Mask(names_of_machine()), {}, 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, command in commands(os.path.join(scratch, "mountpoint")).items():
            began = time.monotonic()
            asks = asks_card(command)
            if asks and late >= PATIENCE:
                status, output, errors = "skipped", "", ""
            else:
                status, output, errors = run(command)
            late += asks and status == "late"
            print(f"{name}: {status} ({time.monotonic() - began:.1f} s)", flush=True)
            shown = [word for word in command if not word.startswith(scratch)]
            answers[name] = (shown, status, output, errors)
    target = given.folder / card_of(answers["smi-query"][2])
    target.mkdir(parents=True, exist_ok=True)
    for name, (shown, status, output, errors) in answers.items():
        first = " ".join(" ".join(word.split()) for word in shown)
        text = f"$ {mask.text(first)}\nstatus {status}\n-- output --\n{mask.text(output)}"
        if errors:
            text += f"{'' if text.endswith(chr(10)) else chr(10)}-- errors --\n{mask.text(errors)}"
        (target / f"{name}.txt").write_text(text, encoding="utf-8")
    print(f"{len(answers)} answers are in {target}: read them before you pass them on")


if __name__ == "__main__":
    sys.exit(main())
