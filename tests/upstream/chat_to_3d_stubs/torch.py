"""Stand-in for torch: computes nothing. STUB_GPU is the memory of the GPU in GiB; without it there
is none, and what asks for CUDA fails as with the real one."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace

bfloat16 = "bfloat16"
float32 = "float32"
no_grad = contextlib.nullcontext


class cuda:  # noqa: N801 (the package's name)
    """The GPU."""

    @staticmethod
    def is_available() -> bool:
        return bool(os.environ.get("STUB_GPU"))

    @staticmethod
    def get_device_properties(_: int) -> SimpleNamespace:
        return SimpleNamespace(total_memory=float(os.environ["STUB_GPU"]) * 1024**3)

    @staticmethod
    def empty_cache() -> None:
        """There is none."""


class Generator:
    """Random numbers of a device."""

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu" and not cuda.is_available():
            raise RuntimeError("Cannot get CUDA generator without ATen_cuda library.")
        self.seed = 0

    def manual_seed(self, seed: int) -> Generator:
        self.seed = seed
        return self


def is_tensor(_: object) -> bool:
    """Return whether it is a tensor, of which there are none here."""
    return False
