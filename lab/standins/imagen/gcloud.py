#!/usr/bin/env python3
"""Stand-in for Google's command line: starts the emulators of Pub/Sub and Firestore, nothing else.

Like the real one, it keeps settings and data below CLOUDSDK_CONFIG, and without ``--host-port`` an
emulator listens on localhost only.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

LAB = "/opt/lab"
PORTS = {"pubsub": 8085, "firestore": 8080}


class Parser(argparse.ArgumentParser):
    """Refuses in the form of gcloud."""

    def error(self, message: str) -> NoReturn:
        print(f"ERROR: ({self.prog}) {message}", file=sys.stderr, flush=True)
        raise SystemExit(2)


def parsed(arguments: list[str]) -> tuple[str, argparse.Namespace]:
    """Return the emulator and its options; exit like gcloud if it does not know them."""
    if arguments[:2] != ["beta", "emulators"] or arguments[3:4] != ["start"]:
        Parser(prog="gcloud").error(f"Invalid choice: '{' '.join(arguments[:4])}'.")
    emulator = arguments[2]
    if emulator not in PORTS:
        Parser(prog="gcloud.beta.emulators").error(f"Invalid choice: '{emulator}'.")
    parser = Parser(prog=f"gcloud.beta.emulators.{emulator}.start", allow_abbrev=False)
    parser.add_argument("--host-port", default=f"localhost:{PORTS[emulator]}")
    parser.add_argument("--project", default="")
    parser.add_argument("--quiet", "-q", action="store_true")
    parser.add_argument("--verbosity", default="warning")
    if emulator == "pubsub":
        parser.add_argument("--data-dir", default="")
    else:
        parser.add_argument("--database-mode", default="firestore-native")
    options = parser.parse_args(arguments[4:])
    if not options.host_port.rpartition(":")[2].isdigit():
        parser.error(f"argument --host-port: Bad value [{options.host_port}]")
    return emulator, options


def main() -> None:
    """Become the emulator."""
    emulator, options = parsed(sys.argv[1:])
    home = os.environ.get("HOME", "/")
    settings = Path(os.environ.get("CLOUDSDK_CONFIG") or f"{home}/.config/gcloud")
    if emulator == "pubsub":
        folder = Path(options.data_dir or settings / "emulators" / "pubsub")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "env.yaml").write_text(f"PUBSUB_EMULATOR_HOST: {options.host_port}\n")
        except OSError as error:
            message = f"Unable to write file [{folder}/env.yaml]: {error}"
            Parser(prog="gcloud.beta.emulators.pubsub.start").error(message)
    print(f"Executing: {LAB}/{emulator}.py --host-port={options.host_port}", flush=True)
    environment = {**os.environ, "PYTHONPATH": f"{LAB}:{LAB}/packages", "PYTHONUNBUFFERED": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    program = [f"{LAB}/{emulator}.py", f"--host-port={options.host_port}"]
    os.execvpe("python3", ["python3", *program], environment)


if __name__ == "__main__":
    main()
