"""Where an NVIDIA driver can be had from: what apt's lists have of a branch."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class DriverSourceState:
    """What apt's lists have of a branch: ``version`` of its driver, ``modules``: the package of
    Ubuntu's signed modules for the running kernel, ``headers`` with which DKMS builds others. Empty
    where the lists know none; on a new machine they know nothing yet."""

    version: str = ""
    modules: str = ""
    headers: str = ""


class DriverSource(Fact[DriverSourceState]):
    """
    Returns the ``DriverSourceState`` of a branch.

    + branch: such as ``580-open``
    """

    @staticmethod
    def default() -> DriverSourceState:
        return DriverSourceState()

    def command(self, branch: str) -> StringCommand:
        return question(
            """
            kernel=$(uname -r)
            for pair in "version nvidia-driver-$1" "modules linux-modules-nvidia-$1-$kernel" \
              "headers linux-headers-$kernel"; do
              found=$(apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
                policy -- "${pair#* }" 2>/dev/null \
                | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}')
              [ -z "$found" ] || echo "$pair $found"
            done
            """,
            branch,
        )

    def read(self, lines: list[str]) -> DriverSourceState:
        found = {word: (name, version) for word, name, version in (one.split() for one in lines)}
        return DriverSourceState(
            version=found.get("version", ("", ""))[1],
            modules=found.get("modules", ("", ""))[0],
            headers=found.get("headers", ("", ""))[0],
        )
