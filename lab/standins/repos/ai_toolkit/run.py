"""Stand-in for AI-Toolkit's trainer: checks that it could run."""

import sys

import torch
import transformers  # noqa: F401

if not torch.cuda.is_available():
    sys.exit("RuntimeError: Found no NVIDIA driver on your system.")
sys.exit("there is no training in the lab")
