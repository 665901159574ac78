"""upscale: Real-ESRGAN, in tiles."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "code"))

from imagen_models.serving import Served
from imagen_models.upscaling import Upscaler


class TritonPythonModel(Served):
    """The name that Triton looks for."""

    network = Upscaler
    numbers = ("SCALE",)
    smaller = ("tile",)
