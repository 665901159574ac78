"""style_comic: Stable Diffusion 1.5, trained on films of Studio Ghibli."""

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
        # It was trained to follow "ghibli style".
        prompt="ghibli style, a drawn comic in bright colors",
        strength=0.6,
        guidance=8.0,
    )
