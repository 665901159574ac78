"""Makes one picture of another with Stable Diffusion or its XL refiner, by diffusers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from imagen_models import Inputs, RefusalError, devices, pictures, weights
from imagen_models.configuration import Configuration
from imagen_models.sizes import work_size

LEAST = 512 * 512
"""Pixels below which Stable Diffusion draws little that is recognizable: smaller pictures are
enlarged to this many before, and the result is made smaller again."""


@dataclass(frozen=True)
class Task:
    """What a model makes of pictures.

    + pipeline: name of the class in diffusers
    + most: pixels to work on at once
    + edge: longest side of a tile, for a model that keeps details; 0 to work on the whole picture
    + prompt, strength: unless the request says something else
    """

    pipeline: str
    most: int
    prompt: str
    strength: float
    guidance: float
    negative_prompt: str = ""
    edge: int = 0

    def __call__(self, configuration: Configuration, device: torch.device) -> Diffusion:
        """Return the loaded model. Raises RefusalError."""
        return Diffusion(self, configuration, device)


class Diffusion:
    """A pipeline of diffusers. The result has the size of the picture that was sent."""

    def __init__(self, task: Task, configuration: Configuration, device: torch.device) -> None:
        """Load the weights. Raises RefusalError."""
        folder = weights.folder(configuration.name)
        kind: Any = getattr(diffusers, task.pipeline)
        self._task = task
        self._steps = configuration.number("steps")
        self._device = device
        self._pipeline = kind.from_pretrained(
            folder,
            torch_dtype=devices.precision(device),
            variant=_variant(folder),
            local_files_only=True,
        ).to(device)
        self._pipeline.set_progress_bar_config(disable=True)

    def __call__(self, picture: Image.Image, inputs: Inputs) -> Image.Image:
        """Return the new picture. Raises RefusalError."""
        strength = float(inputs.get("STRENGTH", self._task.strength))
        if not 0 < strength <= 1:
            raise RefusalError(
                f"STRENGTH is {strength:g}: choose a number above 0, up to 1.", theirs=True
            )
        prompt = str(inputs.get("PROMPT") or self._task.prompt)
        # The same picture gives the same result. Tiles go on in the sequence: the same noise in
        # each of them would show as a pattern.
        noise = torch.Generator("cpu").manual_seed(0)
        work = self._work(prompt, strength, noise)
        whole = pictures.opaque(picture)
        if self._task.edge:
            return pictures.in_tiles(whole, self._task.edge, self._task.edge // 8, 1, work)
        return work(whole)

    def _work(
        self, prompt: str, strength: float, noise: torch.Generator
    ) -> Callable[[Image.Image], Image.Image]:
        """Return what makes a new picture of the same size of another one."""
        task = self._task

        def work(picture: Image.Image) -> Image.Image:
            size = work_size(*picture.size, LEAST, task.most)
            done = self._pipeline(
                prompt=prompt,
                negative_prompt=task.negative_prompt or None,
                image=picture.resize(size, Image.Resampling.LANCZOS),
                strength=strength,
                guidance_scale=task.guidance,
                # The pipeline takes only this share of the steps, and fails without any.
                num_inference_steps=max(self._steps, math.ceil(1 / strength)),
                generator=noise,
            )
            if any(getattr(done, "nsfw_content_detected", None) or []):
                # The picture is black then.
                raise RefusalError("The model's safety checker withholds the result.", theirs=True)
            result: Image.Image = done.images[0]
            return result.resize(picture.size, Image.Resampling.LANCZOS)

        return work


def _variant(folder: Path) -> str | None:
    """Return the variant of the weights in a folder: ``fp16`` if there are such files."""
    return "fp16" if any(folder.glob("unet/*.fp16.*")) else None
