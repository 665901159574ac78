"""The programs of chat-to-3d on this machine: the packages of the lock except PyTorch, upstream's
source, the real supervisord, and around them two small servers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from lab.paths import cache
from tests.fixtures.traefik import free_port
from tests.upstream.chat_to_3d_servers import Llm, Trellis
from workstation import mirror, pins

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "templates/stacks/chat-to-3d/chat-to-3d-allinone"
STUBS = Path(__file__).with_name("chat_to_3d_stubs")
PROGRAMS = ("llm-service", "trellis-service", "gradio-app")
SECTIONS = re.compile(r"^(torch|triton|nvidia-)")


def source(folder: Path) -> Path:
    """Return a copy of upstream's source: what CHAT_TO_3D_SOURCE names (``stand-in``: the lab's
    repository), or the pinned commit."""
    target, given = folder / "source", os.environ.get("CHAT_TO_3D_SOURCE", "")
    if given:
        standin = ROOT / "lab/standins/repos/chat_to_3d"
        shutil.copytree(standin if given == "stand-in" else given, target)
        return target
    where = mirror.load(os.environ.get("MIRROR", ""))
    pin = pins.load(ROOT / "pins.yml", where.pins).sources["chat_to_3d"]
    for command in (
        ("init", "--quiet", str(target)),
        ("-C", str(target), "fetch", "--quiet", "--depth=1", where.url(pin.url), pin.commit),
        ("-C", str(target), "checkout", "--quiet", "FETCH_HEAD"),
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    return target


def packages(*more: str) -> Path:
    """Return a virtual environment with the lock's packages except PyTorch, and more if given. It
    is kept, for it has 600 MB."""
    text = (IMAGE / "requirements.lock").read_text()
    kept, leaving = [], False
    for line in text.splitlines():
        if line[:1].isalpha():
            leaving = bool(SECTIONS.match(line))
        if not leaving:
            kept.append(line)
    lock = "\n".join(kept) + "\n"
    name = hashlib.sha256("\n".join([lock, *more]).encode()).hexdigest()[:12]
    folder = cache() / "chat-to-3d" / name
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    (folder / "lock.txt").write_text(lock)
    install = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    hashed = ["--no-deps", "--require-hashes", "--requirement", str(folder / "lock.txt")]
    subprocess.run([*install, *hashed], check=True)
    if more:
        subprocess.run([*install, *more], check=True)
    (folder / "complete").touch()
    return folder


class Tab:
    """A tab of a browser: talks to the page as Gradio's own script does."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.session = uuid.uuid4().hex
        config = requests.get(f"{address}/config", timeout=60).json()
        self._events = {one["api_name"]: one for one in config["dependencies"]}
        self._kept = {one["id"] for one in config["components"] if one["type"] == "state"}
        self.shown: list[str] = []

    def do(self, name: str, *values: Any, seconds: float = 120) -> list[Any]:
        """Cause an event and return what it changes. Messages on the page go to ``shown``."""
        event = self._events[name]
        sent = iter(values)
        # What the page keeps for itself is not sent.
        data = [None if one in self._kept else next(sent) for one in event["inputs"]]
        body = {"data": data, "fn_index": event["id"], "session_hash": self.session}
        joined = requests.post(f"{self._address}/gradio_api/queue/join", json=body, timeout=60)
        mine = joined.json()["event_id"]
        stream = requests.get(
            f"{self._address}/gradio_api/queue/data",
            params={"session_hash": self.session},
            stream=True,
            timeout=seconds,
        )
        with stream:
            for line in stream.iter_lines():
                said = json.loads(line.removeprefix(b"data:")) if line else {}
                if said.get("msg") == "log":
                    self.shown.append(said["log"])
                if said.get("msg") == "process_completed" and said["event_id"] == mine:
                    assert said["success"], said
                    changed: list[Any] = said["output"]["data"]
                    return changed
        raise AssertionError(f"{name} did not end: the connection was lost")

    def scene(self, sentence: str = "A reading corner") -> None:
        """Plan a scene, as the page does after its button."""
        self.do("handle_scene_input", sentence)
        self.do("reveal_workspace")
        self.do("mark_images_generating")

    def pictures(self) -> list[str]:
        """Draw the scene's objects; return the files."""
        self.do("stop_llm_container")
        self.do("generate_images_for_gallery")
        return files(self.do("shift_card_ui"), ".png")

    def model(self, index: int = 0) -> list[str]:
        """Make an object 3D; return its file, if there is one."""
        ending = f"_{index}" if index else ""
        self.do(f"generate_3d_for_card{ending}")
        self.do(f"perform_3d_generation{ending}")
        return files(self.do(f"click_handler{ending}"), ".glb")


def files(said: Any, ending: str) -> list[str]:
    """Return the paths in an answer of the page."""
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    found = [one for part in inner for one in files(part, ending)]
    path = said.get("path") if isinstance(said, dict) else None
    return [*found, path] if isinstance(path, str) and path.endswith(ending) else found


class Container:
    """What the container does, in a folder: supervisord with the three programs."""

    def __init__(self, folder: Path, programs: Path, **environment: str) -> None:
        self.folder = folder
        self._venv = programs
        self.llm, self.trellis = Llm(), Trellis()
        self._ports = {name: free_port() for name in PROGRAMS}
        self._own = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "container.log"
        for name in ("run", "log", "home", "programs"):
            (folder / name).mkdir()
        self._source = source(folder)
        for name in ("images", "models"):
            (self._source / "assets" / name).mkdir(parents=True, exist_ok=True)
        self._configuration = folder / "supervisord.conf"
        self._configuration.write_text(self.adapted((IMAGE / "supervisord.conf").read_text()))

    def adapted(self, text: str) -> str:
        """Return a configuration with the paths of this machine."""
        for path, place in (
            ("/opt/chat-to-3d/programs", self.folder / "programs"),
            ("/opt/chat-to-3d", IMAGE),
            ("/run/supervisor", self.folder / "run"),
            ("/var/log/supervisor", self.folder / "log"),
            ("directory=/app", f"directory={self._source}"),
            # The page may believe that the LLM is in this container.
            ("[program:llm-service]", '[program:llm-service]\nenvironment=LLM_BACKEND="url"'),
        ):
            text = text.replace(path, str(place))
        return text

    def address(self, program: str = "gradio-app") -> str:
        """Return the URL of a program."""
        return f"http://127.0.0.1:{self._ports[program]}"

    def environment(self) -> dict[str, str]:
        """Return what compose.yaml and the image would set."""
        return {
            "PATH": f"{self._venv}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": str(STUBS),
            # Bytecode next to the programs would become part of the image, and change its tag.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "CHAT_TO_3D_SOURCE": str(self._source),
            "OUTPUTS_DIR": str(self.outputs),
            "RUN_DIR": str(self.folder / "run"),
            "LOG_DIR": str(self.folder / "log"),
            "PICTURE_CONTROL": str(self.folder / "pictures"),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "LLM_SERVICE_PORT": str(self._ports["llm-service"]),
            "TRELLIS_SERVICE_PORT": str(self._ports["trellis-service"]),
            "GRADIO_SERVER_PORT": str(self._ports["gradio-app"]),
            "START_DELAY": "1",
            "LLM_BACKEND": "url",
            "LLM_URL": f"http://127.0.0.1:{self.llm.port}/v1",
            "TRELLIS_BACKEND": "url",
            "TRELLIS_URL": f"http://127.0.0.1:{self.trellis.port}",
            "TIMEOUT_3D": "5",
            "OBJECTS": "3",
            **self._own,
        }

    @property
    def outputs(self) -> Path:
        """Where the page keeps what it makes."""
        return self.folder / "outputs"

    def start(self) -> None:
        """Start supervisord, and wait until everything answers."""
        program = str(self._venv / "bin/supervisord")
        self._process = subprocess.Popen(
            [program, "-c", str(self._configuration)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        # A pipe, as Docker gives it: supervisord opens it a second time.
        threading.Thread(target=self._copy, args=[self._process], daemon=True).start()
        self.wait()

    def _copy(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with self.log.open("ab", buffering=0) as log:
            for line in process.stdout:
                log.write(line)

    def wait(self) -> None:
        """Wait until the health check succeeds."""
        until(lambda: self.tool("healthy.py").returncode == 0, "all programs are healthy", 180)

    def stop(self) -> float:
        """End supervisord by SIGTERM, as Docker does; return the seconds that it took."""
        assert self._process
        began = time.monotonic()
        self._process.terminate()
        self._process.wait(timeout=60)
        self._process = None
        return time.monotonic() - began

    def end(self) -> None:
        """End everything."""
        self.llm.end()
        self.trellis.end()
        if self._process:
            self.stop()

    def ctl(self, *arguments: str) -> str:
        """Return what supervisorctl prints."""
        command = [str(self._venv / "bin/supervisorctl"), "-c", str(self._configuration)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def pids(self) -> dict[str, int]:
        """Return the programs' process ids, as far as they run."""
        found = re.findall(r"^(\S+)\s+RUNNING\s+pid (\d+)", self.ctl("status"), re.MULTILINE)
        return {name: int(pid) for name, pid in found}

    def tool(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run one of the image's programs that end."""
        return subprocess.run(
            [str(self._venv / "bin/python"), str(IMAGE / name)],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def check(self) -> list[dict[str, Any]]:
        """Return what acceptance finds."""
        done = self.tool("check.py")
        assert not done.stderr, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tab(self) -> Tab:
        """Open the page."""
        return Tab(self.address())

    def made(self) -> Iterator[Path]:
        """Yield the files in the folder of outputs."""
        return (one for one in self.outputs.rglob("*") if one.is_file())


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.3)
