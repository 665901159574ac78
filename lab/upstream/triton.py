"""The layer of the image of NVIDIA's Triton: the real program, from the wheel of PyTriton.

It has no CUDA: models run on the CPU, and one that asks for a GPU (``KIND_GPU``) is refused by
Triton itself. ``lab/standins/imagen/triton`` has its command, and the models that take the place of
ours.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from lab.upstream import layers
from lab.upstream.files import STANDINS, Tar, cached, key_of, sha256_file, tree_hash
from lab.upstream.layers import Layer
from lab.upstream.wheels import download, fetch

WHEEL = ("nvidia-pytriton", "0.7.0")
"""PyTriton's version, whose wheel has Triton 2.51.0."""

PLATFORM = "manylinux_2_35_x86_64"
"""The wheel's own tag; Debian 12 has glibc 2.36."""

NUMPY = "numpy==1.26.4"
"""That Triton reads the tensors of numpy 2 wrongly: it was built with a pybind11 before 2.12
(pybind11's changelog). NVIDIA's later ones do not."""

_SOURCE = STANDINS / "imagen" / "triton"
_HOME = "opt/tritonserver"
_LIBRARIES = "nvidia_pytriton.libs"
_STUB = "python_backend_stubs/3.11/triton_python_backend_stub"
_SKIPPED = "libpython3"
"""A Python for the stub of another version."""

# Everything of the Python in whose place it is.
_BEHIND = (
    "import os, site; site.addsitedir(os.environ['LAB_PREFIX'] + '/lib/python3.11/site-packages')\n"
)


def layer(cache: Path) -> Layer:
    """Triton below ``/opt/tritonserver``, as in NVIDIA's image. Raises WheelError."""
    wheel = fetch(*WHEEL, cache, tag=PLATFORM)
    numpy = cached(cache / "listed" / NUMPY, _fetch_numpy)

    def make(target: Path) -> None:
        tar = Tar()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if (path := _place(name)) is not None:
                    mode = 0o755 if path.endswith("-real") else 0o644
                    tar.file(path, archive.read(name), mode)
        # Where the programs look for them: RPATH is relative to the folders of the wheel.
        tar.link(_LIBRARIES, f"/{_HOME}/lib")
        tar.file(f"{_HOME}/bin/tritonserver", _SOURCE / "tritonserver.py", 0o755)
        stub = f"{_HOME}/backends/python/triton_python_backend_stub"
        tar.file(stub, _SOURCE / "stub.sh", 0o755)
        tar.file(f"{_HOME}/lab/models.py", _SOURCE / "models.py")
        _python(tar, numpy)
        tar.write(target)

    key = key_of(*WHEEL, NUMPY, tree_hash(_SOURCE), sha256_file(Path(__file__)))
    return layers.from_tar(f"triton-{key}", cache, make)


def _fetch_numpy(target: Path) -> None:
    download([NUMPY], target)


def _python(tar: Tar, numpy: Path) -> None:
    """Add a virtual environment with numpy, and behind it the packages of another one."""
    home = f"{_HOME}/lab/python"
    tar.file(f"{home}/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    tar.link(f"{home}/bin/python3", "/usr/bin/python3.11")
    packages = f"{home}/lib/python3.11/site-packages"
    tar.file(f"{packages}/behind.pth", _BEHIND)
    for wheel in numpy.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and "/tests/" not in name:
                    tar.file(f"{packages}/{name}", archive.read(name))


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
        return f"{_HOME}/backends/python/triton_python_backend_stub-real"
    if below == "bin/tritonserver":
        return f"{_HOME}/bin/tritonserver-real"
    return None if below.startswith("python_backend_stubs/") else f"{_HOME}/{below}"
