"""Stand-in for diffusers: draws squares. The file that PICTURE_CONTROL names says how slowly, or
that loading fails."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image


def _control() -> str:
    path = Path(os.environ.get("PICTURE_CONTROL", "/nonexistent"))
    return path.read_text() if path.is_file() else "0"


class SanaSprintPipeline:
    """A picture with the color of its prompt."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.device = "cpu"

    @classmethod
    def from_pretrained(cls, path: str, **_: Any) -> SanaSprintPipeline:
        if (said := _control()).startswith("fail"):
            raise OSError(said)
        return cls(str(path))

    def cpu(self) -> None:
        """Leave the GPU."""

    cuda = cpu

    def to(self, device: str) -> SanaSprintPipeline:
        if device.startswith("cuda") and not os.environ.get("STUB_GPU"):
            raise RuntimeError("Found no NVIDIA driver on your system.")
        self.device = device
        return self

    def __call__(self, prompt: str, num_inference_steps: int, generator: Any) -> Any:
        time.sleep(float(_control()))
        color = zlib.crc32(f"{prompt} {generator.seed} {num_inference_steps}".encode())
        red, green, blue = color & 255, color >> 8 & 255, color >> 16 & 255
        image = Image.new("RGB", (256, 256), "white")
        image.paste((red, green, blue), (64, 64, 192, 192))
        return SimpleNamespace(images=[image])
