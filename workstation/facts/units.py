"""systemd units: which run, since when, and with which configuration."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question
from workstation.units.show import blocks, unix_time

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,"
    "ActiveEnterTimestamp,ExecMainStartTimestamp"
)


@dataclass(frozen=True)
class UnitState:
    """A unit as shown by ``systemctl show``. ``started`` and ``configured`` are Unix times: when it
    last started, and when its newest configuration file was written; ``files``: paths of these."""

    active: bool = False
    state: str = "inactive"
    enabled: str = ""
    needs_reload: bool = False
    started: float = 0.0
    configured: float = 0.0
    files: tuple[str, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether it runs with a configuration older than the one on disk."""
        return self.active and (self.needs_reload or self.configured > self.started)


class Units(Fact[dict[str, UnitState]]):
    """
    Returns the state of each unit that systemd knows.

    + units: unit names with their suffix
    + configuration: unit name -> further files that it reads at start
    """

    def command(
        self, units: list[str], configuration: dict[str, list[str]] | None = None
    ) -> StringCommand:
        extra = [
            f"{unit}={path}" for unit, paths in (configuration or {}).items() for path in paths
        ]
        return question(scripts.text("units/units.sh"), len(units), _PROPERTIES, *units, *extra)

    def read(self, lines: list[str]) -> dict[str, UnitState]:
        pairs = [line.partition(" ")[::2] for line in lines]
        read: dict[str, list[str]] = {}
        for unit, _, path in (rest.partition("=") for word, rest in pairs if word == "reads"):
            read.setdefault(unit, []).append(path)
        files = [rest.partition(" ") for word, rest in pairs if word == "file"]
        written = {path: float(modified) for modified, _, path in files}
        units = {}
        for shown in blocks(rest for word, rest in pairs if word == "unit"):
            if shown.get("LoadState") != "not-found":
                name = shown["Id"]
                own = [shown.get("FragmentPath", ""), *shown.get("DropInPaths", "").split()]
                units[name] = _unit_state(shown, [*own, *read.get(name, [])], written)
        return units


def _unit_state(shown: dict[str, str], files: list[str], written: dict[str, float]) -> UnitState:
    started = shown.get("ExecMainStartTimestamp") or shown.get("ActiveEnterTimestamp") or ""
    return UnitState(
        active=shown["ActiveState"] in ("active", "activating", "reloading"),
        state=f"{shown['ActiveState']} ({shown['SubState']})",
        enabled=shown["UnitFileState"],
        needs_reload=shown["NeedDaemonReload"] == "yes",
        started=unix_time(started),
        configured=max(written.get(path, 0.0) for path in files),
        files=tuple(path for path in files if path),
    )
