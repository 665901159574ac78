"""Native Ollama: a pinned release, unpacked next to the running one, then switched to at once."""

from __future__ import annotations

import posixpath

from pyinfra import host

from workstation import scripts
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.docker import Bridges
from workstation.facts.files import Paths
from workstation.facts.ollama import Ollama, OllamaState
from workstation.facts.packages import Packages
from workstation.facts.shell import script
from workstation.findings import failed
from workstation.links import destination, refusal
from workstation.operations import files, packages
from workstation.operations.base import operation
from workstation.operations.docker import on_bridges
from workstation.operations.live import live
from workstation.plan import Change, Changes, together
from workstation.preflight import line
from workstation.preflight.ollama import unit_findings
from workstation.units.files import UnitFile
from workstation.units.ollama import BINARY, RELEASES

STORE = ("blobs", "manifests", ".taken-over")
"""What is in a folder of models: Ollama's own two, and what adopt.sh has there for a while."""

FILTER = "haproxy"
"""Program and package of the filter between containers and Ollama."""

FILTER_FILE = "/etc/ai-workstation/ollama-docker.cfg"

# deb-systemd-invoke(1p) does not start a masked unit.
# One that somebody has without the package, with a unit of the same name, is not masked.
_MASK = '[ -n "$(systemctl show -P FragmentPath -- "$1")" ] || systemctl mask --runtime -- "$1"'
_UNMASK = """
[ -L "/run/systemd/system/$1" ] || exit 0
systemctl unmask --runtime -- "$1" && systemctl disable --now -- "$1"
"""

_ASIDE = "before-ai-workstation"
_LIBRARIES = "/usr/local/lib/ollama"

_PRUNE = 'cd "$1" && ls -1t | grep -vxF -- "$2" | tail -n +2 | xargs -r rm -rf --'


@operation
def release(
    version: str,
    url: str,
    sha256: str | None,
    models: str,
    units: tuple[UnitFile, UnitFile] | None = None,
    gpu: bool = True,
) -> Changes:
    """
    Ensure this release is installed, switching its binary and libraries together.

    + version: of the release
    + url: of the archive, ``ollama-linux-amd64.tar.zst`` (Ollama: scripts/install.sh)
    + sha256: of the archive; None: read from the release's own ``sha256sum.txt``
    + models: the model store
    + units: our unit file and drop-in; other drop-ins must not keep Ollama from working
    + gpu: whether Ollama uses the card

    Raises HostError if another drop-in does, or if models are to be moved through a link that may
    lead anywhere.

    Ollama finds its libraries next to the file that ``/usr/local/bin/ollama`` points to
    (``../lib/ollama``), so one link switches both. An installation by install.sh is taken over:
    the link replaces its binary and libraries, and its models are moved to the store. If the
    binary is somebody else's link, the libraries are not from install.sh, and stay.
    """
    found = ask(host, Ollama, releases=RELEASES, models=models)
    if units:
        _refuse_overridden(found, *units, gpu)
    folder = f"{RELEASES}/{version}" + (f"-{sha256[:12]}" if sha256 else "")
    name = folder.rsplit("/", 1)[1]
    unpack = name not in found.releases
    switch = found.target != f"{folder}/bin/ollama"
    adopt = found.foreign_models if found.foreign_models and not found.models else ""
    binary = switch and found.target == BINARY
    gone = [BINARY] * binary + [_LIBRARIES] * (binary and found.libraries)
    if not (unpack or switch or adopt):
        host.noop(f"Ollama {version} is installed")
        return
    if unpack:
        sums = url.rsplit("/", 1)[0] + "/sha256sum.txt"
        install = script(scripts.text("ollama/install.sh"), folder, url, sha256 or "", sums)
        yield Change("+", f"Ollama {version} from {url}", commands=[live(install)])
    # Before the switch: the new binary looks for models in the store.
    moved = []
    if adopt:
        move = live(script(scripts.text("ollama/adopt.sh"), *_real(adopt, models)))
        moved = [Change("~", f"models of {adopt} moved to {models}", commands=[move])]
    if not switch:
        yield from moved
        return
    own = found.target not in ("", BINARY) and not found.target.startswith(f"{RELEASES}/")
    led = f"was {found.target}, which is kept" if own else ""
    yield together(
        [
            Change(
                "~" if found.target else "+",
                f"{BINARY} -> {folder}/bin/ollama",
                led,
                writes=BINARY,
            ),
            *(Change("-", path, f"kept as {path}.{_ASIDE}") for path in gone),
            *moved,
        ],
        [
            script(scripts.text("ollama/switch.sh"), folder, *[_ASIDE for _ in gone]),
            script(_PRUNE, RELEASES, name),
        ],
    )


def _real(old: str, new: str) -> tuple[str, str]:
    """Return the real paths of two stores of models, to move one to the other. Raises HostError if
    a link on the way is somebody's who does not own the folder that it leads to: its models are
    moved as its owner."""
    states = ask(host, Paths, **files.question([files.Directory(old), files.Directory(new)]))
    found = {path: destination(path, [], states) for path in (old, new)}
    for path, leads in found.items():
        state = states.get(path)
        owner = (state.leads or state).user if state else ""
        theirs = path == old and leads.planted.startswith(f"{owner} /")
        if leads.system or (leads.planted and not theirs):
            raise HostError(f"{path} on {host.name} {refusal(leads)}.", id="link-untrusted")
    return found[old].real, found[new].real


def _refuse_overridden(found: OllamaState, unit: UnitFile, drop_in: UnitFile, gpu: bool) -> None:
    """Raise HostError for problems that preflight finds, for a task that runs without it."""
    if problems := failed(unit_findings(found, unit, drop_in, gpu)):
        told = " ".join(line(one) for one in problems)
        # Each finding shows its own id.
        raise HostError(f"Ollama on {host.name} would not work for its services: {told}", id="")


@operation
def filter_installed() -> Changes:
    """
    Install HAProxy, through which containers reach Ollama, from the distribution. An instance that
    somebody already has is left alone; the one that the package would start is switched off.
    """
    if FILTER in ask(host, Packages):
        host.noop(f"{FILTER} is installed")
        return
    off = "its own instance: not needed, so it neither runs nor starts at boot"
    yield together(
        [
            *packages.installed.changes(packages=[FILTER]),
            Change("=", f"unit {FILTER}.service", off),
        ],
        [script(_UNMASK, f"{FILTER}.service")],
        before=[script(_MASK, f"{FILTER}.service")],
    )


@operation
def bridge_socket(socket: str, guard: str, filtering: str = "") -> Changes:
    """
    Install the units through which containers reach Ollama on the bridge's gateway address.

    + socket, guard: text of the units, see ``docker.on_bridges``
    + filtering: text of HAProxy's configuration, likewise; empty for none

    The addresses are read from the Engine when the operation runs, because an earlier operation
    may just have installed it.
    """
    bridges = ask(host, Bridges)
    texts = {
        "/etc/systemd/system/ollama-docker.socket": socket,
        "/etc/systemd/system/ollama-docker-guard.service": guard,
    }
    entries: list[files.Entry] = []
    if filtering:
        entries.append(files.Directory(posixpath.dirname(FILTER_FILE)))
        texts[FILTER_FILE] = filtering
    for path, text in texts.items():
        entries.append(files.File(path, on_bridges(text, bridges).encode()))
    return files.present.changes(entries=entries)
