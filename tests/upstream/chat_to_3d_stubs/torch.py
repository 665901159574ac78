"""Stand-in for torch on a machine without a GPU: fails where the real one does, computes nothing."""

from __future__ import annotations

import contextlib

bfloat16 = "bfloat16"
float32 = "float32"
no_grad = contextlib.nullcontext


class cuda:  # noqa: N801 (the package's name)
    """There is no GPU."""

    @staticmethod
    def is_available() -> bool:
        return False

    @staticmethod
    def empty_cache() -> None:
        """There is none."""


class Generator:
    """Random numbers of a device."""

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu":
            raise RuntimeError("Cannot get CUDA generator without ATen_cuda library.")
        self.seed = 0

    def manual_seed(self, seed: int) -> Generator:
        self.seed = seed
        return self


def is_tensor(_: object) -> bool:
    """Return whether it is a tensor, of which there are none here."""
    return False
