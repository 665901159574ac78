"""Where a model computes, and how that ends for lack of memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from imagen_models import RefusalError, messages


def chosen(name: str, args: Mapping[str, str]) -> torch.device:
    """Return the device that Triton assigns to an instance of a model.

    + args: what Triton passes to ``initialize``

    Raises RefusalError if it is a GPU that PyTorch does not find.
    """
    if args["model_instance_kind"] != "GPU":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RefusalError(messages.no_gpu(name))
    return torch.device("cuda", int(args["model_instance_device_id"]))


def precision(device: torch.device) -> torch.dtype:
    """Return the numbers to compute with: processors are slow with 16 bits, or lack operations."""
    return torch.float16 if device.type == "cuda" else torch.float32


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is too little memory, on a GPU or for a processor."""
    # PyTorch has no class for the second: c10/core/impl/alloc_cpu.cpp.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def release(device: torch.device) -> None:
    """Give unused memory of the GPU back: each model is a process with a cache of its own."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
