"""Native Ollama: a pinned release, unpacked beside the running one and switched to at once."""

from __future__ import annotations

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.docker import Bridges
from workstation.facts.ollama import Ollama, OllamaState
from workstation.facts.shell import script
from workstation.findings import failed
from workstation.ollama_unit import BINARY, RELEASES
from workstation.operations import files
from workstation.operations.base import Commands, operation
from workstation.operations.docker import on_bridges
from workstation.operations.download import DOWNLOAD
from workstation.operations.plan import live, tell
from workstation.preflight import line
from workstation.preflight.ollama import unit_findings
from workstation.unit_files import UnitFile

_ASIDE = "before-ai-workstation"
_LIBRARIES = "/usr/local/lib/ollama"

# Verified before it is unpacked, unpacked beside, flushed, and only then given its name. The
# archive lies where it is unpacked: a release with its name has left nothing behind, wherever a
# run was cut off.
_INSTALL = (
    DOWNLOAD
    + """
release=$1 url=$2 sha256=$3 sums=$4
mkdir -p "$(dirname "$release")"
partial=$(dirname "$release")/.partial
rm -rf "$partial"; mkdir "$partial"
trap 'rm -rf "$partial"' EXIT
if [ -z "$sha256" ]; then
  curl -fsSL --retry 3 -o "$partial/.sums" "$sums" || {
    echo "The checksums of Ollama cannot be fetched from $sums." >&2; exit 1; }
  sha256=$(awk -v name="$(basename "$url")" '$2 ~ "(^|/)" name "$" {print $1}' "$partial/.sums")
fi
download "$url" "$partial/.archive" "$sha256"
echo "unpacking"
tar --zstd -xf "$partial/.archive" -C "$partial" || {
  echo "The archive from $url cannot be unpacked." >&2; exit 1; }
[ -f "$partial/bin/ollama" ] || {
  echo "The archive from $url holds no bin/ollama." >&2; exit 1; }
rm -f "$partial/.archive" "$partial/.sums"
chown -R root:root "$partial"
touch "$partial/.complete"
sync -f "$partial"
rm -rf "$release"
mv -T "$partial" "$release"
sync -f "$release"
"""
)

# A rename replaces a binary or an older link in one step. A binary, and its libraries, are kept: it
# may be install.sh's, which can be had again, or somebody's own build. The link comes last: a run
# that ends before is repeated, and libraries beside a link of ours would stay.
_SWITCH = """
set -e
mkdir -p /usr/local/bin
[ -z "$2" ] || cp -al --backup=numbered -T /usr/local/bin/ollama "/usr/local/bin/ollama.$2"
ln -sfn "$1/bin/ollama" /usr/local/bin/.ollama.new
[ -z "$3" ] || mv --backup=numbered -T /usr/local/lib/ollama "/usr/local/lib/ollama.$3"
mv -fT /usr/local/bin/.ollama.new /usr/local/bin/ollama
"""

# The manifests say which models there are: they come last and at once, so that a run that ends
# before is repeated. Onto another disk all is copied first, and removed only when whole there.
_ADOPT = """
set -e
old=$1 new=$2
systemctl stop ollama.service 2>/dev/null || true
mkdir -p "$new"
from=$old
if [ "$(stat -Lc %d "$old")" != "$(stat -Lc %d "$new")" ]; then
  from=$new/.taken-over
  rm -rf "$from"
  trap 'rm -rf "$from"' EXIT
  mkdir "$from"
  echo "copying $(du -shL "$old" | cut -f1) to another disk"
  cp -a "$old/." "$from"
  sync -f "$from"
fi
mkdir -p "$new/blobs"
find "$from/blobs/" -mindepth 1 -maxdepth 1 2>/dev/null | while read -r blob; do
  [ -e "$new/blobs/${blob##*/}" ] || mv -- "$blob" "$new/blobs/"
done
chown -R ollama:ollama "$from/manifests" "$new"
sync -f "$new"
mv -T "$from/manifests" "$new/manifests"
sync -f "$new"
if [ "$from" = "$old" ]; then
  rmdir "$old/blobs" 2>/dev/null || true
else
  rm -rf "$old/blobs" "$old/manifests"
fi
"""

_PRUNE = 'cd "$1" && ls -1t | grep -vxF -- "$2" | tail -n +2 | xargs -r rm -rf --'


@operation
def release(
    version: str,
    url: str,
    sha256: str | None,
    models: str,
    units: tuple[UnitFile, UnitFile] | None = None,
    gpu: bool = True,
) -> Commands:
    """
    Have this release installed, its binary and libraries switched to together.

    + version: of the release
    + url: of the archive, ``ollama-linux-amd64.tar.zst`` (Ollama: scripts/install.sh)
    + sha256: of the archive; None: taken from the release's own ``sha256sum.txt``
    + models: the model store
    + units: our unit file and drop-in, beside which a drop-in of somebody else's must let it run
    + gpu: whether it is to have the card

    Raises HostError where it does not.

    Ollama finds its libraries beside the file that ``/usr/local/bin/ollama`` points to
    (``../lib/ollama``), so one link switches both. An install.sh installation is taken over:
    its binary gives way to the link, its libraries with it, its models are moved to the store.
    Libraries beside a link of somebody's own are none of install.sh's, and stay.
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
        tell("+", f"Ollama {version} from {url}")
    if switch:
        own = found.target not in ("", BINARY) and not found.target.startswith(f"{RELEASES}/")
        led = f"it led to {found.target}, which stays" if own else ""
        tell("~" if found.target else "+", f"{BINARY} -> {folder}/bin/ollama", led)
        for path in gone:
            tell("-", path, f"kept as {path}.{_ASIDE}")
    if adopt:
        tell("~", f"models of {adopt} moved to {models}")
    if unpack:
        sums = url.rsplit("/", 1)[0] + "/sha256sum.txt"
        yield live(script(_INSTALL, folder, url, sha256 or "", sums))
    if adopt:
        yield live(script(_ADOPT, adopt, models))
    if switch:
        yield script(_SWITCH, folder, *[_ASIDE for _ in gone])
        yield script(_PRUNE, RELEASES, name)


def _refuse_overridden(found: OllamaState, unit: UnitFile, drop_in: UnitFile, gpu: bool) -> None:
    """Raise HostError for what preflight would stop the run for, where a task runs alone."""
    if problems := failed(unit_findings(found, unit, drop_in, gpu)):
        told = " ".join(line(one) for one in problems)
        raise HostError(f"Ollama on {host.name} would not run as services need it: {told}")


@operation
def bridge_socket(socket: str, guard: str) -> Commands:
    """
    Lay down the units through which containers reach Ollama on the bridge's gateway address.

    + socket, guard: text of the units, see ``docker.on_bridges``

    The addresses are read from the Engine when the operation runs: an earlier operation may just
    have installed it.
    """
    bridges = ask(host, Bridges)
    units = {
        "/etc/systemd/system/ollama-docker.socket": socket,
        "/etc/systemd/system/ollama-docker-guard.service": guard,
    }
    yield from files.present._inner(
        entries=[
            files.File(path, on_bridges(text, bridges).encode()) for path, text in units.items()
        ]
    )
