"""enhance: Stable Diffusion XL's refiner, in tiles, so that large pictures keep their details."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "code"))

from imagen_models.diffusion import Task
from imagen_models.serving import Served


class TritonPythonModel(Served):
    """The name that Triton looks for."""

    network = Task(
        pipeline="StableDiffusionXLImg2ImgPipeline",
        # What it was trained with.
        most=1024 * 1024,
        edge=1024,
        prompt="a sharp, detailed photograph in high quality",
        strength=0.3,
        guidance=7.5,
    )
    numbers = ("STRENGTH",)
    texts = ("PROMPT",)
