"""Stand-in that imports the same packages as the real module."""

import torch  # noqa: F401
