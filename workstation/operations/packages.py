"""Debian packages: exact versions, held where an upgrade would break something.

pyinfra's ``apt.packages(update=True)`` always counts as a change, ``apt.key`` does not look at
the fingerprint. Here the package lists are fetched only when something is to be installed, and
a repository's key is only accepted if its fingerprint is the pinned one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.packages import Packages, Repository
from workstation.facts.shell import script
from workstation.mirror import Mirror
from workstation.operations import files
from workstation.operations.base import Commands, operation
from workstation.operations.plan import live, tell
from workstation.pins import AptRepository

# Waits for another apt (unattended-upgrades at boot) instead of failing; asks nothing.
_APT = """
set -e
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt() { apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"; }
"""

# Lists that were fetched within the hour will do, unless a source has been added since, or they
# do not.
_UPDATED = "/run/ai-workstation.apt-updated"

# Lists that were there before this boot may have been cut off by a power cut. apt does not see
# that: it compares the old Release file with the new one. Without the old one it fetches all anew.
# Ours are flushed, for whoever uses apt next.
_LISTS = "/var/lib/apt/lists"

# What a dpkg left half done that was interrupted, as by a power cut, is finished where apt refuses
# for it; what dpkg cannot finish, since it waits for a package that was not unpacked any more, apt
# solves. Only behind a try: until another apt is done, for which ours waits, all looks half done.
_INSTALL = (
    _APT
    + f"stamp={_UPDATED} lists={_LISTS}"
    + """
get() {
  apt -q install -y --no-install-recommends --allow-downgrades --allow-change-held-packages "$@"
}
install() {
  get -- "$@" && return; status=$?
  ! apt -q check >/dev/null 2>&1 || return "$status"
  echo "finishing what dpkg was interrupted over"
  dpkg --force-confdef --force-confold --configure -a || true
  get --fix-broken -- "$@"
}
if [ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ] \\
  && [ -z "$(find /etc/apt -newer "$stamp" -print -quit)" ]; then
  install "$@" && exit
fi
[ -e "$stamp" ] || rm -f "$lists"/*Release
apt -q update
sync -f "$lists"
touch "$stamp"
install "$@"
"""
)

_FETCH_KEY = """
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
curl -fsSL --retry 3 --connect-timeout 20 -o "$folder/key" "$1" || {
  echo "The key of the $4 repository cannot be fetched from $1." >&2; exit 1; }
found=$(gpg --batch --homedir "$folder" --show-keys --with-colons "$folder/key" 2>/dev/null \\
  | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}')
[ "$found" = "$2" ] || {
  echo "The key at $1 has the fingerprint ${found:-none}, but pins.yml says $2:" \\
    "do not trust this source before you know why." >&2; exit 1; }
if grep -q 'BEGIN PGP' "$folder/key"; then
  gpg --batch --homedir "$folder" --dearmor -o "$folder/key.gpg" "$folder/key"
else
  mv "$folder/key" "$folder/key.gpg"
fi
trap 'rm -rf "$folder" "$3.new"' EXIT
install -D -m 644 "$folder/key.gpg" "$3.new"
sync "$3.new"
mv -fT "$3.new" "$3"
"""


@operation
def installed(packages: list[str], hold: bool = False) -> Commands:
    """
    Have these packages installed, each as ``name`` or ``name=version``.

    + packages: names, with an exact version where one is pinned
    + hold: also keep ``apt upgrade`` from replacing them
    """
    wanted = {package.partition("=")[0]: package.partition("=")[2] for package in packages}
    found = host.get_fact(Packages)
    missing = [
        f"{name}={version}" if version else name
        for name, version in wanted.items()
        if name not in found or (version and found[name].version != version)
    ]
    unheld = [name for name in wanted if hold and (name not in found or not found[name].held)]
    if not missing and not unheld:
        host.noop("packages are installed: " + ", ".join(packages))
        return
    for package in missing:
        name = package.partition("=")[0]
        tell("~" if name in found else "+", f"package {package}")
    for name in unheld:
        tell("~", f"package {name} held")
    if missing:
        yield live(script(_INSTALL, *missing))
    if unheld:
        yield script('apt-mark hold -- "$@" >/dev/null', *unheld)


@operation
def repository(
    name: str,
    key_url: str,
    fingerprint: str,
    uri: str,
    suite: str,
    components: str = "",
    gone: Sequence[str] = (),
) -> Commands:
    """
    Have an apt repository in deb822 form, signed by exactly the pinned key.

    + name: of the ``.sources`` file and the keyring
    + key_url: where the key is fetched from
    + fingerprint: 40 hexadecimal digits, of the only primary key in it
    + uri, suite, components: as in ``sources.list(5)``; suite ``/`` is a flat repository
    + gone: files that must not be there any more
    """
    question = asked_of({"name": name, "uri": uri, "fingerprint": fingerprint})
    keyring, path = question["keyring"], question["sources"]
    found = host.get_fact(Repository, **question)
    if found.mixed:
        raise HostError(
            f"{found.mixed[0]} on {host.name} names {uri} beside other repositories, and apt "
            "refuses two entries of one repository with different keyrings: remove that line."
        )
    trusted = found.fingerprints == (fingerprint,)
    lines = [
        "# ai-workstation",
        "Types: deb",
        f"URIs: {uri}",
        f"Suites: {suite}",
        *([f"Components: {components}"] if components else []),
        f"Signed-By: {keyring}",
        "",
    ]
    if not trusted:
        tell("~" if found.fingerprints else "+", keyring, f"key {fingerprint}")
    for other in found.others:
        tell("-", other, f"the same repository; kept as {other}.before-ai-workstation")
    laid_down = list(
        files.present._inner(
            entries=[
                *(files.Absent(other) for other in gone),
                files.File(path, "\n".join(lines).encode()),
            ]
        )
    )
    if not trusted:
        yield script(_FETCH_KEY, key_url, fingerprint, keyring, name)
    for other in found.others:
        # apt refuses two entries of one repository with different keyrings.
        yield script('mv -- "$1" "$1.before-ai-workstation"', other)
    yield from laid_down


def asked_of(repository: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments of the fact ``Repository``, from those of :func:`repository`."""
    name = repository["name"]
    return {
        "keyring": f"/usr/share/keyrings/{name}.gpg",
        "sources": f"/etc/apt/sources.list.d/{name}.sources",
        "uri": repository["uri"],
        "fingerprint": repository["fingerprint"],
    }


def repository_of(name: str, pin: AptRepository, mirror: Mirror) -> dict[str, Any]:
    """Return the arguments of :func:`repository` for a pinned repository.

    + name: of the ``.sources`` file
    + pin: from ``pins.yml``
    + mirror: where upstreams are
    """
    return {
        "name": name,
        "key_url": mirror.url(pin.key_url),
        "fingerprint": pin.fingerprint,
        "uri": mirror.url(pin.uri),
        "suite": pin.suite,
        "components": pin.components,
    }
