"""Docker's own apt repository, with the newest Engine that Debian has: forky's packages under the
names, relations and paths of Docker's own packages.

The layout is upstream's: ``download.docker.com/linux/debian/dists/<suite>/stable`` and the key at
``download.docker.com/linux/debian/gpg``. Next to it, ``debian-forky/`` contains Debian's own
packages, for upgrading a distribution's Docker in place.

Sources: control files of docker-ce 28 and 29 (download.docker.com). A fresh Docker 29 keeps images
in containerd's store (docs.docker.com/engine/storage/containerd); forky's does so if ``_STORE``, a
variable of moby's own tests, is set (moby: daemon/daemon.go).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.image import KEYRING, SUITE, debian_mirror
from lab.upstream.apt import index, signing_key
from lab.upstream.files import EPOCH, cached, key_of, place, write

STAND_INS = [
    "Docker's apt repository: Docker Engine, CLI, containerd, Buildx and Compose of Debian forky "
    "under the names of Docker's own packages, with containerd's image store",
]

NEWEST = "forky"
DEBIAN_PACKAGES = (
    *("docker.io", "docker-cli", "containerd", "runc", "docker-buildx", "docker-compose"),
    "tini-static",
)

_BASE = Path("download.docker.com/linux/debian")
_STORE = "TEST_INTEGRATION_USE_SNAPSHOTTER=1"


@dataclass(frozen=True)
class _Package:
    """A package of Docker's, built from Debian's ``parts``; the first part provides the scripts."""

    name: str
    parts: tuple[str, ...]
    relations: Mapping[str, str]


_PACKAGES = (
    _Package(
        "docker-ce",
        ("docker.io", "tini-static"),
        {
            "Depends": "containerd.io, docker-ce-cli, iptables, libc6 (>= 2.34), libsystemd0, "
            "systemd",
            "Conflicts": "docker.io, docker-engine",
            "Replaces": "docker.io",
        },
    ),
    _Package(
        "docker-ce-cli",
        ("docker-cli",),
        {
            "Depends": "libc6 (>= 2.34)",
            "Recommends": "docker-buildx-plugin, docker-compose-plugin",
            "Conflicts": "docker-cli",
            "Replaces": "docker-cli",
        },
    ),
    _Package(
        "containerd.io",
        ("containerd", "runc"),
        {
            "Depends": "libc6 (>= 2.38), libseccomp2 (>= 2.5.0)",
            "Conflicts": "containerd, runc",
            "Provides": "containerd, runc",
            "Replaces": "containerd, runc",
        },
    ),
    _Package(
        "docker-buildx-plugin",
        ("docker-buildx",),
        {"Depends": "libc6 (>= 2.34)", "Conflicts": "docker-buildx", "Replaces": "docker-buildx"},
    ),
    _Package(
        "docker-compose-plugin",
        ("docker-compose",),
        {"Depends": "libc6 (>= 2.34)", "Conflicts": "docker-compose", "Replaces": "docker-compose"},
    ),
)


def build(root: Path, cache: Path) -> dict[str, str]:
    """Write the repository below ``<root>/http``; return the overlay ``{fingerprint}``.

    Needs apt and dpkg-deb, and Debian's servers for packages that the cache lacks.
    """
    recipe = key_of(Path(__file__).read_text(), debian_mirror())
    debian = cached(cache / "docker" / f"debian-{recipe}", _download)
    secret, public, fingerprint = signing_key(cache)
    stage = cached(
        cache / "docker" / f"repository-{key_of(recipe, fingerprint)}",
        lambda folder: _repository(folder, debian, secret),
    )
    for source, target in ((stage, root / "http" / _BASE), (debian, root / "http/debian-forky")):
        for path in sorted(source.rglob("*")):
            if path.is_file():
                place(path, target / path.relative_to(source))
    write(root / "http" / _BASE / "gpg", public)
    return {"fingerprint": fingerprint}


def _download(folder: Path) -> None:
    """Download Debian's packages with apt, in separate folders: this machine's sources stay
    unchanged."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        state = Path(temporary)
        (state / "sources.list").write_text(
            f"deb [arch=amd64 signed-by={KEYRING}] {debian_mirror()} {NEWEST} main\n"
        )
        for name in ("lists/partial", "cache/archives/partial", "empty"):
            (state / name).mkdir(parents=True)
        (state / "status").touch()
        apt = [
            "apt-get",
            *("-q", "-o", f"Dir::Etc::sourcelist={state}/sources.list"),
            *(
                "-o",
                f"Dir::Etc::sourceparts={state}/empty",
                "-o",
                f"Dir::State::lists={state}/lists",
            ),
            *("-o", f"Dir::State::status={state}/status", "-o", f"Dir::Cache={state}/cache"),
            *("-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64"),
            *("-o", "Acquire::Check-Valid-Until=false", "-o", "Acquire::Languages=none"),
            # The folder belongs to root, and apt's own user cannot enter it.
            *("-o", "APT::Sandbox::User=root"),
        ]
        for arguments in (["update"], ["download", *DEBIAN_PACKAGES]):
            done = subprocess.run(
                [*apt, *arguments], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise LabError(f"apt cannot fetch {NEWEST}'s Docker:\n{done.stderr.strip()}")


def _repository(folder: Path, debian: Path, secret: str) -> None:
    pool = folder / "dists" / SUITE / "pool" / "stable" / "amd64"
    pool.mkdir(parents=True)
    for package in _PACKAGES:
        _deb(package, debian, pool)
    index(
        folder / "dists" / SUITE,
        sorted(pool.glob("*.deb")),
        secret,
        "stable/binary-amd64",
        Suite=SUITE,
        Codename=SUITE,
        Components="stable",
    )


def _deb(package: _Package, debian: Path, pool: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        for part in reversed(package.parts):
            (file,) = debian.glob(f"{part}_*.deb")
            shutil.rmtree(tree / "DEBIAN", ignore_errors=True)
            _run("dpkg-deb", "--raw-extract", str(file), str(tree))
        control = (tree / "DEBIAN/control").read_text()
        found = re.search(r"^Version: (?:\d+:)?([\d.]+)", control, re.MULTILINE)
        if found is None:
            raise LabError(f"{file.name} has no version")
        version = f"5:{found[1]}-1~debian.13~{SUITE}"
        relations = "".join(f"{name}: {value}\n" for name, value in package.relations.items())
        write(
            tree / "DEBIAN/control",
            f"Package: {package.name}\nVersion: {version}\nArchitecture: amd64\n"
            f"Maintainer: Lab upstream <lab@localhost>\n{relations}Section: admin\n"
            "Priority: optional\nDescription: lab stand-in, Debian's program under Docker's name\n",
        )
        # It lists the files of the original packages.
        (tree / "DEBIAN/md5sums").unlink(missing_ok=True)
        _as_docker_has_it(tree)
        target = pool / f"{package.name}_{version.replace(':', '%3a')}_amd64.deb"
        _run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z3", "--build", str(tree), str(target))


def _as_docker_has_it(tree: Path) -> None:
    """Give the Engine the paths and unit of Docker's own package, and the image store of Docker
    29."""
    unit = tree / "usr/lib/systemd/system/docker.service"
    if not unit.exists():
        return
    (tree / "usr/sbin/dockerd").rename(tree / "usr/bin/dockerd")
    (tree / "usr/sbin/docker-proxy").rename(tree / "usr/bin/docker-proxy")
    (tree / "usr/bin/docker-init").unlink()
    (tree / "usr/bin/tini-static").rename(tree / "usr/bin/docker-init")
    text = unit.read_text()
    text = re.sub(r"^EnvironmentFile=.*$", f"Environment={_STORE}", text, flags=re.MULTILINE)
    start = "ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"
    write(unit, re.sub(r"^ExecStart=.*$", start, text, flags=re.MULTILINE))
    # Docker's package has neither of these files, and asks nothing during its installation.
    for name in ("etc/default/docker", "etc/init.d/docker", "DEBIAN/config", "DEBIAN/templates"):
        (tree / name).unlink(missing_ok=True)
    conffiles = tree / "DEBIAN/conffiles"
    conffiles.unlink(missing_ok=True)
    for script in ("preinst", "postinst", "prerm", "postrm"):
        path = tree / "DEBIAN" / script
        if path.exists():
            path.unlink()
    for script, text in _SCRIPTS.items():
        write(tree / "DEBIAN" / script, text, 0o755)


# These do the same as docker-ce's (docker/packaging, deb/control scripts by debhelper).
_SCRIPTS = {
    "postinst": """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    getent group docker >/dev/null || groupadd --system docker
    deb-systemd-helper unmask docker.service docker.socket >/dev/null || true
    deb-systemd-helper enable docker.service docker.socket >/dev/null || true
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload >/dev/null || true
        action=restart
        [ -n "$2" ] || action=start
        deb-systemd-invoke "$action" docker.service >/dev/null || true
    fi
fi
""",
    "prerm": """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop docker.service docker.socket >/dev/null || true
fi
""",
    "postrm": """\
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload >/dev/null || true
if [ "$1" = purge ]; then
    deb-systemd-helper purge docker.service docker.socket >/dev/null || true
fi
""",
}


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
    )
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
