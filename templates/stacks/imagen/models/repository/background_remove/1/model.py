"""background_remove: BiRefNet."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "code"))

from imagen_models.cutout import Cutout
from imagen_models.serving import Served


class TritonPythonModel(Served):
    """The name that Triton looks for."""

    network = Cutout
