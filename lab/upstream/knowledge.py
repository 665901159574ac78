"""The parts of the mirror that the stack knowledge-center needs, added only by its tests.

Redis is Debian's. llama-cpp-python and the packages around it are real and have an index of their
own (``/real/simple``). In the index of stand-ins, other stacks' images would get them too, and an
emulated machine would spend minutes compiling packages that nothing there uses.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.upstream import contents, git, images, llamacpp
from lab.upstream.files import STANDINS, cached, key_of, place, sha256_file
from lab.upstream.images import Image
from lab.upstream.wheels import download
from workstation import pins as pin_files

REPOSITORY = "github.com/example/knowledgecenter.git"
"""Path in the mirror of the worker's repository."""

INDEX = "real"
"""Folder and path of the index of real packages."""

STAND_INS = [
    *llamacpp.STAND_INS,
    "Redis: Debian 12's redis-server 7.0, not the image's 7.2",
    "vLLM: a small program with its flags, checks and paths, which answers with the prompt",
    "nvidia/cuda: no compiler, and empty libraries",
    "the worker: a Celery app with one task",
]

_ROOT = Path(__file__).resolve().parent.parent.parent
_LISTS = (
    _ROOT / "templates/stacks/knowledge-center/llamacpp/requirements.lock",
    STANDINS / "repos/knowledgecenter/worker/requirements.txt",
)
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

IMAGES: dict[str, Callable[[Path], Image]] = {
    "redis": lambda cache: Image(
        [contents.minimal(cache), contents.redis(cache)],
        {
            "Cmd": ["redis-server"],
            "WorkingDir": "/data",
            "Volumes": {"/data": {}},
            "Env": [_PATH],
        },
    ),
    "cuda": lambda cache: Image(
        [contents.minimal(cache), contents.python(cache), contents.cuda(cache)],
        {"Cmd": ["bash"], "Env": [_PATH]},
    ),
    "vllm": lambda cache: Image(
        [contents.minimal(cache), contents.vllm(cache)],
        {"Entrypoint": ["vllm", "serve"], "Env": [_PATH], "ExposedPorts": {"8000/tcp": {}}},
    ),
}
"""Key in pins.yml -> what makes the image."""


def build(root: Path, cache: Path, mirror: dict[str, Any]) -> dict[str, Any]:
    """Add all parts to the tree that a mirror serves; return the mirror file's content.

    + root, cache: as for ``lab.upstream.build``, which has created the tree
    + mirror: the content of the mirror file

    The first call compiles llama.cpp, which takes minutes (``llamacpp.source``).
    """
    pins = pin_files.load(_ROOT / "pins.yml")
    digests = {}
    for key, make in IMAGES.items():
        name, tag = pins.images[key].name, pins.images[key].tag
        digests[key] = {"digest": images.store(root / "registry", name, tag, make(cache))}
    source = llamacpp.source(cache, pins.downloads["llamacpp"])
    for file in (source, *_wheels(cache)):
        place(file, root / INDEX / "files" / file.name)
    git.repository("knowledgecenter", root / "git" / REPOSITORY, {})
    known = mirror["pins"]
    return {
        **mirror,
        "pypi": mirror["pypi"].replace("/pypi/", f"/{INDEX}/"),
        "pins": {
            **known,
            "images": {**known["images"], **digests},
            "downloads": {**known["downloads"], "llamacpp": {"sha256": sha256_file(source)}},
        },
        "stand_ins": [*mirror["stand_ins"], *STAND_INS],
    }


def commit(root: Path) -> tuple[str, str]:
    """Return the two commits of the worker's repository in a mirror's tree, the newer last."""
    return git.repository("knowledgecenter", root / "git" / REPOSITORY, {})


def _wheels(cache: Path) -> list[Path]:
    """Return the real wheels of all lists."""
    found: dict[str, Path] = {}
    for path in _LISTS:
        key = key_of(path.read_text())

        def fetch(folder: Path, path: Path = path) -> None:
            download(["--requirement", str(path)], folder)

        for wheel in cached(cache / "listed" / f"{path.stem}-{key}", fetch).glob("*.whl"):
            found[wheel.name] = wheel
    return list(found.values())
