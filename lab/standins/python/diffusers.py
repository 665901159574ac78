"""Stand-in for diffusers: the one pipeline that chat-to-3d uses, which paints a small picture."""

from __future__ import annotations

import colorsys
import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

_SIZE = 96


class SanaSprintPipeline:
    """A picture whose color follows from prompt and seed."""

    def __init__(self) -> None:
        self.device = "cpu"

    @classmethod
    def from_pretrained(cls, path: str, **_: Any) -> SanaSprintPipeline:
        """Return the pipeline of a folder; a name at Hugging Face cannot be reached."""
        index = Path(path) / "model_index.json"
        if not os.path.isdir(path):
            raise OSError(
                f"Cannot load model {path}: model is not cached locally and an error occurred while"
                " trying to fetch metadata from the Hub."
            )
        if not index.is_file():
            raise OSError(f"Error no file named model_index.json found in directory {path}.")
        named = json.loads(index.read_text())["_class_name"]
        if named != cls.__name__:
            raise ValueError(f"{path} is a {named}, not a {cls.__name__}")
        return cls()

    def to(self, device: str, *_: Any) -> SanaSprintPipeline:
        torch.need(device)
        self.device = device
        return self

    def cpu(self) -> SanaSprintPipeline:
        return self.to("cpu")

    def cuda(self) -> SanaSprintPipeline:
        return self.to("cuda")

    def __call__(
        self,
        prompt: str,
        num_inference_steps: int = 2,
        generator: torch.Generator | None = None,
        **_: Any,
    ) -> SimpleNamespace:
        # Here because stacks without Pillow import this module too.
        from PIL import Image, ImageDraw

        # The message is the beginning of what the real pipeline says.
        if num_inference_steps != 2:
            raise ValueError("Intermediate timesteps for SCM is not supported")
        seed = generator.initial_seed() if generator else 0
        hue = hashlib.sha256(f"{seed} {prompt}".encode()).digest()[0] / 256
        color = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.8, 0.9))
        image = Image.new("RGB", (_SIZE, _SIZE), "white")
        ImageDraw.Draw(image).rectangle((16, 16, _SIZE - 17, _SIZE - 17), fill=color)
        return SimpleNamespace(images=[image])
