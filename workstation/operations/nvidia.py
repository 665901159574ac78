"""NVIDIA Container Toolkit: signed, pinned, held, and proven by a container that sees the GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.compose import PULLING
from workstation.facts.docker import Engine
from workstation.facts.nvidia import Gpu
from workstation.facts.packages import Packages, Repository
from workstation.facts.shell import script
from workstation.operations import docker_scripts, packages
from workstation.operations.base import Commands, operation
from workstation.operations.plan import live, tell

TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)

# What guides before 2023 set up: the archived nvidia-docker repository and keys of `apt-key add`.
_OLD_FILES = (
    "/etc/apt/sources.list.d/nvidia-docker.list",
    "/etc/apt/sources.list.d/nvidia-container-runtime.list",
    "/etc/apt/sources.list.d/libnvidia-container.list",
)

DAEMON_JSON = {
    # CDI devices keep working through `systemctl daemon-reload`, the legacy hook's do not
    # (NVIDIA/nvidia-container-toolkit: known issue "containers losing access to GPUs").
    "features": {"cdi": True},
    # What `nvidia-ctk runtime configure --runtime=docker` adds, for files that ask for it.
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
}

# Only this key goes: the keyring may hold others' too.
_FORGET_KEY = """
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
others=$(gpg --batch --homedir "$folder" --show-keys --with-colons "$1" \\
  | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}' | grep -vxF "$2") || true
if [ -n "$others" ]; then
  file=$(readlink -f "$1"); new=$file.ai-workstation
  trap 'rm -rf "$folder" "$new"' EXIT
  cp -a "$file" "$new"
  gpg --batch --homedir "$folder" --no-default-keyring --keyring "$1" --export $others > "$new"
  sync "$new"
  mv -fT "$new" "$file"
else
  rm -f "$1"
fi
"""

_DESCRIBE = """
systemctl restart nvidia-cdi-refresh.service 2>/dev/null \\
  || nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml
nvidia-ctk cdi list | grep -q nvidia.com/gpu || {
  echo "nvidia-ctk describes no GPU: see what nvidia-smi says on the host." >&2; exit 1; }
"""

_PROVE = """
set -e
docker run --rm --pull never --device nvidia.com/gpu=all "$1" nvidia-smi -L
mkdir -p /var/lib/ai-workstation
printf '%s\\n' "$2" > /var/lib/ai-workstation/.gpu-proof
sync /var/lib/ai-workstation/.gpu-proof
mv /var/lib/ai-workstation/.gpu-proof /var/lib/ai-workstation/gpu-proof
"""


@operation
def driver(branch: str, required: bool) -> Commands:
    """
    Have a working driver: left alone where ``nvidia-smi`` works, installed by branch if asked.

    + branch: such as ``580-open``; Blackwell cards need the open kernel modules
    + required: raise if there is no working driver and none is asked for

    Raises HostError when a driver was installed but the running kernel has none loaded:
    only a reboot helps, and it is the person's to choose when.
    """
    found = host.get_fact(Gpu)
    if found.cards:
        host.noop(f"driver {found.cards[0].driver} works")
        return
    package = f"nvidia-driver-{branch}"
    if not branch:
        if required:
            raise HostError(
                "No NVIDIA driver works on this host "
                f"({found.error or 'nvidia-smi is not installed'}): set NVIDIA_DRIVER to a branch "
                "such as 580-open to have one installed, or GPU to optional or none."
            )
        host.noop("no driver, and none is asked for")
        return
    if package in host.get_fact(Packages):
        raise HostError(
            f"{package} is installed, but its kernel module is not loaded ({found.error}): "
            f"reboot {host.name}, then run again."
        )
    utilities = "nvidia-utils-" + branch.removesuffix("-open")
    yield from list(packages.installed._inner(packages=[package, utilities]))
    yield script(
        "nvidia-smi >/dev/null 2>&1 || { modprobe nvidia && nvidia-smi >/dev/null; } || {"
        ' echo "The driver is installed: reboot this host, then run again." >&2; exit 1; }'
    )


@operation
def toolkit(repository: Mapping[str, str], version: str) -> Commands:
    """
    Have the Container Toolkit at a pinned version, held, and traces of nvidia-docker removed.

    + repository: arguments of ``packages.repository``
    + version: of all four packages
    """
    found = host.get_fact(Repository, **packages.asked_of(repository))
    for path in found.trusted:
        tell("-", f"key {repository['fingerprint']} in {path}")
    steps = [
        *(script(_FORGET_KEY, path, repository["fingerprint"]) for path in found.trusted),
        *packages.repository._inner(**repository, gone=_OLD_FILES),
        *packages.installed._inner(
            packages=[f"{name}={version}" for name in TOOLKIT_PACKAGES], hold=True
        ),
    ]
    yield from steps


@operation
def devices(image: str) -> Commands:
    """
    Have the GPU described to Docker (CDI) and proven by a container that sees it.

    + image: small image with a C library, in which ``nvidia-smi`` runs

    The proof is repeated when driver, toolkit or Engine have changed since the last one.
    """
    found = host.get_fact(Gpu)
    versions = host.get_fact(Packages)
    engine = host.get_fact(Engine)
    installed = [name for name in sorted(TOOLKIT_PACKAGES) if name in versions]
    parts = [
        *(f"{card.uuid} {card.driver}" for card in found.cards),
        *(f"{name} {versions[name].version}" for name in installed),
        engine.client,
    ]
    proof = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    if found.cdi and found.probed == proof:
        host.noop(f"containers see {len(found.cards)} GPU")
        return
    tell(
        "~",
        f"GPU proven by a container of {image}",
        "" if found.cdi else "described to Docker before",
    )
    if not found.cdi:
        yield live(script(_DESCRIBE))
    yield live(script(docker_scripts.PULL, PULLING, image))
    yield live(script(_PROVE, image, proof))
