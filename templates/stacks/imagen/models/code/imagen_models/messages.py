"""The sentences that people read when a picture or a model is refused."""

from __future__ import annotations

from collections.abc import Sequence

WHERE = "group_data/imagen.py"


def no_picture(size: int) -> str:
    """Return what is said about bytes that no picture can be read from.

    + size: how many bytes
    """
    if not size:
        return "There is no picture: the request has 0 bytes of it."
    return f"These {size} bytes are no picture that can be read: send a PNG, JPEG or WebP file."


def too_large(width: int, height: int, most: int) -> str:
    """Return what is said about a picture of more than ``most`` pixels."""
    return (
        f"The picture has {width} x {height} pixels, more than the {most} of the setting "
        f"max_pixels: send a smaller one, or raise max_pixels in {WHERE}."
    )


def result_too_large(width: int, height: int, most: int) -> str:
    """Return what is said about a result that the worker could not open.

    + width, height: of the result
    """
    return (
        f"The result would have {width} x {height} pixels, and workers open at most {most}: send a "
        "smaller picture, or a smaller scale."
    )


def out_of_memory(
    name: str, on_gpu: bool, instances: int, smaller: Sequence[tuple[str, int]]
) -> str:
    """Return what is said if a model finds too little memory.

    + instances: how many of this model there are
    + smaller: settings of this model that take less memory with a smaller value, and their values
    """
    ways = [f"set {setting} (now {value}) lower" for setting, value in smaller]
    if instances > 1:
        ways.append(f"set instances (now {instances}) lower")
    ways.append("leave models out of parts")
    if on_gpu:
        ways.append("end other programs on the GPU, which nvidia-smi lists")
    chosen = ", or ".join(ways)
    return f"{name} ran out of {'GPU ' if on_gpu else ''}memory: in {WHERE}, {chosen}."


def no_gpu(name: str) -> str:
    """Return what is said if Triton has a GPU for a model, but PyTorch has none."""
    return (
        f"Triton assigns a GPU to {name}, but PyTorch finds none: run nvidia-smi on the machine "
        "and in the container, and see docs/gpu.md for drivers."
    )


def missing(path: str, setting: str, why: str) -> str:
    """Return what is said if weights cannot be read.

    + why: such as ``is not there``
    """
    return (
        f"{path} {why}: put the model into the model store (docs/imagen.md lists the downloads), "
        f"or correct {setting} in {WHERE}."
    )


def unloadable(path: str, setting: str, error: BaseException) -> str:
    """Return what is said if weights can be read but not loaded."""
    return missing(path, setting, f"cannot be loaded ({failure(error)})")


def failure(error: BaseException) -> str:
    """Return an unexpected error on one line of limited length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
