"""Makes 3D models on this machine with TripoSR: the backend ``local`` of trellis-service.

Set by the environment:
    LOCAL_3D_MODEL       folder with TripoSR's config.yaml and model.ckpt, or a name on
                         Hugging Face, with @revision if it is not to be the newest
    LOCAL_3D_RESOLUTION  points along each side of the space that is searched for the surface
    LOCAL_3D_CHUNK       how many of them are computed at once
    TRIPOSR              folder with TripoSR's source
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import local_3d_glb
import local_3d_network
import local_3d_picture
import torch
from huggingface_hub import snapshot_download
from local_3d_network import is_out_of_memory
from PIL import Image
from torchmcubes import NoSurfaceError

RESOLUTION, LEAST_RESOLUTION, MOST_RESOLUTION = 256, 32, 512
CHUNK, LEAST_CHUNK, MOST_CHUNK = 8192, 256, 1 << 24
"""The defaults are upstream's (its run.py)."""


@dataclass(frozen=True)
class _Model:
    network: Any
    device: torch.device
    resolution: int
    # Two at once would need twice the memory.
    turn: threading.Lock

    def mesh(self, picture: Image.Image) -> Any:
        """Return the surface as trimesh's Trimesh, in the network's own directions."""
        with self.turn, torch.inference_mode():
            scene = self.network([picture], self.device)
            return self.network.extract_mesh(scene, True, resolution=self.resolution)[0]


_model: _Model | None = None


def load() -> None:
    """Load the network, on the GPU if there is one. Raises RuntimeError with a sentence."""
    global _model
    resolution = _number("LOCAL_3D_RESOLUTION", RESOLUTION, LEAST_RESOLUTION, MOST_RESOLUTION)
    chunk = _number("LOCAL_3D_CHUNK", CHUNK, LEAST_CHUNK, MOST_CHUNK)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = _folder(os.environ.get("LOCAL_3D_MODEL", ""))
    full = False
    try:
        network = local_3d_network.loaded(folder, device, chunk)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        full = True
    if full:
        _give_back()
        raise RuntimeError(
            f"{_place(device)} has too little free memory for TripoSR's weights (1.7 GB):"
            " stop other programs there, or choose another TRELLIS_BACKEND."
        )
    _model = _Model(network, device, resolution, threading.Lock())


def make(png: bytes, seed: int) -> bytes:
    """Return a model of what a picture shows, as a GLB file with colors at its vertices.

    + png: a PNG, JPEG or WebP file. The background must be plain or transparent
    + seed: has no effect: TripoSR makes the same model of the same picture

    The model is upright, and its front (+Z) is what the picture shows. Raises ValueError with a
    sentence if no model can be made of the picture, and RuntimeError with one otherwise.
    """
    model = _model
    if model is None:
        raise RuntimeError("TripoSR is not loaded: see the log of trellis-service.")
    picture = local_3d_picture.prepared(png)
    mesh, failed = _tried(model, picture)
    # After the error is gone, which holds what is in the memory.
    _give_back()
    if failed:
        raise failed
    # In the network, x leads to who looks at the front, y to the right, and z up (upstream's
    # get_spherical_cameras); in glTF z, x and y do.
    points, normals = (array[:, [1, 2, 0]] for array in (mesh.vertices, mesh.vertex_normals))
    colors = mesh.visual.vertex_colors[:, :3] / 255
    return local_3d_glb.written(points, normals, colors, mesh.faces)


def _tried(model: _Model, picture: Image.Image) -> tuple[Any, Exception | None]:
    """Return the surface, or why there is none."""
    try:
        return model.mesh(picture), None
    except NoSurfaceError as error:
        return None, error.with_traceback(None)
    except Exception as error:
        return None, _failure(model, error)


def _failure(model: _Model, error: Exception) -> RuntimeError:
    if is_out_of_memory(error):
        return RuntimeError(
            f"{_place(model.device)} has too little free memory for a model with"
            f" LOCAL_3D_RESOLUTION={model.resolution}: set it lower, or stop other programs there."
        )
    logging.getLogger(__name__).error("TripoSR failed", exc_info=error)
    return RuntimeError(f"TripoSR failed ({type(error).__name__}: {error}).")


def _place(device: torch.device) -> str:
    return "The GPU" if device.type == "cuda" else "The machine"


def _give_back() -> None:
    """Give unused memory of the GPU to the other programs on it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _number(name: str, default: int, least: int, most: int) -> int:
    given = os.environ.get(name) or str(default)
    if not given.isascii() or not given.isdigit() or not least <= int(given) <= most:
        raise RuntimeError(f"{name} is {given!r}: set it to a number from {least} to {most}.")
    return int(given)


def _folder(name: str) -> Path:
    """Return the folder with the model, which is downloaded if its name is one of Hugging Face."""
    if not name:
        raise RuntimeError("LOCAL_3D_MODEL is empty: set it to the folder with TripoSR's model.")
    if name.startswith("/"):
        if not Path(name).is_dir():
            raise RuntimeError(
                f"{name} is no folder: put TripoSR's model there, or correct LOCAL_3D_MODEL."
            )
        return Path(name)
    repository, _, revision = name.partition("@")
    files = [local_3d_network.CONFIG, local_3d_network.WEIGHTS]
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except Exception as error:
        # Of the network, the disk, the name, the revision.
        raise RuntimeError(
            f"{name} cannot be downloaded from Hugging Face ({type(error).__name__}): check"
            " LOCAL_3D_MODEL and the connection, or set it to a folder of the model store."
        ) from error
