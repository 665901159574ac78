"""The layer of the image of NVIDIA's Triton: the real program, from the wheel of PyTriton.

It has no CUDA: models run on the CPU, and one that asks for a GPU (``KIND_GPU``) is refused by
Triton itself. ``lab/standins/imagen/triton`` has its command, and the models that take the place of
ours.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from lab.upstream import layers
from lab.upstream.files import STANDINS, Tar, key_of, sha256_file, tree_hash
from lab.upstream.layers import Layer
from lab.upstream.wheels import fetch

WHEEL = ("nvidia-pytriton", "0.7.0")
"""PyTriton's version, whose wheel has Triton 2.51.0."""

PLATFORM = "manylinux_2_35_x86_64"
"""The wheel's own tag; Debian 12 has glibc 2.36."""

_SOURCE = STANDINS / "imagen" / "triton"
_HOME = "opt/tritonserver"
_LIBRARIES = "nvidia_pytriton.libs"
_STUB = "python_backend_stubs/3.11/triton_python_backend_stub"
_SKIPPED = "libpython3"
"""A Python for the stub of another version."""


def layer(cache: Path) -> Layer:
    """Triton below ``/opt/tritonserver``, as in NVIDIA's image. Raises WheelError."""
    wheel = fetch(*WHEEL, cache, tag=PLATFORM)

    def make(target: Path) -> None:
        tar = Tar()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if (path := _place(name)) is not None:
                    mode = 0o755 if path.endswith(("-real", "_stub")) else 0o644
                    tar.file(path, archive.read(name), mode)
        # Where the programs look for them: RPATH is relative to the folders of the wheel.
        tar.link(_LIBRARIES, f"/{_HOME}/lib")
        tar.file(f"{_HOME}/bin/tritonserver", _SOURCE / "tritonserver.py", 0o755)
        tar.file(f"{_HOME}/lab/models.py", _SOURCE / "models.py")
        tar.write(target)

    key = key_of(*WHEEL, tree_hash(_SOURCE), sha256_file(Path(__file__)))
    return layers.from_tar(f"triton-{key}", cache, make)


def _place(name: str) -> str | None:
    """Return the path in the image of a member of the wheel; None if it is not wanted."""
    top, _, rest = name.partition("/")
    if name.endswith("/"):
        return None
    if top == _LIBRARIES:
        return None if rest.startswith(_SKIPPED) else f"{_HOME}/lib/{rest}"
    below = name.removeprefix("pytriton/tritonserver/")
    if below == name:
        return None
    if below == _STUB:
        return f"{_HOME}/backends/python/triton_python_backend_stub"
    if below == "bin/tritonserver":
        return f"{_HOME}/bin/tritonserver-real"
    return None if below.startswith("python_backend_stubs/") else f"{_HOME}/{below}"
