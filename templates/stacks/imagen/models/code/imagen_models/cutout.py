"""Makes the background of pictures transparent with BiRefNet, whose source is in the image."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from imagen_models import Inputs, RefusalError, devices, messages, pictures, weights
from imagen_models.configuration import Configuration

EDGE = 1024
"""Width and height that BiRefNet was trained with (its config.py: size)."""

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's colors, by which the network expects pictures to be normalized (its dataset.py)."""

_BACKBONES = {
    (96, 6): "swin_v1_t",
    (96, 18): "swin_v1_s",
    (128, 18): "swin_v1_b",
    (192, 18): "swin_v1_l",
}
"""Channels and blocks of the third layer -> name of the backbone (its models/backbones)."""

_WRAPPERS = ("module.", "_orig_mod.")
"""What training adds before the names of weights (its utils.py: check_state_dict)."""


class Cutout:
    """Cuts out what a picture shows. Weights of any of BiRefNet's Swin backbones can be loaded."""

    def __init__(self, configuration: Configuration, device: torch.device) -> None:
        """Load the weights. Raises RefusalError."""
        path = weights.file(configuration.name, "model.safetensors")
        values = {_plain(name): value for name, value in load_file(path).items()}
        network = _network(values)
        lacking = network.load_state_dict(values, strict=False)
        if lacking.missing_keys or lacking.unexpected_keys:
            setting = weights.variable(configuration.name).lower()
            counts = (
                f"{len(lacking.missing_keys)} are missing, {len(lacking.unexpected_keys)} unknown"
            )
            why = f"does not fit the pinned BiRefNet (of its weights {counts})"
            raise RefusalError(messages.missing(str(path), setting, why))
        self._device = device
        self._dtype = devices.precision(device)
        self._network = network.to(device, self._dtype).eval()

    def __call__(self, picture: Image.Image, inputs: Inputs) -> Image.Image:
        """Return the picture with a transparent background."""
        whole = pictures.opaque(picture)
        small = np.asarray(whole.resize((EDGE, EDGE), Image.Resampling.BILINEAR), np.float32) / 255
        normal = (small - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        values = torch.from_numpy(normal).permute(2, 0, 1)[None].to(self._device, self._dtype)
        mask = self._network(values)[-1].float().sigmoid()[0, 0]
        alpha = Image.fromarray((mask * 255).round().byte().cpu().numpy())
        result = whole.copy()
        result.putalpha(alpha.resize(whole.size, Image.Resampling.BILINEAR))
        return result


def _plain(name: str) -> str:
    """Return the name of a weight without what training added before it."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def backbone(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the name of the backbone that weights belong to; BiRefNet's default if it is no Swin.

    + shapes: of all weights, by name
    """
    channels = shapes.get("bb.patch_embed.proj.weight", (192,))[0]
    blocks = {name.split(".")[4] for name in shapes if name.startswith("bb.layers.2.blocks.")}
    return _BACKBONES.get((channels, len(blocks)), "swin_v1_l")


def _network(values: Mapping[str, torch.Tensor]) -> Any:
    """Return BiRefNet, without weights, with the backbone that ``values`` belong to.

    Its modules have names as common as ``config`` and ``models``, and read the configuration while
    they are imported, so it is replaced before.
    """
    sys.path.insert(0, os.environ["BIREFNET"])
    config = importlib.import_module("config")
    name = backbone({name: tuple(value.shape) for name, value in values.items()})

    class Chosen(config.Config):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            if name == self.bb:
                return
            self.bb = name
            channels = next(key[0] for key, value in _BACKBONES.items() if value == name)
            # As its config.py computes them for mul_scl_ipt "cat": twice each layer's channels.
            self.lateral_channels_in_collection = [2 * channels * times for times in (8, 4, 2, 1)]
            self.cxt = self.lateral_channels_in_collection[1:][::-1][-self.cxt_num :]

    config.Config = Chosen  # type: ignore[attr-defined]
    # Otherwise it would load a backbone of its own from a file.
    return importlib.import_module("models.birefnet").BiRefNet(bb_pretrained=False)
