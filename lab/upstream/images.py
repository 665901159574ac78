"""The mirror's registry: images under their production names, written without an engine.

Layout below ``<root>/registry``: ``blobs/sha256/<hex>`` holds layers, configurations and manifests;
``tags/<name>/<tag>`` holds the digest of the tag.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.upstream import contents, layers
from lab.upstream.files import Tar, key_of, place, write
from lab.upstream.layers import Layer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECOND = 1_000_000_000

DEFAULTS: dict[str, tuple[str, str]] = {
    "comfyui": ("docker.io/yanwk/comfyui-boot", "cu128-megapak-pt28"),
    "invokeai": ("ghcr.io/invoke-ai/invokeai", "v6.13.8-cuda"),
    "dockge": ("docker.io/louislam/dockge", "1.5.0"),
    "comfyui_nvidia": ("docker.io/mmartial/comfyui-nvidia-docker", "ubuntu24_cuda12.8-20260605"),
    "ollama": ("docker.io/ollama/ollama", "0.32.15"),
    "open_webui": ("ghcr.io/open-webui/open-webui", "v0.12.4"),
    "traefik": ("docker.io/library/traefik", "3.7.15"),
    "python": ("docker.io/library/python", "3.11-slim-bookworm"),
    "uv": ("ghcr.io/astral-sh/uv", "0.13.8"),
    "node": ("docker.io/library/node", "22-bookworm-slim"),
    "gpu_probe": ("docker.io/library/ubuntu", "24.04"),
}
"""Names and tags when the pins do not say otherwise."""

OLDER_DOCKGE = "1.4.2"
_OLDER_BYTES = 4 << 20

STAND_INS = [
    "ComfyUI (yanwk/comfyui-boot): a small program with its first start, flags and HTTP answers",
    "InvokeAI: a small program with its entrypoint, model scan and install API, and SQLite",
    "Dockge: a small program that needs the Docker socket, lists the stacks it sees, and lets the "
    "first visitor create the account",
    "comfy (mmartial/comfyui-nvidia-docker): the checks of its init script, a first start without "
    "downloads, then the same small program",
    "openwebui (Open WebUI): a small program with its database, session key, first account, health "
    "check and way to Ollama",
    "python:3.11-slim-bookworm: Debian 12 with its own Python 3.11; no apt sources inside; "
    "libgl1, ffmpeg, compilers and the like are only registered as installed",
    "node:22-bookworm-slim: the real Node.js and npm binaries on a smaller Debian",
    "ubuntu:24.04 (the GPU probe): Debian 12",
]


@dataclass(frozen=True)
class Image:
    """The parts of one image; ``config`` is the ``config`` part of the OCI image configuration."""

    layers: Sequence[Layer]
    config: dict[str, Any] = field(default_factory=dict)


def build(
    root: Path, cache: Path, pins: dict[str, Any], tell: Callable[[str], None]
) -> dict[str, Any]:
    """Write every image to ``root``; return the pins overlay ``{key: {name, tag, digest}}``.

    ``pins`` is the project's ``images`` section; a key it lacks gets its default.
    Raises WheelError if a pinned Traefik or uv is not on PyPI.
    """
    names = {
        **DEFAULTS,
        **{k: (v["name"], str(v["tag"])) for k, v in pins.items() if k in DEFAULTS},
    }
    overlay = {}
    for key, (name, tag) in names.items():
        tell(f"image {name}:{tag}")
        digest = store(root / "registry", name, tag, _image(key, cache, tag))
        overlay[key] = {"name": name, "tag": tag, "digest": digest}
    return overlay


def build_older(root: Path, cache: Path, pins: dict[str, Any]) -> dict[str, Any]:
    """Write an older release of one image, for tests of an upgrade; return its pin.

    It has a layer of its own, of a few MiB, so that there is something to pull.
    """
    name = str(pins.get("dockge", {}).get("name") or DEFAULTS["dockge"][0])
    image = _image("dockge", cache, OLDER_DOCKGE)
    own = Tar()
    own.file("app/older", random.Random(OLDER_DOCKGE).randbytes(_OLDER_BYTES))
    layer = layers.from_files(f"older-{key_of(OLDER_DOCKGE, str(_OLDER_BYTES))}", cache, own)
    image = replace(image, layers=[*image.layers, layer])
    digest = store(root / "registry", name, OLDER_DOCKGE, image)
    return {"dockge": {"name": name, "tag": OLDER_DOCKGE, "digest": digest}}


def store(registry: Path, name: str, tag: str, image: Image) -> str:
    """Write one image's blobs, manifest and tag; return the manifest's digest."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
            "history": [
                {"created": "2026-01-01T00:00:00Z", "created_by": "lab"} for _ in image.layers
            ],
        }
    ).encode()
    for layer in image.layers:
        place(layer.path, registry / "blobs" / layer.digest.replace(":", "/"))
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": _CONFIG,
                "size": len(config),
                "digest": _blob(registry, config),
            },
            "layers": [
                {"mediaType": _LAYER, "size": layer.size, "digest": layer.digest}
                for layer in image.layers
            ],
        }
    ).encode()
    digest = _blob(registry, manifest)
    write(registry / "tags" / name / tag, digest)
    return digest


def _blob(registry: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    path = registry / "blobs" / "sha256" / digest
    if not path.exists():
        write(path, data)
    return f"sha256:{digest}"


def _image(key: str, cache: Path, tag: str) -> Image:
    """Return one image of DEFAULTS; its layers are built, or taken from the cache."""
    if key == "uv":
        return Image(
            [contents.uv(cache, tag)], {"Entrypoint": ["/uv"], "WorkingDir": "/io", "Env": [_PATH]}
        )
    minimal = contents.minimal(cache)
    if key == "python":
        environment = [_PATH, "LANG=C.UTF-8", "PYTHON_VERSION=3.11.2"]
        layers = [minimal, contents.python(cache)]
        return Image(layers, {"Cmd": ["python3"], "Env": environment})
    if key == "node":
        environment = [_PATH, f"NODE_VERSION={contents.NODE_VERSION}"]
        return Image([minimal, contents.node(cache)], {"Cmd": ["node"], "Env": environment})
    if key == "traefik":
        entrypoint = {"Entrypoint": ["/entrypoint.sh"], "Cmd": ["traefik"]}
        config = {**entrypoint, "Env": [_PATH], "ExposedPorts": {"80/tcp": {}}}
        return Image([minimal, contents.traefik(cache, tag)], config)
    if key == "comfyui":
        return Image([minimal, contents.comfyui(cache)], _COMFYUI)
    if key == "invokeai":
        version = tag.strip("v").partition("-")[0]
        environment = [*_INVOKEAI["Env"], f"INVOKEAI_VERSION={version}"]
        return Image([minimal, contents.invokeai(cache)], {**_INVOKEAI, "Env": environment})
    if key == "dockge":
        environment = [*_DOCKGE["Env"], f"DOCKGE_VERSION={tag}"]
        return Image([minimal, contents.dockge(cache)], {**_DOCKGE, "Env": environment})
    if key == "comfyui_nvidia":
        return Image([minimal, contents.comfyui_nvidia(cache)], _COMFYUI_NVIDIA)
    if key == "open_webui":
        environment = [*_OPEN_WEBUI["Env"], f"WEBUI_BUILD_VERSION={tag}"]
        return Image([minimal, contents.open_webui(cache)], {**_OPEN_WEBUI, "Env": environment})
    if key == "ollama":
        return Image([minimal, contents.ollama(cache, tag)], _OLLAMA)
    return Image([minimal], {"Cmd": ["bash"], "Env": [_PATH]})


# As in the upstreams' Dockerfiles.
_COMFYUI: dict[str, Any] = {
    "Cmd": ["bash", "/runner-scripts/entrypoint.sh"],
    "WorkingDir": "/root",
    "Env": [_PATH, "CLI_ARGS="],
    "ExposedPorts": {"8188/tcp": {}},
}
_INVOKEAI: dict[str, Any] = {
    "Entrypoint": ["/opt/invokeai/docker-entrypoint.sh"],
    "Cmd": ["invokeai-web"],
    "WorkingDir": "/opt/invokeai",
    "Env": [
        _PATH,
        "INVOKEAI_ROOT=/invokeai",
        "INVOKEAI_HOST=0.0.0.0",
        "INVOKEAI_PORT=9090",
        "CONTAINER_UID=1000",
        "CONTAINER_GID=1000",
    ],
}
_COMFYUI_NVIDIA: dict[str, Any] = {
    "Cmd": ["/comfyui-nvidia_init.bash"],
    "WorkingDir": "/comfy",
    "Env": [_PATH],
    "ExposedPorts": {"8188/tcp": {}},
}
_OLLAMA: dict[str, Any] = {
    "Entrypoint": ["/bin/ollama"],
    "Cmd": ["serve"],
    "Env": [_PATH, "HOME=/root", "OLLAMA_HOST=0.0.0.0:11434"],
    "ExposedPorts": {"11434/tcp": {}},
}
_OPEN_WEBUI: dict[str, Any] = {
    "Cmd": ["bash", "start.sh"],
    "WorkingDir": "/app/backend",
    "Env": [_PATH, "PORT=8080", "OLLAMA_BASE_URL=/ollama"],
    "ExposedPorts": {"8080/tcp": {}},
    "Healthcheck": {"Test": ["CMD-SHELL", "./healthcheck"]},
}
_DOCKGE: dict[str, Any] = {
    "Cmd": ["tsx", "./backend/index.ts"],
    "WorkingDir": "/app",
    "Env": [_PATH, "UV_USE_IO_URING=0"],
    "ExposedPorts": {"5001/tcp": {}},
    "Volumes": {"/app/data": {}},
    # Without Compose's start_interval, the first check would come after a minute.
    "Healthcheck": {
        "Test": ["CMD-SHELL", "extra/healthcheck"],
        "Interval": 60 * _SECOND,
        "Timeout": 30 * _SECOND,
        "StartPeriod": 60 * _SECOND,
        "Retries": 5,
    },
}
