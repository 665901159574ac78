"""Stand-in for torch: uses nvidia-smi to find out whether there is a GPU, and computes nothing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import subprocess
from dataclasses import dataclass
from types import SimpleNamespace


class _Version:
    cuda = "12.8"


class _Cuda:
    """The part of torch.cuda that programs use when they start."""

    @staticmethod
    def _query(field: str) -> list[str]:
        command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return []
        return result.stdout.split("\n")[:-1] if result.returncode == 0 else []

    def device_count(self) -> int:
        return len(self._query("name"))

    def is_available(self) -> bool:
        return self.device_count() > 0

    def get_device_name(self, index: int = 0) -> str:
        return self._query("name")[index]

    def get_device_capability(self, index: int = 0) -> tuple[int, int]:
        major, minor = self._query("compute_cap")[index].split(".")
        return int(major), int(minor)

    def get_device_properties(self, index: int = 0) -> SimpleNamespace:
        mebibytes = int(self._query("memory.total")[index].split()[0])
        return SimpleNamespace(name=self.get_device_name(index), total_memory=mebibytes << 20)

    @staticmethod
    def get_arch_list() -> list[str]:
        # CUDA 12.8 and so sm_120 came to PyPI's default wheels with torch 2.8.
        old = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
        release = tuple(
            int(part) for part in importlib.metadata.version("torch").split("+")[0].split(".")[:2]
        )
        return [*old, "sm_100", "sm_120"] if release >= (2, 8) else old

    @staticmethod
    def empty_cache() -> None:
        """There is none."""


@dataclass(frozen=True)
class device:  # noqa: N801 (the package's name)
    """Where tensors would be."""

    type: str
    index: int | None = None


class OutOfMemoryError(RuntimeError):
    """Is never raised here."""


class Generator:
    """A source of random numbers, of which only the seed is used."""

    def __init__(self, device: str = "cpu") -> None:
        need(device)
        self.device, self._seed = device, 0

    def manual_seed(self, seed: int) -> Generator:
        self._seed = seed
        return self

    def initial_seed(self) -> int:
        return self._seed


def need(device: str) -> None:
    """Fail as torch does if ``device`` is a GPU and there is none."""
    if str(device).startswith("cuda") and not cuda.is_available():
        raise RuntimeError(
            "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and"
            " installed a driver"
        )


def is_tensor(thing: object) -> bool:
    """Return whether it is a tensor: there are none."""
    return False


bfloat16, float16, float32 = "torch.bfloat16", "torch.float16", "torch.float32"
inference_mode = no_grad = contextlib.nullcontext
version = _Version()
cuda = _Cuda()
