"""Where an NVIDIA driver can be had from: what apt's lists have of a branch, and what gives way."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation.facts.apt_plan import Simulated, SimulatedState
from workstation.facts.shell import Fact, question

# Shell functions with which a plan and a run choose the same. Ubuntu signs modules for the kernels
# that it ships; those load under Secure Boot without any key of this machine, and need no compiler.
# Their metapackage follows the one that upgrades the kernel (ubuntu.com/server/docs, "NVIDIA
# drivers installation"). Else DKMS builds them, for which it needs the headers, of later kernels
# too.
#
# Of another branch all goes, what is held or half installed too: depmod prefers a module that DKMS
# has built to one of Ubuntu's, and apt removes no held package unless it is told which.
CHOICE = r"""
kernel=$(uname -r)
signed=linux-modules-nvidia-$branch
there() { dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' -- "$@" 2>/dev/null; }
flavour=$(printf '%s' "$kernel" | cut -d- -f3-)
kinds=$(there "linux-image-${flavour:-${kernel##*-}}*" 'linux-image-virtual*' \
  | sed -n 's/^installed linux-image-//p' | sed 's/^virtual/generic/')
leaving=$(there '*nvidia-*' | awk -v branch="$branch" '
  BEGIN {base = branch; sub(/-open$/, "", base)}
  $1 == "not-installed" || $1 == "config-files" {next}
  {
    rest = $2; wanted = base
    if (sub(/^linux-(modules|objects)-nvidia-/, "", rest) \
      || sub(/^nvidia-((driver|headless|headless-no-dkms|dkms|kernel-source)-)?/, "", rest) \
        && rest ~ /^[0-9]/) wanted = branch
    else {rest = $2; sub(/^(lib|xserver-xorg-video-)?nvidia-([a-z][a-z0-9]*-)*/, "", rest)}
    if (rest !~ /^[0-9][0-9][0-9](-server)?(-open)?([-:]|$)/) next
    found = substr(rest, 1, 3)
    if (rest ~ /^...-server/) found = found "-server"
    if (rest ~ /^...(-server)?-open/) found = found "-open"
    if (found != wanted) print $2 "-"
  }')
policies() {
  for kind in "$kernel" $kinds; do set -- "$@" "$signed-$kind" "linux-headers-$kind"; done
  apt-cache $options policy -- "$@" 2>/dev/null | awk '/^[^ ]/ {name = $1; sub(/:$/, "", name)}
    $1 == "Candidate:" && $2 != "(none)" {print name, $2}'
}
version_of() { printf '%s\n' "$policies" | awk -v name="$1" '$1 == name {print $2}'; }
known() { [ -n "$(version_of "$1")" ]; }
following() { for kind in $kinds; do ! known "$1-$kind" || echo "$1-$kind"; done; }
simulate() {
  $limited apt-get $options -q -s -y install --no-install-recommends --allow-downgrades \
    --allow-change-held-packages -- "$@" 2>/dev/null
}
choose() {
  how=signed modules="$signed-$kernel $(following "$signed")"
  known "$signed-$kernel" && plan=$(simulate "$@" $modules $leaving) && return
  how=dkms modules=
  if known "linux-headers-$kernel"; then
    modules="linux-headers-$kernel $(following linux-headers)"
  elif [ ! -e "/lib/modules/$kernel/build" ]; then
    how=
    return 1
  fi
  plan=$(simulate "$@" $modules $leaving)
}
"""


@dataclass(frozen=True)
class DriverSourceState:
    """What apt's lists have of a branch: ``version`` of its driver, ``modules``: the package of
    Ubuntu's signed modules for the running kernel, where it goes with that, ``headers`` with which
    DKMS builds others; ``plan``: what apt would do. Empty where the lists know none; on a new
    machine they know nothing yet."""

    version: str = ""
    modules: str = ""
    headers: str = ""
    plan: SimulatedState = field(default_factory=SimulatedState, hash=False)


class DriverSource(Fact[DriverSourceState]):
    """
    Returns the ``DriverSourceState`` of a branch.

    + branch: such as ``580-open``
    """

    @staticmethod
    def default() -> DriverSourceState:
        return DriverSourceState()

    def command(self, branch: str) -> StringCommand:
        # Without apt's caches and logs: a fact leaves no trace.
        return question(
            r"""
            command -v apt-get >/dev/null || exit 0
            branch=$1 limited="limited 120"
            options="-o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
            options="$options -o Dir::Log::Planner="
            """
            + CHOICE
            + r"""
            driver=nvidia-driver-$branch utilities=nvidia-utils-${branch%-open}
            policies=$(policies "$driver" "$utilities")
            known "$driver" || exit 0
            echo "version $driver $(version_of "$driver")"
            ! known "linux-headers-$kernel" \
              || echo "headers linux-headers-$kernel $(version_of "linux-headers-$kernel")"
            choose "$driver" "$utilities" && echo known
            [ "$how" != signed ] || echo "modules $signed-$kernel $(version_of "$signed-$kernel")"
            printf '%s\n' "$plan" | grep -E '^(Inst|Remv|Purg) ' || true
            """,
            branch,
        )

    def read(self, lines: list[str]) -> DriverSourceState:
        found = {line.split(" ")[0]: line.split(" ")[1:] for line in lines}
        return DriverSourceState(
            version="".join(found.get("version", [])[1:2]),
            modules="".join(found.get("modules", [])[:1]),
            headers="".join(found.get("headers", [])[:1]),
            plan=Simulated().read(lines),
        )
