"""The stack chat-to-3d on the machine under test: its page, its programs, and what it talks to."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from lab.nas import MARKER
from lab.upstream.chat_to_3d import SERVER
from tests.lab import tiny_weights
from tests.lab.alone import Alone
from tests.lab.tiny_model import list_model

NAME = "chat-to-3d"
SERVICE = "chat-to-3d-allinone"
CONTAINER = f"{NAME}-{SERVICE}-1"
NIM = f"{NAME}-trellis-nim-1"
STACK = f"/opt/stacks/{NAME}"
PROGRAMS = ("llm-service", "trellis-service", "gradio-app")
STORE = "/vol/service/cw/storage-models/models"
OUTPUTS = f"/var/lib/docker/volumes/{NAME}_trellis-data/_data/outputs"
NETWORK = "lab-llm"
OBJECTS = 3

KEY = f"{MARKER} sk-'\"$x#%"
"""A key of the language model's server: what a header may hold."""

PLAN = (("handle_scene_input", "A workshop with tools"),)
PICTURES = (
    ("reveal_workspace",),
    ("mark_images_generating",),
    ("stop_llm_container",),
    ("generate_images_for_gallery",),
    ("shift_card_ui",),
)
MODEL = (("generate_3d_for_card",), ("perform_3d_generation",), ("click_handler",))
LEAVE = (("clear_gallery_state",), ("go_to_first_screen",))
HEALTH = (("check_services_health",),)

_NAMES = [
    *("Workbench", "Oak Chair", "Lamp", "Anvil", "Hammer", "Saw", "Toolbox", "Ladder", "Stool"),
    *("Vise", "Drill", "Broom", "Clock", "Kettle", "Radio", "Bucket", "Shelf", "Rope", "Mirror"),
    "Fire Extinguisher",
]


class ChatTo3d(Alone):
    """The machine under test, with this stack's page."""

    def compose(self, command: str, check: bool = True) -> str:
        """Return the output of ``docker compose COMMAND`` in the stack's folder."""
        return self.run(f"cd {STACK} && docker compose {command}", check=check)

    def inside(self, command: str, check: bool = True) -> str:
        """Return the output of a command in the container, errors included."""
        return self.run(f"docker exec {CONTAINER} {command} 2>&1", check=check)

    def pids(self) -> dict[str, str]:
        """Return the process id of each program."""
        return {name: self.inside(f"supervisorctl pid {name}").strip() for name in PROGRAMS}

    def calls(self, *calls: tuple[str, ...]) -> list[dict[str, Any]]:
        """Call functions of the page as one tab; return what each answered."""
        return self.answers(self.run(self._script(calls)))

    def begin(self, unit: str, *calls: tuple[str, ...]) -> None:
        """The same in the background."""
        script = self._script(calls) + f" > /root/{unit}.out 2>&1"
        self.send(script.encode(), f"/root/{unit}.sh")
        self.run(f"systemd-run --quiet --unit={unit} sh /root/{unit}.sh")

    def ended(self, unit: str, seconds: int = 600) -> list[dict[str, Any]]:
        """Wait for what ``begin`` began; return what each call answered."""
        self.until(f"! systemctl is-active --quiet {unit}", seconds)
        return self.answers(self.run(f"cat /root/{unit}.out"))

    @staticmethod
    def _script(calls: tuple[tuple[str, ...], ...]) -> str:
        given = shlex.quote(json.dumps(calls))
        return f"docker exec -i {CONTAINER} python3 - 7860 {given} < /root/page_calls.py"

    @staticmethod
    def answers(text: str) -> list[dict[str, Any]]:
        """Return the lines of page_calls.py, with their times in the test's output."""
        found: list[dict[str, Any]] = [
            json.loads(line) for line in text.splitlines() if line.startswith("{")
        ]
        for one in found:
            print(f"{one['call']}: {one['seconds']} s")
        assert found, text[-2000:]
        return found

    def until(self, script: str, seconds: int = 300) -> None:
        """Wait until a script succeeds on the machine."""
        deadline = time.monotonic() + seconds
        while not self.succeeds(script):
            if time.monotonic() > deadline:
                log = self.run(f"docker logs --tail 40 {CONTAINER} 2>&1", check=False)
                pytest.fail(f"not within {seconds} s: {script}\n{log}")
            time.sleep(2)

    def until_healthy(self, seconds: int = 900) -> None:
        """Wait until Docker calls the container healthy."""
        form = "'{{.State.Health.Status}}'"
        self.until(f"docker inspect -f {form} {CONTAINER} | grep -qx healthy", seconds)

    def until_ready(self, seconds: int = 300) -> None:
        """Wait until all three programs answer."""
        self.until(f"docker exec {CONTAINER} python3 /opt/chat-to-3d/healthy.py", seconds)

    def until_answers(self, url: str, seconds: int = 300) -> None:
        """Wait until an address answers with success in the container."""
        code = f"import urllib.request as r; r.urlopen({url!r}, timeout=10)"
        self.until(f"docker exec {CONTAINER} python3 -c {shlex.quote(code)}", seconds)

    def troubles(self) -> list[str]:
        """Return what the page said of failures since it was started."""
        log = self.inside("supervisorctl tail -200000 gradio-app stdout")
        return [line for line in log.splitlines() if line.startswith("trouble: ")]

    def made(self) -> list[str]:
        """Return the files that the page made."""
        found = self.run(f"find {OUTPUTS} -type f -printf '%P\\n' 2>/dev/null | sort", check=False)
        return found.split()

    def header(self, path: str) -> tuple[str, int, bool]:
        """Return magic, version, and whether the length is right, of a GLB file in the outputs."""
        code = (
            "import struct, sys; data = open(sys.argv[1], 'rb').read();"
            " magic, version, length = struct.unpack('<4sII', data[:12]);"
            " print(magic.decode(), version, length == len(data))"
        )
        said = self.run(f"python3 -c {shlex.quote(code)} {shlex.quote(f'{OUTPUTS}/{path}')}")
        magic, version, right = said.split()
        return magic, int(version), right == "True"

    def nim(self, **wanted: Any) -> None:
        """Say what the NIM does from now on (lab/standins/chat_to_3d/trellis.py)."""
        place = f"/var/lib/docker/volumes/{NAME}_nim-cache/_data/lab.json"
        self.send(json.dumps(wanted).encode(), place)


def prepare(machine: ChatTo3d, registry: str) -> None:
    """Put models into the store of a machine that has Docker, and start the server of the language
    model: real llama.cpp, beside the stack, as another stack's or another program's would be."""
    folders = {
        f"{STORE}/diffusers/sana": tiny_weights.pipeline("SanaSprintPipeline"),
        f"{STORE}/hf/guard": tiny_weights.transformer(),
    }
    for folder, files in folders.items():
        for name, content in files.items():
            machine.send(content, f"{folder}/{name}")
    machine.send(Path(__file__).with_name("page_calls.py").read_bytes(), "/root/page_calls.py")
    machine.send(list_model(_NAMES), "/srv/llm/list.gguf")
    machine.send(f"API_KEY={KEY}\nMODEL=/srv/llm/list.gguf\n".encode(), "/srv/llm/environment")
    machine.run(
        f"docker network create {NETWORK} && docker run --detach --name llm --network {NETWORK}"
        " --restart unless-stopped --env-file /srv/llm/environment -v /srv/llm:/srv/llm:ro"
        f" {registry}/{SERVER}"
    )


SETTINGS = {
    "STACKS": NAME,
    "CHAT_TO_3D_LLM": "url",
    "CHAT_TO_3D_LLM_URL": "http://llm:8000/v1",
    "CHAT_TO_3D_LLM_MODEL": "",
    "CHAT_TO_3D_LLM_NETWORK": NETWORK,
    "CHAT_TO_3D_TRELLIS": "nim",
    "CHAT_TO_3D_IMAGE_MODEL": "/models/diffusers/sana",
    "CHAT_TO_3D_GUARD_MODEL": "/models/hf/guard",
    "CHAT_TO_3D_OBJECTS": str(OBJECTS),
    "LLM_API_KEY": KEY,
    "HF_TOKEN": f"hf_{MARKER}",
    "NGC_API_KEY": f"nvapi-{MARKER} $x",
}
"""What a user would write into .env for it; ``docs/settings.md`` has their meaning."""
