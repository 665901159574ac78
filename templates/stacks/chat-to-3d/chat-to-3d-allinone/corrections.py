"""What is corrected in upstream's source, which the image contains unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

CORRECTIONS: dict[str, tuple[str, str]] = {
    "address": (
        "the page listens on 127.0.0.1:7860 only, so a published port is dead, and"
        " `GRADIO_SERVER_NAME` and `GRADIO_SERVER_PORT` have no effect",
        "both apply; `0.0.0.0` and 7860 without them",
    ),
    "services": (
        "the addresses of LLM and 3D are constants",
        "they are those of this container's services",
    ),
    "timeout-3d": (
        "an object that takes longer than 300 s fails",
        "it may take `TIMEOUT_3D` seconds",
    ),
    "models": (
        "the models for pictures and for the check of prompts are constants, in their newest"
        " version",
        "`IMAGE_MODEL` and `GUARD_MODEL`: a folder of the store, or `name` or `name@revision` on"
        " the Hugging Face Hub",
    ),
    "objects": (
        "there are always 20 objects, and an LLM that names more makes pictures that no page shows",
        "`OBJECTS`, at most 20; what exceeds it is dropped",
    ),
    "names": (
        "an object's name becomes part of a file name, so `TV / Radio` or a very long name has no"
        " picture",
        "names are cleaned",
    ),
    "tokenizer": (
        "griptape counts tokens with a table that tiktoken downloads at its first use, so without"
        " internet access each scene ends in `No objects generated`",
        "griptape's own `SimpleTokenizer`",
    ),
    "llm-reasons": (
        "if the LLM fails, the page says `No objects generated` after more than a minute, and an"
        " object's error becomes its prompt",
        "it says at once what failed; only a lost connection is tried again",
    ),
    "outputs": (
        "each start deletes all pictures and objects",
        "they stay, in `/data/outputs/images`, `models` and `exports`",
    ),
    "copies": (
        "Gradio copies each picture and object that it shows into a temporary folder, which is in"
        " memory here",
        "they are served from where they are",
    ),
    "export": (
        "an export's name may lead anywhere in the file system, and nothing says whether it"
        " succeeded",
        "it is one folder in `exports`, and the page says which, or what failed",
    ),
    "reload": (
        "one flag for all says whether the page shows objects: a reload, or a second tab, ends the"
        " program for everybody",
        "each tab has its own",
    ),
    "one-after-another": (
        "two tabs at work share the conversation with the LLM and the GPU's memory",
        "work of all tabs is done one after another; one that waits shows its place in the queue",
    ),
    "one-user": (
        "nothing says that the program is made for one user at a time",
        "the page's head does",
    ),
    "hand-over": (
        "it stops the LLM by `podman stop` to make room on the GPU (up to 31 GiB), and an LLM that"
        " was stopped by one tab leaves the others waiting for ever",
        "supervisord stops it, and starts it for the next scene; only the LLM of this container",
    ),
    "no-containers": (
        "it starts NIM containers by scripts for Windows' WSL",
        "nothing is started: supervisord does that",
    ),
    "pid-port": (
        "port 12345 tells the program's process id to whoever asks",
        "there is no such port",
    ),
    "waiting": (
        "while LLM or 3D are not ready, the page shows an endless spinner without a reason",
        "it says what is missing; without 3D, scenes and pictures can be made",
    ),
    "picture-reasons": (
        "a picture that failed has no reason on the page, and if none could be made, `→ 3D` waits"
        " for ever",
        "the page says why, and the button is off",
    ),
    "3d-reasons": (
        "an object that failed has no reason on the page",
        "the page says why",
    ),
    "3d-of-refused": (
        "`Convert all to 3D` also sends what is no picture: the sign of a refused prompt, or none",
        "these are left out",
    ),
    "preview": (
        "the 3D preview stays empty in a browser that has WebGPU but no GPU for it, as on a remote"
        " desktop",
        "WebGL is used there",
    ),
    "half-files": (
        "a full disk leaves half an object",
        "a file appears when it is complete",
    ),
    "no-gpu": (
        "pictures need CUDA even where there is no GPU",
        "the processor draws them then",
    ),
    "guard": (
        "if the model that checks prompts cannot be loaded, each prompt tries it again, and"
        " nothing says that prompts are not checked",
        "the page says so; tried again after ten minutes",
    ),
    "end": (
        "SIGTERM waits for the work of all threads, so the end is a SIGKILL",
        "it ends at once; files are complete or absent",
    ),
}
"""Name -> (what is wrong, what is done instead)."""

APPLIED: dict[str, Callable[..., Any]] = {}
"""Name -> the function that carries the correction out."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def corrects(*names: str) -> Callable[[_Function], _Function]:
    """Mark a function with the corrections that it carries out."""

    def mark(function: _Function) -> _Function:
        for name in names:
            if name not in CORRECTIONS:
                raise KeyError(f"CORRECTIONS has no {name}")
            APPLIED[name] = function
        return function

    return mark


def present(correction: str, owner: Any, *attributes: str) -> bool:
    """Return whether what a correction replaces is there; otherwise a line in the log says so, as
    upstream may have changed it."""
    missing = [one for one in attributes if not hasattr(owner, one)]
    if missing:
        place = getattr(owner, "__name__", type(owner).__name__)
        print(f"correction {correction} is left out: {place} has no {', '.join(missing)}")
    return not missing
