"""Stand-in for FluxGym's app.py: its paths, imports, environment and web answers.

``POST /standin/train?name=x`` is an extra of the stand-in: it creates the same files as the start
of a training, with placeholders for downloads and results.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys

from standin import Request, die, gpus, page, serve

# Relative to the working directory, as in the real program.
MODELS = (
    "models/unet/flux1-dev.sft",
    "models/vae/ae.sft",
    "models/clip/clip_l.safetensors",
    "models/clip/t5xxl_fp16.safetensors",
)


def check() -> None:
    """Import the packages that the real program imports when it starts."""
    sys.path.append(os.path.join(os.getcwd(), "sd-scripts"))
    try:
        import gradio  # noqa: F401
        import gradio_logsview  # noqa: F401
        import slugify  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
        from library import flux_train_utils, huggingface_util  # noqa: F401
    except ImportError as error:
        die(f"ModuleNotFoundError: {error}")
    if int(importlib.metadata.version("gradio").split(".")[0]) >= 6:
        die("TypeError: Code.__init__() got an unexpected keyword argument 'show_share_button'")
    if tuple(map(int, importlib.metadata.version("transformers").split(".")[:2])) >= (4, 50):
        print(
            "AttributeError: 'Florence2ForConditionalGeneration' object has no attribute "
            "'generate' (captions will fail)",
            flush=True,
        )


def train(request: Request) -> tuple[int, object]:
    """Fetch missing models, write the run's files and a result."""
    name = request.query.get("name", "lora")
    if shutil.which("accelerate") is None:
        return 500, {"error": "accelerate: command not found"}
    fetched = []
    try:
        for path in MODELS:
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write("placeholder of the lab\n")
                fetched.append(path)
        for file in (
            "train.sh",
            "dataset.toml",
            "sample_prompts.txt",
            f"{name}.safetensors",
            f"sample/{name}_000000.png",
        ):
            path = os.path.join("outputs", name, file)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write("placeholder of the lab\n")
        os.makedirs(os.path.join("datasets", name), exist_ok=True)
    except OSError as error:
        return 500, {"error": f"{type(error).__name__}: {error}"}
    if not gpus():
        return 500, {"error": "RuntimeError: Found no NVIDIA driver on your system."}
    return 200, {"downloaded": fetched, "output": f"outputs/{name}"}


def main() -> None:
    check()
    if not os.path.exists("models.yaml"):
        die("FileNotFoundError: [Errno 2] No such file or directory: 'models.yaml'")

    def interface(_: Request) -> tuple[int, object]:
        return 200, {
            "version": "5.50.0",
            "protocol": "sse_v3",
            "models": [path for path in MODELS if os.path.exists(path)],
        }

    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    serve(
        host,
        port,
        {"/": page("Flux Gym"), "/config": interface, "/standin/train": train},
        head=False,
    )


if __name__ == "__main__":
    main()
