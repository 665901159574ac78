"""llama-cpp-python for the lab: the real one, compiled here once, installed there within seconds.

Compiling on an emulated machine would take most of an hour. So the pinned source is compiled on
this machine, in the same Debian as the containers', with the flags of the stack's Dockerfile, for
any x86-64. The index offers it under the source's name, as a source whose build only returns the
wheel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from lab.errors import LabError
from lab.image import debian_mirror
from lab.upstream.files import Tar, cached, key_of, sha256_file
from lab.upstream.wheels import download
from workstation import pins as pin_files
from workstation import settings
from workstation.group_data import stack_data
from workstation.mirror import Mirror
from workstation.render import StackRenderer

STAND_INS = [
    "llama-cpp-python: the real one, compiled outside the machine for any processor, with OpenBLAS "
    "beside it and without CUDA",
]

_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_FOLDER = _REPOSITORY / "templates/stacks/knowledge-center/llamacpp"
_PACKAGES = "g++,libopenblas-dev,pkg-config,python3,python3-pip,binutils"

# Includes what the image installs from Debian, because the lab's images have no apt sources. RPATH,
# unlike RUNPATH, also finds the libraries that OpenBLAS itself needs (ld.so(8)).
_COMPILE = r"""
set -e
cd /in
export CMAKE_ARGS="$(cat flags)" CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-1} PIP_NO_INDEX=1
export LDFLAGS=-Wl,--disable-new-dtags
mkdir -p /build && cp lean.cmake /build/
pip install --quiet --break-system-packages --find-links tools scikit-build-core cmake ninja
pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /out llama_cpp_python-*.tar.gz
mkdir /beside
for name in libopenblas.so.0 libgfortran.so.5 libquadmath.so.0; do
  cp -L "/usr/lib/x86_64-linux-gnu/$name" /beside/
done
tar -cf /out/beside.tar -C /beside .
"""

_BACKEND = '''\
"""Hands out the wheel that lies beside it (PEP 517)."""

import glob
import os
import shutil


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    (wheel,) = glob.glob("*.whl")
    shutil.copy(wheel, wheel_directory)
    return os.path.basename(wheel)
'''
_PROJECT = """\
[build-system]
requires = []
build-backend = "handout"
backend-path = ["."]

[project]
name = "llama_cpp_python"
version = "{version}"
"""


def flags() -> str:
    """Return the Dockerfile's CMAKE_ARGS for a machine without a GPU and any x86-64."""
    renderer = StackRenderer(
        "knowledge-center",
        settings.load(settings.defaults(_REPOSITORY / "group_data/all.py")),
        pin_files.load(_REPOSITORY / "pins.yml"),
        Mirror(),
        {**stack_data(_REPOSITORY, "knowledge-center"), "cpu": "x86-64-v1"},
        gpu=False,
    )
    text = renderer.render().files["llamacpp/Dockerfile"].decode()
    found = re.search(r'^ARG CMAKE_ARGS="(.*?)"', text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LabError(f"{_FOLDER}/Dockerfile.j2 has no line ARG CMAKE_ARGS.")
    return " ".join(found[1].replace("\\\n", " ").split())


def source(cache: Path, pin: pin_files.Download) -> Path:
    """Return the source with its finished build, as a file for an index.

    + pin: ``downloads.llamacpp``

    Needs mmdebstrap; if it is not cached, also Debian's and PyPI's servers and a few minutes.
    """
    built = wheel(cache, pin)
    name = f"llama_cpp_python-{pin.version}"
    target = cache / "llamacpp" / f"{sha256_file(built)[:16]}-{key_of(_BACKEND, _PROJECT)}"

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        tar = Tar()
        tar.file(f"{name}/{built.name}", built)
        tar.file(f"{name}/handout.py", _BACKEND)
        tar.file(f"{name}/pyproject.toml", _PROJECT.format(version=pin.version))
        metadata = f"Metadata-Version: 2.2\nName: llama_cpp_python\nVersion: {pin.version}\n"
        tar.file(f"{name}/PKG-INFO", metadata)
        (folder / f"{name}.tar.gz").write_bytes(tar.gzipped())

    return cached(target, make) / f"{name}.tar.gz"


def wheel(cache: Path, pin: pin_files.Download) -> Path:
    """Return the compiled wheel, with the Debian libraries that it is linked with."""
    wanted = flags()
    constraints = (_FOLDER / "build-constraints.txt").read_text()
    lean = (_FOLDER / "lean.cmake").read_text()
    key = key_of(pin.version, pin.sha256, wanted, constraints, lean, _COMPILE, _PACKAGES)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            given, out = Path(temporary) / "in", Path(temporary) / "out"
            out.mkdir()
            given.mkdir()
            archive = download([f"llama-cpp-python=={pin.version}"], given, source=True)
            if pin.sha256 and sha256_file(archive[0]) != pin.sha256:
                raise LabError(f"{archive[0].name} does not have the sha256 in pins.yml.")
            download(
                ["scikit-build-core", "cmake", "ninja", "packaging", "pathspec"],
                given / "tools",
                constraints=_FOLDER / "build-constraints.txt",
            )
            (given / "flags").write_text(wanted)
            (given / "lean.cmake").write_text(lean)
            (given / "compile.sh").write_text(_COMPILE)
            _compile(given, out)
            folder.mkdir(parents=True)
            (built,) = out.glob("*.whl")
            _with_libraries(built, out / "beside.tar", folder / _untagged(built.name))

    return next(cached(cache / "llamacpp" / f"wheel-{key}", make).glob("*.whl"))


def _compile(given: Path, out: Path) -> None:
    """Compile the files in ``given`` in a separate Debian 12; the result goes to ``out``."""
    if shutil.which("mmdebstrap") is None:
        raise LabError("mmdebstrap is missing: apt install mmdebstrap")
    jobs = os.environ.get("LAB_JOBS") or os.cpu_count() or 1
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", "--components=main", "--format=null"),
        f"--include={_PACKAGES}",
        f"--customize-hook=copy-in {given} /",
        f'--customize-hook=env JOBS={jobs} chroot "$1" sh /in/compile.sh >&2',
        f"--customize-hook=sync-out /out {out}",
        *("bookworm", "-", debian_mirror()),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"llama-cpp-python cannot be compiled:\n{result.stderr[-2000:]}")


def _untagged(name: str) -> str:
    """Return the wheel's name for any image, since its tag is that of the compiling machine's
    pip."""
    return re.sub(r"-linux_x86_64\.whl$", "-manylinux_2_36_x86_64.whl", name)


def _with_libraries(built: Path, beside: Path, target: Path) -> None:
    """Copy a wheel and add the libraries of a tar next to its own, where those look first."""
    with (
        zipfile.ZipFile(built) as old,
        tarfile.open(beside) as libraries,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        files = {
            f"llama_cpp/lib/{Path(one.name).name}": libraries.extractfile(one)
            for one in libraries
            if one.isreg()
        }
        added = {name: stream.read() for name, stream in files.items() if stream}
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                content += "".join(f"{name},,\n" for name in sorted(added)).encode()
            new.writestr(entry, content)
        for name, content in sorted(added.items()):
            new.writestr(name, content)
