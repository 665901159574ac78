"""The parts of the mirror that the stack imagen needs, added only by its tests.

Triton, fake-gcs-server, the Firestore emulator and Redis are real programs; so are the Python
packages of API and workers, which come from the index of real packages (``knowledge.INDEX``). Of
Triton's packages, those that its small models need are real, and the rest are stand-ins in the same
index.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.upstream import contents, emulators, images, knowledge, layers, pypi, triton
from lab.upstream.files import cached, key_of, place, sha256_file
from lab.upstream.images import Image
from lab.upstream.layers import Layer
from lab.upstream.wheels import download
from workstation import pins as pin_files

STAND_INS = [
    "Triton: the real server 2.51 on the CPU, our five models with small networks (inverted and "
    "larger, blurred, few colors, brown, transparent), on Debian 12 with Python 3.11",
    "Python packages of Triton's image: numpy and Pillow are real, the rest is empty",
    "Pub/Sub emulator: a small gRPC server with leases, redelivery, flow control and dead letters",
    "Firestore emulator: the one of npm (@firestore-emulator/server), not Google's",
    "Jaeger: a small program with OpenTelemetry's receiver and the query API, in memory",
    "Redis: Debian 12's redis-server 7.0, not the image's 7.2",
    "imagen: a repository with the same modules, names and defects as upstream's",
    "BiRefNet: a repository with the same names and no network",
]

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOT = Path(__file__).resolve().parent.parent.parent
_STACK = _ROOT / "templates/stacks/imagen"
APP_LOCK = _STACK / "app/requirements.lock"
TRITON_LOCK = _STACK / "triton/requirements.lock"

REAL = ("numpy", "pillow")
"""What the small models need of Triton's list."""

PACKAGES = (*layers.MINIMAL, "busybox", "libpython3.11")
"""Debian's packages below the images: Alpine's wget is busybox's, and Triton's backend for Python
needs it as a library."""


def debian(cache: Path) -> Layer:
    """The files of ``PACKAGES`` that the minimal layer lacks, and the user of Triton's image."""

    def make(target: Path) -> None:
        lower = layers.bootstrap(layers.MINIMAL, cache, "minimal")
        upper = layers.bootstrap(PACKAGES, cache, "imagen")

        def changes(tar: tarfile.TarFile) -> None:
            layers.add(tar, "usr/bin/wget", link="busybox", mode=0o777)
            with tarfile.open(upper) as old:
                for name in ("passwd", "group"):
                    stream = old.extractfile(f"./etc/{name}")
                    assert stream
                    fields = "1000:1000::/home/triton-server:/bin/bash"
                    line = f"triton-server:x:{fields if name == 'passwd' else '1000:'}\n"
                    layers.add(tar, f"etc/{name}", stream.read().decode() + line)

        layers.difference(lower, upper, target, changes, lambda _, data: data)

    key = key_of(sha256_file(Path(layers.__file__)), *PACKAGES, sha256_file(Path(__file__)))
    return layers.from_tar(f"imagen-{key}", cache, make)


def _triton(cache: Path) -> Image:
    # As in NVIDIA's image, without its banner and its allocator.
    return Image(
        [contents.minimal(cache), debian(cache), triton.layer(cache)],
        {
            "WorkingDir": "/opt/tritonserver",
            "Env": [f"PATH=/opt/tritonserver/bin:{_PATH.removeprefix('PATH=')}"],
        },
    )


def _google(cache: Path) -> Image:
    parts = [contents.node(cache), emulators.packages(cache), emulators.google(cache)]
    return Image(
        [contents.minimal(cache), *parts],
        {"Env": [f"PATH=/google-cloud-sdk/bin:{_PATH.removeprefix('PATH=')}"]},
    )


def _fake_gcs(cache: Path) -> Image:
    return Image(
        [contents.minimal(cache), debian(cache), emulators.fake_gcs(cache)],
        {
            "Entrypoint": ["/bin/fake-gcs-server", "-data", "/data"],
            "Env": [_PATH],
            "ExposedPorts": {"4443/tcp": {}},
        },
    )


def _jaeger(cache: Path) -> Image:
    return Image(
        [contents.minimal(cache), emulators.packages(cache), emulators.jaeger(cache)],
        {
            "Entrypoint": ["/cmd/jaeger/jaeger-linux"],
            "User": "10001",
            "Env": [_PATH, "JAEGER_LISTEN_HOST=0.0.0.0"],
            "ExposedPorts": {"4317/tcp": {}, "16686/tcp": {}},
            "Volumes": {"/tmp": {}},
        },
    )


IMAGES: dict[str, Callable[[Path], Image]] = {
    "redis": knowledge.IMAGES["redis"],
    "triton": _triton,
    "google_emulators": _google,
    "fake_gcs": _fake_gcs,
    "jaeger": _jaeger,
}
"""Key in pins.yml -> what makes the image."""


def build(root: Path, cache: Path, mirror: dict[str, Any]) -> dict[str, Any]:
    """Add all parts to the tree that a mirror serves; return the mirror file's content.

    + root, cache: as for ``lab.upstream.build``, which has created the tree with the two sources
    + mirror: the content of the mirror file, which may be that of ``knowledge.build``
    """
    pins = pin_files.load(_ROOT / "pins.yml")
    digests = {}
    for key, make in IMAGES.items():
        name, tag = pins.images[key].name, pins.images[key].tag
        digests[key] = {"digest": images.store(root / "registry", name, tag, make(cache))}
    folder = root / knowledge.INDEX
    for wheel in wheels(cache):
        place(wheel, folder / "files" / wheel.name)
    pypi.offer(folder, empty_packages())
    known = mirror["pins"]
    return {
        **mirror,
        "pypi": mirror["pypi"].replace("/pypi/", f"/{knowledge.INDEX}/"),
        "pins": {**known, "images": {**known["images"], **digests}},
        "stand_ins": list(dict.fromkeys([*mirror["stand_ins"], *STAND_INS])),
    }


def wheels(cache: Path) -> list[Path]:
    """Return the real wheels: all of API and workers, and ``REAL`` of Triton's.

    Raises WheelError if PyPI has none for Python 3.11.
    """
    pins = pypi.collect([TRITON_LOCK])
    wanted = [f"{name}=={version}" for name in REAL for version in pins[name]]
    lists = [["--requirement", str(APP_LOCK)], wanted]
    found: dict[str, Path] = {}
    for key, arguments in zip((key_of(APP_LOCK.read_text()), key_of(*wanted)), lists, strict=True):

        def fetch(folder: Path, arguments: list[str] = arguments) -> None:
            download(arguments, folder)

        for wheel in cached(cache / "listed" / f"imagen-{key}", fetch).glob("*.whl"):
            found[wheel.name] = wheel
    return list(found.values())


def empty_packages() -> dict[str, list[str]]:
    """Return the stand-in packages of Triton's image: name -> versions."""
    return {k: v for k, v in pypi.collect([TRITON_LOCK]).items() if k not in REAL}
