"""Stand-in for Forge's launch.py: its flags, folders, checks and web answers."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys

from standin import Request, die, model_files, need_gpu, need_writable, page, serve

ROOT = os.path.dirname(os.path.abspath(__file__))
REPOSITORIES = {
    "stable-diffusion-webui-assets": "https://github.com/AUTOMATIC1111/stable-diffusion-webui-assets.git",
    "huggingface_guess": "https://github.com/lllyasviel/huggingface_guess.git",
    "BLIP": "https://github.com/salesforce/BLIP.git",
}
FOLDERS = (
    "ckpt-dir",
    "vae-dir",
    "text-encoder-dir",
    "embeddings-dir",
    "lora-dir",
    "hypernetwork-dir",
    "esrgan-models-path",
    "realesrgan-models-path",
    "dat-models-path",
    "codeformer-models-path",
    "gfpgan-models-path",
    "controlnet-dir",
    "controlnet-preprocessor-models-dir",
    "lyco-dir-backcompat",
    "forge-ref-a1111-home",
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    for name in (
        "server-name",
        "subpath",
        "gradio-auth",
        "gradio-allowed-path",
        "cors-allow-origins",
        "data-dir",
        "models-dir",
        "theme",
        *FOLDERS,
    ):
        parser.add_argument(f"--{name}")
    for name in (
        "listen",
        "api",
        "nowebui",
        "exit",
        "skip-prepare-environment",
        "skip-install",
        "skip-python-version-check",
        "skip-version-check",
        "skip-torch-cuda-test",
        "enable-insecure-extension-access",
        "no-hashing",
        "no-download-sd-model",
        "cuda-malloc",
        "attention-pytorch",
        "disable-xformers",
        "always-cpu",
        "always-gpu",
        "always-high-vram",
        "always-normal-vram",
        "always-low-vram",
    ):
        parser.add_argument(f"--{name}", action="store_true")
    extra = os.environ.get("COMMANDLINE_ARGS", "").split()
    return parser.parse_args([*sys.argv[1:], *extra])


def run(*command: str) -> None:
    """Run a command that prepares the environment; if it fails, exit with the real launcher's
    message."""
    print("Running", *command, flush=True)
    if subprocess.run(command, check=False).returncode:
        die(f"RuntimeError: Couldn't run {' '.join(command)}")


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def prepare(args: argparse.Namespace) -> None:
    """Clone and install missing parts, as the real launcher does without the skip flags."""
    pip = [sys.executable, "-m", "pip", "install"]
    if not args.skip_torch_cuda_test and not args.always_cpu:
        need_gpu()
    if not version("torch"):
        run(
            *pip,
            "torch==2.3.1",
            "torchvision==0.18.1",
            "--extra-index-url",
            os.environ.get("TORCH_INDEX_URL", "https://download.pytorch.org/whl/cu121"),
        )
    if not args.skip_install:
        if not version("clip"):
            run(
                *pip,
                os.environ.get(
                    "CLIP_PACKAGE",
                    "https://github.com/openai/CLIP/archive/"
                    "d50d76daa670286dd6cacf3bcd80b5e4823fc8e1.zip",
                ),
            )
        run(
            *pip, "-r", os.environ.get("REQS_FILE", os.path.join(ROOT, "requirements_versions.txt"))
        )
    for name, url in REPOSITORIES.items():
        target = os.path.join(ROOT, "repositories", name)
        if not os.path.isdir(target):
            run("git", "clone", url, target)


def check(args: argparse.Namespace) -> None:
    """Exit in the cases where the real program does not start."""
    if sys.version_info >= (3, 12) and not args.skip_python_version_check:
        die("INCOMPATIBLE PYTHON VERSION")
    if not args.skip_install and version("bitsandbytes") != "0.45.3":
        run(sys.executable, "-m", "pip", "install", "bitsandbytes==0.45.3")
    for name in ("torch", "gradio", "fastapi", "pydantic", "transformers", "diffusers"):
        if not version(name):
            die(f"ModuleNotFoundError: No module named '{name}'")
    if tuple(int(part) for part in version("pydantic").split(".")[:2]) > (2, 8):
        die("AttributeError: 'FieldInfo' object has no attribute 'in_'")
    if not args.skip_version_check and not version("torch").startswith("2.3.1"):
        print(
            f"You are running torch {version('torch')}. The program is tested to work with "
            "torch 2.3.1.",
            flush=True,
        )
    sys.path.insert(0, os.path.join(ROOT, "repositories", "huggingface_guess"))
    try:
        import huggingface_guess  # noqa: F401
    except ImportError as error:
        die(f"ModuleNotFoundError: {error}")


def main() -> None:
    args = arguments()
    if not args.skip_prepare_environment:
        prepare(args)
    if args.exit:
        print("Exiting because of --exit argument")
        return
    check(args)
    name = "cpu" if args.always_cpu else need_gpu()
    data = args.data_dir or ROOT
    models = args.models_dir or os.path.join(data, "models")
    for kind in (
        "hypernetworks",
        "ControlNet",
        "ControlNetPreprocessor",
        "diffusers",
        "Stable-diffusion",
        "Lora",
        "VAE",
    ):
        need_writable(os.path.join(models, kind))
    for kind in ("cache", "extensions", "config_states"):
        need_writable(os.path.join(data, kind))
    # Read once here; the real program also creates ui-config.json and styles.csv at this point.
    config = os.path.join(data, "config.json")
    if not os.path.exists(config):
        with open(config, "w", encoding="utf-8") as stream:
            stream.write("{}\n")
    checkpoints = [
        path for path in (args.ckpt_dir, os.path.join(models, "Stable-diffusion")) if path
    ]

    def listing(_: Request) -> tuple[int, object]:
        return 200, [{"title": file, "filename": file} for file in model_files(checkpoints)]

    routes = {
        "/": page("Stable Diffusion WebUI Forge"),
        "/internal/ping": lambda _: (200, {}),
        "/config": lambda _: (
            200,
            {
                "version": "4.40.0",
                "device": name,
                "protocol": "sse_v3",
                "checkpoints": model_files(checkpoints),
            },
        ),
    }
    if args.api or args.nowebui:
        routes["/sdapi/v1/sd-models"] = listing
    host = args.server_name or ("0.0.0.0" if args.listen else "127.0.0.1")
    serve(host, args.port or (7861 if args.nowebui else 7860), routes, head=False)


if __name__ == "__main__":
    main()
