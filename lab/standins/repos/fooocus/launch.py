"""Stand-in for Fooocus' launch.py: its flags, checks, configuration and web answers.

Downloads are replaced: instead of downloading a missing model file, this writes a placeholder to
the same place, and fails like the real program if it is not allowed to.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys

from standin import die, model_files, need_gpu, page, serve

ROOT = os.path.dirname(os.path.abspath(__file__))
LISTS = {"path_checkpoints": "checkpoints", "path_loras": "loras"}
SINGLE = {
    "path_embeddings": "embeddings",
    "path_vae_approx": "vae_approx",
    "path_vae": "vae",
    "path_upscale_models": "upscale_models",
    "path_inpaint": "inpaint",
    "path_controlnet": "controlnet",
    "path_clip_vision": "clip_vision",
    "path_fooocus_expansion": "prompt_expansion/fooocus_expansion",
    "path_safety_checker": "safety_checker",
    "path_sam": "sam",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", nargs="?", const="0.0.0.0", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", 7865)))
    for name in ("preset", "output-path", "temp-path", "theme", "language", "web-upload-size"):
        parser.add_argument(f"--{name}")
    for name in (
        "always-gpu",
        "always-high-vram",
        "always-normal-vram",
        "always-low-vram",
        "always-no-vram",
        "always-cpu",
        "attention-pytorch",
        "attention-split",
        "attention-quad",
        "disable-xformers",
        "disable-in-browser",
        "disable-analytics",
        "disable-image-log",
        "disable-metadata",
        "disable-preset-download",
        "disable-preset-selection",
        "disable-offload-from-vram",
        "share",
        "in-browser",
        "rebuild-hash-cache",
        "enable-auto-describe-image",
    ):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def pip(*words: str) -> None:
    """Install like the real launcher does; in the lab, nothing serves packages at run time."""
    print("Installing", *words, flush=True)
    if subprocess.run([sys.executable, "-m", "pip", "install", *words], check=False).returncode:
        die(f"RuntimeError: Couldn't install {' '.join(words)}.")


def check_packages() -> None:
    """Install packages that are missing or have a version other than the pinned one."""
    try:
        import torch  # noqa: F401
    except ImportError:
        pip(
            "torch==2.1.0",
            "torchvision==0.16.0",
            "--extra-index-url",
            os.environ.get("TORCH_INDEX_URL", "https://download.pytorch.org/whl/cu121"),
        )
    file = os.environ.get("REQS_FILE", os.path.join(ROOT, "requirements_versions.txt"))
    with open(file, encoding="utf-8") as stream:
        pins = re.findall(r"^([\w.-]+)==(\S+)", stream.read(), re.MULTILINE)
    for name, version in pins:
        try:
            same = importlib.metadata.version(name) == version
        except importlib.metadata.PackageNotFoundError:
            same = False
        if not same:
            print(f"{name} is not {version}")
            pip("-r", file)
            return


def check_web_framework() -> None:
    """Gradio 3.41 works with the starlette of its time and of early 2025, but not with later
    ones."""
    try:
        version = importlib.metadata.version("starlette")
    except importlib.metadata.PackageNotFoundError:
        die("ModuleNotFoundError: No module named 'starlette'")
    if tuple(int(part) for part in version.split(".")[:2]) > (0, 45):
        die(
            "TypeError: unhashable type: 'dict'\n"
            "ValueError: When localhost is not accessible, a shareable link must be created."
        )


def configuration() -> dict[str, object]:
    """Return config.txt overlaid with environment variables; rewrite the tutorial file."""
    path = os.environ.get("config_path", os.path.join(ROOT, "config.txt"))  # noqa: SIM112
    content: dict[str, object] = {}
    if os.path.exists(path):
        try:
            with open(path, encoding="utf-8") as stream:
                content = json.load(stream)
        except ValueError as error:
            print(f"Failed to load config file {path}. {error}", flush=True)
    for name in (*LISTS, *SINGLE, "path_outputs", "path_wildcards"):
        content[name] = os.environ.get(name, content.get(name))
    example = os.environ.get(
        "config_example_path",  # noqa: SIM112
        os.path.join(ROOT, "config_modification_tutorial.txt"),
    )
    put(example, "You can modify your config.txt using the below keys.\n" + json.dumps(content))
    return content


def put(path: str, text: str) -> None:
    """Write a file or exit with the traceback's last line."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        die(f"{type(error).__name__}: {error}")


def folder(config: dict[str, object], name: str, default: str) -> list[str]:
    """Return the directories of a key; if one does not exist, return the default instead of all of
    them."""
    value = config.get(name)
    values = [str(v) for v in value] if isinstance(value, list) else [str(value)] if value else []
    if values and all(os.path.isdir(v) for v in values):
        return values
    fallback = (
        os.path.join(ROOT, "models", default)
        if name != "path_outputs"
        else os.path.join(ROOT, default)
    )
    if values:
        print(f"Failed to load config key: {name} {values} is invalid; will use {fallback}")
    os.makedirs(fallback, exist_ok=True)
    return [fallback]


def fetch(path: str) -> None:
    """Replace a download: write a placeholder unless the file exists."""
    if not os.path.exists(path):
        print(f"Downloading to {path}", flush=True)
        put(path, "placeholder of the lab\n")


def main() -> None:
    args = arguments()
    check_packages()
    check_web_framework()
    name = "cpu" if args.always_cpu else need_gpu()
    config = configuration()
    found = {key: folder(config, key, default) for key, default in {**LISTS, **SINGLE}.items()}
    outputs = args.output_path or folder(config, "path_outputs", "outputs")[0]
    for model in ("xlvaeapp.pth", "vaeapp_sd15.pth", "xl-to-v1_interposer-v4.0.safetensors"):
        fetch(os.path.join(found["path_vae_approx"][0], model))
    fetch(os.path.join(found["path_fooocus_expansion"][0], "pytorch_model.bin"))
    if not args.disable_preset_download:
        model = "juggernautXL_v8Rundiffusion.safetensors"
        if model not in model_files(found["path_checkpoints"]):
            fetch(os.path.join(found["path_checkpoints"][0], model))
    put(os.path.join(os.getcwd(), "hash_cache.txt"), "")

    def interface(_: object) -> tuple[int, object]:
        choices = {key: model_files(found[key]) for key in LISTS}
        return 200, {
            "version": "3.41.2",
            "device": name,
            "outputs": outputs,
            "components": [
                {
                    "type": "dropdown",
                    "props": {"label": "Base Model", "choices": choices["path_checkpoints"]},
                },
                {"type": "dropdown", "props": {"label": "LoRA", "choices": choices["path_loras"]}},
            ],
        }

    serve(
        args.listen,
        args.port,
        {"/": page("Fooocus 2.5.5"), "/config": interface},
        {"/queue/join": '{"msg":"send_hash"}'},
        head=False,
    )


if __name__ == "__main__":
    main()
