"""style_aged: Stable Diffusion 1.5, told to age photographs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "code"))

from imagen_models.diffusion import Task
from imagen_models.serving import Served


class TritonPythonModel(Served):
    """The name that Triton looks for."""

    network = Task(
        pipeline="StableDiffusionImg2ImgPipeline",
        # Larger than it was trained with (512 x 512): above this it repeats what it draws.
        most=768 * 768,
        prompt="an old photograph from an album, yellowed paper, sepia, grain, scratches",
        negative_prompt="a new digital photograph, bright colors",
        strength=0.5,
        guidance=7.5,
    )
