"""What the environment says, for all programs of this container; docs/chat-to-3d.md lists it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

LLM = "llm-service"
TRELLIS = "trellis-service"
PAGE = "gradio-app"
PROGRAMS = (LLM, TRELLIS, PAGE)
"""The document's three, as supervisord knows them."""

_GUARD = "ezb/NSFW-Prompt-Detector"
_IMAGES = "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers"


class Options:
    """Values of an environment, read when they are needed. An empty one counts as missing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str = "") -> str:
        """Return a value without surrounding spaces."""
        return self._environment.get(name, "").strip() or default

    def number(self, name: str, default: int) -> int:
        """Return a whole number that is not negative. Ends the program if it is none."""
        text = self.text(name, str(default))
        if not text.isdecimal():
            raise SystemExit(f"{name} is {text!r}: set it to a whole number, such as {default}.")
        return int(text)

    def port(self, program: str) -> int:
        """Return the port of one of PROGRAMS on 127.0.0.1; the page also listens elsewhere."""
        return {
            LLM: self.number("LLM_SERVICE_PORT", 19002),
            TRELLIS: self.number("TRELLIS_SERVICE_PORT", 8000),
            PAGE: self.number("GRADIO_SERVER_PORT", 7860),
        }[program]

    def address(self, program: str) -> str:
        """Return the URL of one of PROGRAMS, without a path."""
        return f"http://127.0.0.1:{self.port(program)}"

    @property
    def source(self) -> Path:
        """Upstream's source."""
        return Path(self.text("CHAT_TO_3D_SOURCE", "/app"))

    @property
    def outputs(self) -> Path:
        """Folder of everything that the page makes."""
        return Path(self.text("OUTPUTS_DIR", "/data/outputs"))

    @property
    def run(self) -> Path:
        """Folder of the marks that programs leave for each other; empty after a restart."""
        return Path(self.text("RUN_DIR", "/run/supervisor"))

    @property
    def logs(self) -> Path:
        """Folder of supervisord's log."""
        return Path(self.text("LOG_DIR", "/var/log/supervisor"))

    @property
    def image_model(self) -> str:
        """What draws: a folder in the form of diffusers, or a name on the Hugging Face Hub."""
        return self.text("IMAGE_MODEL", _IMAGES)

    @property
    def guard_model(self) -> str:
        """What judges prompts: a folder, or a name on the Hub."""
        return self.text("GUARD_MODEL", _GUARD)

    @property
    def llm_is_ours(self) -> bool:
        """Whether the LLM runs in this container, and so uses this machine's GPU memory."""
        return self.text("LLM_BACKEND", "transformers") == "transformers"

    @property
    def timeout_3d(self) -> int:
        """Seconds that one object may take to become 3D."""
        return self.number("TIMEOUT_3D", 600)


def options() -> Options:
    """Return the options of this process."""
    return Options(os.environ)


def split_revision(model: str) -> tuple[str, str | None]:
    """Return name and revision of ``name@revision``; a folder has no revision."""
    if model.startswith(("/", ".")):
        return model, None
    name, _, revision = model.partition("@")
    return name, revision or None


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def one_line(text: object, limit: int = 300) -> str:
    """Return a text, such as an error's, as a part of a sentence."""
    words = re.sub(r"\s+", " ", str(text)).strip().rstrip(".")
    return words if len(words) <= limit else words[: limit - 1] + "…"
