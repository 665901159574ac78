"""Stand-in: needs what the real module imports."""

import torch  # noqa: F401
