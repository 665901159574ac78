"""Starts the Firestore emulator of npm behind the port of Google's: ``--host-port=HOST:PORT``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path

from front import listen

PROGRAM = Path(__file__).resolve().parent / "firestore" / "main.js"


async def run(host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT, or until the emulator ends; return the exit status.

    Raises OSError if the port is in use.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        inner = int(probe.getsockname()[1])
    front = await listen(host, port, inner)
    node = await asyncio.create_subprocess_exec("node", str(PROGRAM), str(inner))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ended, stopped = asyncio.create_task(node.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    front.close()
    if ended.done():
        return ended.result() or 1
    node.kill()
    await ended
    return 0


def main() -> int:
    """Start the emulator with the arguments of this program."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host-port", default="localhost:8080")
    host, _, port = parser.parse_args().host_port.rpartition(":")
    try:
        return asyncio.run(run(host, int(port)))
    except OSError as error:
        print(f"[firestore] Exception in thread main: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
