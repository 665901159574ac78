"""The mirror's Python index: stand-in wheels made on the fly, and a few real ones.

``<root>/pypi/pins.json`` maps a package's normalized name to the versions that the project uses;
each is offered as a wheel whose bytes depend only on name and version. ``<root>/pypi/files`` holds
real wheels, which take precedence over stand-ins of the same name and version.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from html import escape
from pathlib import Path

from lab.upstream.files import STANDINS, place, write
from lab.upstream.wheels import fetch

STAND_INS = [
    "Python packages: empty packages of the pinned versions (pip, setuptools and wheel are real); "
    "torch only answers is_available() and the like from nvidia-smi",
]

REAL: dict[str, tuple[str, ...]] = {
    "pip": ("26.2",),
    # Version 82 no longer has pkg_resources, so a build without its constraint fails as it does in
    # reality.
    "setuptools": ("69.5.1", "80.10.2", "82.0.1"),
    "wheel": ("0.45.1",),
}
"""Build tools must be real: these versions, in addition to those that the project pins."""

ALWAYS = {"torch": ("2.8.0",), "torchvision": ("0.23.0",), "torchaudio": ("2.8.0",)}
UNPINNED = "99.0"
"""The version of a package that is named without one."""

_PIN = re.compile(r"(?<![\w./=-])([A-Za-z][A-Za-z0-9._-]*)(?:\[[\w,.-]*\])?==(\d[\w.!+-]*)")
_NAME = re.compile(r"^([A-Za-z][A-Za-z0-9._-]*)(?:\[[\w,.-]*\])?\s*(?:$|[<>~!;#])")
_WHEEL = re.compile(r"^([\w.]+?)-([\w.!+]+)-py3-none-any\.whl$")
_MODULES = {
    "pillow": "PIL",
    "pyyaml": "yaml",
    "python-slugify": "slugify",
    "python-dotenv": "dotenv",
    "opencv-python": "cv2",
    "opencv-python-headless": "cv2",
    "opencv-contrib-python": "cv2",
    "opencv-contrib-python-headless": "cv2",
    "scikit-image": "skimage",
    "gitpython": "git",
    "open-clip-torch": "open_clip",
    "lycoris-lora": "lycoris",
    "groundingdino-py": "groundingdino",
    "python-multipart": "multipart",
    "python-dateutil": "dateutil",
    "clean-fid": "cleanfid",
    "protobuf": "google",
    "pytorch-fid": "pytorch_fid",
    "invisible-watermark": "imwatermark",
}
_COMMANDS = {"accelerate": "accelerate", "torch": "torchrun"}


def normalize(name: str) -> str:
    """Return a package's name normalized as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def collect(files: Iterable[Path]) -> dict[str, list[str]]:
    """Return package -> versions from lock files, requirement files and Dockerfiles.

    ``name==version`` counts anywhere; a line with a bare name or a range counts in files whose
    name begins with ``requirements`` or ends with ``.lock``.
    """
    found: dict[str, set[str]] = {name: set(versions) for name, versions in ALWAYS.items()}
    for path in files:
        bare = path.name.startswith("requirements") or path.suffix in (".lock", ".in", ".txt")
        for line in path.read_text(errors="replace").splitlines():
            if line.lstrip().startswith("#"):
                continue
            for name, version in _PIN.findall(line):
                found.setdefault(normalize(name), set()).add(version)
            if bare and (match := _NAME.match(line)):
                found.setdefault(normalize(match[1]), set())
    return {name: sorted(found[name]) or [UNPINNED] for name in sorted(found)}


def build(root: Path, cache: Path, sources: Iterable[Path]) -> None:
    """Write ``pins.json`` from the project's files and fetch the real wheels."""
    folder = root / "pypi"
    pins = collect(sources)
    for name, versions in REAL.items():
        pinned = [v for v in pins.pop(name, []) if v != UNPINNED]
        for version in sorted({*versions, *pinned}):
            wheel = fetch(name, version, cache, platform=False)
            place(wheel, folder / "files" / wheel.name)
    write(folder / "pins.json", json.dumps(pins, indent=1))


def offer(folder: Path, packages: Mapping[str, Iterable[str]]) -> None:
    """Add stand-in packages (name -> versions) to those that an index offers."""
    path = folder / "pins.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for name, versions in packages.items():
        known[name] = sorted({*known.get(name, []), *versions})
    write(path, json.dumps(known, indent=1))


def index(folder: Path, name: str) -> str:
    """Return the PEP 503 page of a package, or "" if the mirror does not have it.

    An empty name gives the page of all packages. The folder's name is that of the index.
    """
    if not name:
        return _root(folder)
    wanted = normalize(name)
    real = [
        path
        for path in sorted((folder / "files").glob("*"))
        if normalize(path.name.split("-")[0]) == wanted
    ]
    names = [(p.name, hashlib.sha256(p.read_bytes()).hexdigest(), "") for p in real]
    versions = {path.name.split("-")[1] for path in real}
    names += [_entry(wanted, v) for v in _pins(folder).get(wanted, []) if v not in versions]
    links = "".join(
        f'<a href="/{folder.name}/files/{escape(file)}#sha256={digest}"{attribute}>'
        f"{escape(file)}</a><br>\n"
        for file, digest, attribute in names
    )
    title = f"<!DOCTYPE html><html><head><title>Links for {escape(wanted)}</title></head><body>\n"
    return f"{title}{links}</body></html>\n" if links else ""


def _root(folder: Path) -> str:
    real = {normalize(path.name.split("-")[0]) for path in (folder / "files").glob("*")}
    names = sorted(real | set(_pins(folder)))
    links = "".join(f'<a href="/{folder.name}/simple/{name}/">{name}</a><br>\n' for name in names)
    return f"<!DOCTYPE html><html><body>\n{links}</body></html>\n"


def file(folder: Path, name: str) -> bytes | Path | None:
    """Return a wheel or its ``.metadata`` (PEP 658) by file name; None if there is none."""
    real = folder / "files" / name
    if "/" not in name and real.is_file():
        return real
    match = _WHEEL.match(name.removesuffix(".metadata"))
    if match is None:
        return None
    package, version = normalize(match[1]), match[2]
    if version not in _pins(folder).get(package, []):
        return None
    return _metadata(package, version) if name.endswith(".metadata") else wheel(package, version)


@lru_cache(maxsize=4096)
def wheel(name: str, version: str) -> bytes:
    """Return the stand-in wheel of a package: a module with ``__version__``, no dependencies."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {f"{_module(name)}/__init__.py": _source(name, version)}
    files[f"{stem}.dist-info/METADATA"] = _metadata(name, version)
    files[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if command := _COMMANDS.get(name):
        text = f"[console_scripts]\n{command} = {_module(name)}:main\n"
        files[f"{stem}.dist-info/entry_points.txt"] = text.encode()
    record = "".join(
        f"{path},sha256={_record_hash(data)},{len(data)}\n" for path, data in sorted(files.items())
    )
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[path])
    return stream.getvalue()


def _entry(name: str, version: str) -> tuple[str, str, str]:
    data = hashlib.sha256(wheel(name, version)).hexdigest()
    metadata = hashlib.sha256(_metadata(name, version)).hexdigest()
    attribute = (
        f' data-core-metadata="sha256={metadata}" data-dist-info-metadata="sha256={metadata}"'
    )
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl", data, attribute


def _source(name: str, version: str) -> bytes:
    special = STANDINS / "python" / f"{name}.py"
    text = special.read_text() if special.is_file() else f'"""Stand-in for {name}."""\n'
    main = "\n\ndef main() -> int:\n    return 0\n" if name in _COMMANDS else ""
    return f"{text}\n__version__ = {version!r}\n{main}".encode()


def _metadata(name: str, version: str) -> bytes:
    return (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Summary: Lab stand-in, not the real package\n"
    ).encode()


def _module(name: str) -> str:
    return _MODULES.get(name, name.replace("-", "_"))


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _pins(folder: Path) -> dict[str, list[str]]:
    path = folder / "pins.json"
    return _read_pins(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=4)
def _read_pins(path: Path, _stamp: int) -> dict[str, list[str]]:
    pins: dict[str, list[str]] = json.loads(path.read_text())
    return pins
