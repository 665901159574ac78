"""Makes pictures larger with a network that spandrel knows, such as Real-ESRGAN."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from spandrel import ImageModelDescriptor, ModelLoader

from imagen_models import Inputs, RefusalError, devices, messages, pictures, weights
from imagen_models.configuration import Configuration

OVERLAP = 64
"""Pixels that tiles share: Real-ESRGAN's own program gives each tile 10 of its surroundings, with
which seams can be seen."""


class Upscaler:
    """Enlarges a picture as often as ``SCALE`` says, up to what the network does in one pass."""

    def __init__(self, configuration: Configuration, device: torch.device) -> None:
        """Load the weights. Raises RefusalError."""
        path = weights.file(configuration.name)
        network = ModelLoader().load_from_file(path)
        if not isinstance(network, ImageModelDescriptor) or network.input_channels != 3:
            setting = weights.variable(configuration.name).lower()
            raise RefusalError(
                messages.missing(str(path), setting, "does not enlarge color pictures")
            )
        self._edge = configuration.number("tile")
        self._device = device
        self._dtype = devices.precision(device) if network.supports_half else torch.float32
        self._network = network.to(device, self._dtype).eval()

    def __call__(self, picture: Image.Image, inputs: Inputs) -> Image.Image:
        """Return the larger picture. Raises RefusalError for an impossible scale or size."""
        native = self._network.scale
        scale = float(inputs.get("SCALE", native))
        if not 1 <= scale <= native:
            raise RefusalError(
                f"SCALE is {scale:g}, and the network enlarges 1 to {native} times: choose a "
                "number in between.",
                theirs=True,
            )
        size = round(picture.width * scale), round(picture.height * scale)
        if size[0] * size[1] > pictures.LARGEST_RESULT:
            said = messages.result_too_large(*size, pictures.LARGEST_RESULT)
            raise RefusalError(said, theirs=True)
        overlap = min(OVERLAP, self._edge // 4)
        larger = pictures.in_tiles(
            picture.convert("RGB"), self._edge, overlap, native, self._enlarged
        )
        if larger.size != size:
            larger = larger.resize(size, Image.Resampling.LANCZOS)
        if picture.mode == "RGBA":
            larger.putalpha(picture.getchannel("A").resize(size, Image.Resampling.LANCZOS))
        return larger

    def _enlarged(self, tile: Image.Image) -> Image.Image:
        values = torch.from_numpy(np.array(tile)).to(self._device, self._dtype)
        # Height, width, color and 0 to 255, as Pillow has them; color first and 0 to 1 in between.
        result = self._network(values.permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
        return Image.fromarray((result.float().clamp(0, 1) * 255).round().byte().cpu().numpy())
