"""TripoSR's network: upstream's source, unchanged, with weights from a folder, offline.

Its modules import three things that are not here. ``torchmcubes`` is a module of ours beside this
one; rembg, which only ``remove_background`` of its utils.py uses, is an empty module; and the
configuration of its image encoder, which it would download, follows from the weights.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from transformers import ViTConfig

CONFIG, WEIGHTS = "config.yaml", "model.ckpt"
"""The two files of huggingface.co/stabilityai/TripoSR that are used, by their names there."""

_ENCODER = "image_tokenizer.model."
_HEAD = 64
"""Width of an attention head in every ViT of DINO (arXiv 2104.14294, table 1)."""


def loaded(folder: Path, device: torch.device, chunk: int) -> Any:
    """Return upstream's ``TSR`` with its weights, ready to compute.

    + folder: with the two files
    + chunk: points that are computed at once

    Raises RuntimeError with a sentence. Errors of memory are passed on.
    """
    for name in (CONFIG, WEIGHTS):
        _check(folder / name)
    values = _weights(folder / WEIGHTS)
    network = _network(folder, values)
    network.load_state_dict(values)
    network.renderer.set_chunk_size(chunk)
    return network.to(device).eval()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is too little memory, on a GPU or for a processor."""
    # PyTorch has no class for the second: c10/core/impl/alloc_cpu.cpp.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def _check(path: Path) -> None:
    """Raise RuntimeError unless a file can be read."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise RuntimeError(_wrong(path, "is not there")) from None
    except OSError as error:
        raise RuntimeError(_wrong(path, f"cannot be read ({error.strerror})")) from None


def _wrong(path: Path, why: str) -> str:
    return f"{path} {why}: download TripoSR again, or correct LOCAL_3D_MODEL."


def _weights(path: Path) -> dict[str, torch.Tensor]:
    with _explained(path, "cannot be read"):
        # Read where they are: otherwise they would be in memory twice.
        values: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(values, dict) or not all(map(torch.is_tensor, values.values())):
        raise RuntimeError(_wrong(path, "does not fit TripoSR (it has no plain list of weights)"))
    return values


def _network(folder: Path, values: Mapping[str, torch.Tensor]) -> Any:
    """Return TripoSR as its configuration describes it, if the weights fit it."""
    config, weights = folder / CONFIG, folder / WEIGHTS
    source = os.environ.get("TRIPOSR", "/opt/triposr")
    # Last, because some of its files have names as common as gradio_app.
    if source not in sys.path:
        sys.path.append(source)
    sys.modules.setdefault("rembg", types.ModuleType("rembg"))
    try:
        system = importlib.import_module("tsr.system")
        images: Any = importlib.import_module("tsr.models.tokenizers.image")
    except ImportError as error:
        raise RuntimeError(
            f"TripoSR's source in {source} cannot be imported ({error}): build the image again."
        ) from error
    encoder = _encoder(weights, values)
    with _explained(config, "does not describe TripoSR"), tempfile.TemporaryDirectory() as place:
        described: Any = OmegaConf.load(config)
        OmegaConf.resolve(described)
        for key, name in described.items():
            # Upstream imports whatever is named there.
            if key.endswith("_cls") and not name.startswith("tsr."):
                raise ValueError(f"{key} is {name}")
        encoder.save_pretrained(place)
        images.hf_hub_download = lambda repo_id, filename: str(Path(place, filename))
        network = system.TSR(described)
    _compare(weights, network.state_dict(), values)
    return network


def _encoder(path: Path, values: Mapping[str, torch.Tensor]) -> Any:
    """Return the configuration of the image encoder that weights belong to.

    All other values are those that ViTConfig has for facebook/dino-vitb16 (transformers'
    convert_dino_to_pytorch.py).
    """
    try:
        width, channels, patch, _ = values[
            f"{_ENCODER}embeddings.patch_embeddings.projection.weight"
        ].shape
        places = values[f"{_ENCODER}embeddings.position_embeddings"].shape[1] - 1
        inner = values[f"{_ENCODER}encoder.layer.0.intermediate.dense.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise RuntimeError(_wrong(path, "does not fit TripoSR (no image encoder)")) from error
    layers = {name.split(".")[4] for name in values if name.startswith(f"{_ENCODER}encoder.layer.")}
    # It has no types.
    described: Any = ViTConfig
    return described(
        hidden_size=width,
        num_channels=channels,
        patch_size=patch,
        image_size=math.isqrt(places) * patch,
        intermediate_size=inner,
        num_hidden_layers=len(layers),
        num_attention_heads=width // _HEAD,
    )


def _compare(
    path: Path, wanted: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]
) -> None:
    """Raise RuntimeError unless there are exactly the weights of a network."""
    lacking, unknown = wanted.keys() - values.keys(), values.keys() - wanted.keys()
    common = wanted.keys() & values.keys()
    resized = [name for name in common if wanted[name].shape != values[name].shape]
    if lacking or unknown or resized:
        counts = f"{len(lacking)} missing, {len(unknown)} unknown, {len(resized)} of other sizes"
        why = f"does not fit the pinned TripoSR and its {CONFIG} (weights: {counts})"
        raise RuntimeError(_wrong(path, why))


@contextmanager
def _explained(path: Path, why: str) -> Iterator[None]:
    """Turn all errors of reading a file, except those of memory, into RuntimeError with a sentence.
    PyTorch and OmegaConf raise many kinds of them."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        first = str(error).partition("\n")[0]
        raise RuntimeError(_wrong(path, f"{why} ({type(error).__name__}: {first})")) from error
