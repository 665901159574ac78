"""The parts of the mirror that the stack chat-to-3d needs, added only by its tests.

Gradio, griptape and all that they need are the real packages, in the index of real packages
(``knowledge.INDEX``); PyTorch and the libraries around it are stand-ins in the same index. The
language model server is llama-cpp-python's, compiled for knowledge-center.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from lab.upstream import contents, images, knowledge, layers, llamacpp, pypi
from lab.upstream.files import STANDINS, Tar, cached, key_of, place, sha256_file, tree_hash
from lab.upstream.images import Image
from lab.upstream.layers import Layer
from lab.upstream.wheels import download
from workstation import pins as pin_files

STAND_INS = [
    "3d-object-generation: a repository with the same modules, events and defects as upstream's",
    "Python packages of chat-to-3d: Gradio, griptape, supervisor and what they need are real; "
    "diffusers paints a square in the prompt's color, transformers finds every prompt safe, and "
    "the rest is empty",
    "TRELLIS NIM: a small program with its key, start, health and inference path; an object is a "
    "cube in the picture's average color",
    *llamacpp.STAND_INS,
    "Language model: 150 kB in llama.cpp's format, which answers everything with the same list",
]

ROOTS = (
    "fastapi",
    "gradio",
    "griptape",
    "httpx",
    "openai",
    "pillow",
    "requests",
    "setuptools",
    "supervisor",
    "uvicorn",
)
"""Packages that are real, together with those that they need. openai is what griptape's extra
``drivers-prompt-openai`` adds."""

SERVER = "lab/openai-server:1"
"""Name and tag in the mirror's registry of an image with llama-cpp-python's server: MODEL is the
path of the model, PORT 8000, API_KEY a key. It is no part of the stack."""

_ROOT = Path(__file__).resolve().parent.parent.parent
_SOURCE = STANDINS / "chat_to_3d"
_SERVER_LOCK = _ROOT / "templates/stacks/knowledge-center/llamacpp/requirements.lock"
_PACKAGES = "opt/lab/packages"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")

LOCK = _ROOT / "templates/stacks/chat-to-3d/chat-to-3d-allinone/requirements.lock"


def build(root: Path, cache: Path, mirror: dict[str, Any]) -> dict[str, Any]:
    """Add all parts to the tree that a mirror serves; return the mirror file's content.

    + root, cache: as for ``lab.upstream.build``, which has created the tree with the source
    + mirror: the content of the mirror file, which may be that of another stack's ``build``

    The first call compiles llama.cpp, which takes minutes (``llamacpp.source``).
    """
    pins = pin_files.load(_ROOT / "pins.yml")
    pin = pins.images["trellis_nim"]
    digest = images.store(root / "registry", pin.name, pin.tag, _trellis(cache))
    name, _, tag = SERVER.partition(":")
    images.store(root / "registry", name, tag, _server(cache, pins.downloads["llamacpp"]))
    folder = root / knowledge.INDEX
    real = wheels(LOCK, cache)
    for wheel in real:
        place(wheel, folder / "files" / wheel.name)
    pypi.offer(folder, empty_packages(LOCK, real))
    known = mirror["pins"]
    return {
        **mirror,
        "pypi": mirror["pypi"].replace("/pypi/", f"/{knowledge.INDEX}/"),
        "pins": {**known, "images": {**known["images"], "trellis_nim": {"digest": digest}}},
        "stand_ins": list(dict.fromkeys([*mirror["stand_ins"], *STAND_INS])),
    }


def wheels(lock: Path, cache: Path) -> list[Path]:
    """Return the real wheels of a lock: ``ROOTS`` and what they need, directly or not.

    Raises WheelError if PyPI has none for Python 3.11.
    """
    pinned = _pinned(lock)
    found: dict[str, Path] = {}
    wanted = {name for name in ROOTS if name in pinned}
    while wanted:
        for name, wheel in _fetched({name: pinned[name] for name in wanted}, cache).items():
            found[name] = wheel
        needed = {name for one in wanted for name in _needed(found[one])}
        wanted = (needed & set(pinned)) - set(found)
    return [found[name] for name in sorted(found)]


def empty_packages(lock: Path, real: Iterable[Path]) -> dict[str, list[str]]:
    """Return the stand-in packages of a lock, those that are not ``real``: name -> versions."""
    names = {_name_of(wheel) for wheel in real}
    return {name: versions for name, versions in pypi.collect([lock]).items() if name not in names}


def _pinned(lock: Path) -> dict[str, str]:
    """Return the entries of a lock, with their checksums: name -> lines."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", lock.read_text()):
        if "==" in entry and (match := _NAME.match(entry)):
            found[pypi.normalize(match[1])] = entry.rstrip()
    return found


def _fetched(entries: dict[str, str], cache: Path) -> dict[str, Path]:
    """Return the wheels of a lock's entries: name -> wheel."""
    text = "".join(f"{entry}\n" for _, entry in sorted(entries.items()))

    def fetch(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "requirements.txt").write_text(text)
        download(["--requirement", str(folder / "requirements.txt")], folder)

    folder = cached(cache / "listed" / f"chat-to-3d-{key_of(text)}", fetch)
    return {_name_of(wheel): wheel for wheel in folder.glob("*.whl")}


def _name_of(wheel: Path) -> str:
    return pypi.normalize(wheel.name.split("-")[0])


def _needed(wheel: Path) -> set[str]:
    """Return the names of the packages that a wheel needs without any extra."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [
            name
            for name in archive.namelist()
            if name.endswith(".dist-info/METADATA") and name.count("/") == 1
        ]
        metadata = HeaderParser().parsestr(archive.read(path).decode())
    lines = [str(line) for line in metadata.get_all("Requires-Dist", [])]
    names = [_NAME.match(line) for line in lines if not re.search(r"\bextra\s*==", line)]
    return {pypi.normalize(match[1]) for match in names if match}


def _unpacked(name: str, found: Iterable[Path], cache: Path) -> Layer:
    """Return a layer with the modules of wheels below ``/opt/lab/packages``."""
    parts = sorted(found)

    def make(target: Path) -> None:
        tar = Tar()
        for wheel in parts:
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    if not member.endswith("/") and ".data/" not in member:
                        tar.file(f"{_PACKAGES}/{member}", archive.read(member))
        tar.write(target)

    key = key_of(_own(), *(f"{wheel.name} {sha256_file(wheel)}" for wheel in parts))
    return layers.from_tar(f"{name}-{key}", cache, make)


def _trellis(cache: Path) -> Image:
    # In NVIDIA's image too, programs of the user 1000 write to the cache.
    tar = Tar()
    tar.file("opt/nvidia/nvidia_entrypoint.sh", '#!/bin/bash\nexec "$@"\n', 0o755)
    start = "#!/bin/bash\nexec python3 -u /opt/lab/trellis.py\n"
    tar.file("opt/nim/start_server.sh", start, 0o755)
    tar.directory("opt/nim/.cache", uid=1000)
    tar.file("opt/lab/trellis.py", _SOURCE / "trellis.py")
    tar.file("opt/lab/standin.py", STANDINS / "standin.py")
    key = key_of(_own(), tree_hash(_SOURCE), sha256_file(STANDINS / "standin.py"))
    pillow = _fetched({"pillow": _pinned(LOCK)["pillow"]}, cache)["pillow"]
    return Image(
        [
            contents.minimal(cache),
            _unpacked("chat-to-3d-pillow", [pillow], cache),
            layers.from_files(f"trellis-{key}", cache, tar),
        ],
        {
            "Entrypoint": ["/opt/nvidia/nvidia_entrypoint.sh"],
            "Cmd": ["/opt/nim/start_server.sh"],
            "User": "1000",
            "Env": [_PATH, f"PYTHONPATH=/{_PACKAGES}"],
            "ExposedPorts": {"8000/tcp": {}},
        },
    )


def _server(cache: Path, pin: pin_files.Download) -> Image:
    parts = [llamacpp.wheel(cache, pin), *_fetched(_pinned(_SERVER_LOCK), cache).values()]
    return Image(
        [
            contents.minimal(cache),
            contents.python(cache),
            _unpacked("openai-server", parts, cache),
        ],
        {
            "Cmd": ["python3", "-m", "llama_cpp.server"],
            "Env": [_PATH, f"PYTHONPATH=/{_PACKAGES}", "HOST=0.0.0.0", "N_CTX=4096"],
            "ExposedPorts": {"8000/tcp": {}},
        },
    )


def _own() -> str:
    return sha256_file(Path(__file__))[:16]
