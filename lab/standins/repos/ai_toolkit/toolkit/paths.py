"""Stand-in: where AI-Toolkit looks for single-file models and downloads them to."""

import os

TOOLKIT_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS_PATH = os.environ.get("MODELS_PATH", os.path.join(TOOLKIT_ROOT, "models"))
