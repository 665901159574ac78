"""Five small models for the real Triton, each of which changes a picture in its own way.

Each is the model.py in whose place it is, with another network: its code reads requests, weights'
paths and limits, and writes pictures and errors. Only what computes is not there; the packages for
that are stand-ins.
"""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter, ImageOps

# Triton imports this file under the name of the model: <model>/<version>/model.py.
MODEL, VERSION = Path(__file__).parts[-3:-1]
SCALE = 4.0


def replaced() -> Any:
    """Return the module in whose place this one is. Raises what it raises while it is imported."""
    for folder in os.environ["LAB_REPOSITORIES"].split(os.pathsep):
        path = Path(folder, MODEL, VERSION, "model.py")
        if path.is_file():
            spec = importlib.util.spec_from_file_location("replaced_model", path)
            assert spec
            assert spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"{MODEL}/{VERSION}/model.py")


ours = replaced()

# The module above has added the folder with this package to the path.
from imagen_models import RefusalError, pictures, weights  # noqa: E402


def upscale(picture: Image.Image, scale: float) -> Image.Image:
    """Inverted, and larger."""
    size = (round(picture.width * scale), round(picture.height * scale))
    return ImageOps.invert(picture).resize(size, Image.Resampling.NEAREST)


def enhance(picture: Image.Image, _: float) -> Image.Image:
    """Blurred."""
    return picture.filter(ImageFilter.GaussianBlur(2))


def style_comic(picture: Image.Image, _: float) -> Image.Image:
    """Few colors."""
    return ImageOps.posterize(picture, 2)


def style_aged(picture: Image.Image, _: float) -> Image.Image:
    """Brown."""
    return ImageOps.colorize(ImageOps.grayscale(picture), "#2e1a05", "#fff0d0")


def background_remove(picture: Image.Image, _: float) -> Image.Image:
    """Transparent where it is bright."""
    made = picture.convert("RGBA")
    made.putalpha(ImageOps.invert(ImageOps.grayscale(picture)))
    return made


CHANGES = {
    change.__name__: change
    for change in (upscale, enhance, style_comic, style_aged, background_remove)
}


def check_weights(path: Path) -> None:
    """Raise an error unless a file or folder has the form of its name: PyTorch's archive for .pth,
    safetensors, or diffusers' folder."""
    if path.is_dir():
        json.loads((path / "model_index.json").read_text())["_class_name"]
    elif path.suffix == ".safetensors":
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > path.stat().st_size - 8:
                raise ValueError("Error while deserializing header: header too large")
            json.loads(stream.read(size))
    else:
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("/data.pkl") for name in archive.namelist()):
                raise ValueError("failed finding data.pkl in the archive")


class Small:
    """A network: made with the configuration and the device, and then called with pictures."""

    def __init__(self, configuration: Any, device: Any) -> None:
        self._change = CHANGES[configuration.name]
        if MODEL in ("upscale", "background_remove"):
            check_weights(weights.file(MODEL, "model.safetensors"))
        else:
            check_weights(weights.folder(MODEL))
            configuration.number("steps")

    def __call__(self, picture: Image.Image, inputs: Any) -> Image.Image:
        """Return the changed picture. Raises RefusalError."""
        scale = float(inputs.get("SCALE", SCALE))
        if not 1 <= scale <= SCALE:
            raise RefusalError(f"SCALE is {scale:g}, and the network enlarges 1 to 4 times.", True)
        return self._change(pictures.opaque(picture), scale)


class TritonPythonModel(ours.TritonPythonModel):
    """The name that Triton looks for."""

    network = Small
