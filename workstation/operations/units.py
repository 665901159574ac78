"""systemd units: enabled, running, and running with the configuration that is on disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra import host, state

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.shell import script
from workstation.facts.units import Units, UnitState
from workstation.operations import gpu_users
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together
from workstation.run import current

_SYSTEMCTL = """
systemctl "$1" -- "$2" || {
  systemctl status --no-pager --lines=20 -- "$2" >&2; exit 1; }
"""


@dataclass(frozen=True)
class Unit:
    """A unit that must run and start at boot.

    ``configuration``: further files that it reads at start, whose change requires a restart. A unit
    that another starts on demand is neither ``enabled`` nor ``running``; it is only restarted if
    it runs with old configuration. One that other programs depend on is not ``restarted`` for
    that, only started if it is not running.
    """

    name: str
    enabled: bool = True
    running: bool = True
    restarted: bool = True
    configuration: list[str] = field(default_factory=list)


@operation
def running(units: list[Unit]) -> Changes:
    """
    Ensure every unit is enabled and running; restart only those started before their files changed.
    The decision depends on the state of the host, so the next run completes one that died between
    writing a file and the restart. The plan counts the files that earlier steps of it write.

    + units: in the order in which to start them
    """
    states = ask(
        host,
        Units,
        units=[unit.name for unit in units],
        configuration={unit.name: unit.configuration for unit in units if unit.configuration},
    )
    written = set() if state.is_executing else current().written(host.name)
    steps = [
        (unit, verbs) for unit in units if (verbs := _verbs(unit, states.get(unit.name), written))
    ]
    if not steps:
        host.noop("units are running: " + ", ".join(unit.name for unit in units))
        return
    changes = [
        Change(
            "~",
            f"unit {unit.name}",
            ", ".join(verbs),
            commands=[script(_SYSTEMCTL, verb, unit.name) for verb in verbs],
        )
        for unit, verbs in steps
    ]
    yield together(changes, before=[script(scripts.text("gpu_users/reload.sh"))])
    yield from gpu_users.lost()


def _verbs(unit: Unit, found: UnitState | None, written: set[str]) -> list[str]:
    verbs = []
    if unit.enabled and (found is None or found.enabled not in ("enabled", "static", "generated")):
        verbs.append("enable")
    stale = found is not None and (found.stale or _will_be_stale(unit, found, written))
    if stale and unit.restarted:
        verbs.append("restart")
    elif unit.running and (found is None or not found.active):
        # restart, not start: it also clears a failed state or an exceeded start limit.
        verbs.append("restart")
    return verbs


def _will_be_stale(unit: Unit, found: UnitState, written: set[str]) -> bool:
    """Whether it runs, and a file that it reads is written before this step. A unit file or drop-in
    of ours may be new, and hide one of the distribution's."""
    ours = f"/etc/systemd/system/{unit.name}"
    read = {*found.files, ours}
    return found.active and any(p in read or p.startswith(f"{ours}.d/") for p in written)
