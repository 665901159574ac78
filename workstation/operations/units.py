"""systemd units: enabled, running, and running with the configuration that stands on disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.shell import script
from workstation.facts.units import Units, UnitState
from workstation.operations import gpu_users
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together

_SYSTEMCTL = """
systemctl "$1" -- "$2" || {
  systemctl status --no-pager --lines=20 -- "$2" >&2; exit 1; }
"""


@dataclass(frozen=True)
class Unit:
    """A unit that must run and start at boot; ``configuration`` are further files that it reads
    when it starts, whose change makes a restart due. One that another starts on demand is
    neither ``enabled`` nor ``running``, and only restarted if it runs with an old one. One that
    somebody else's work depends on is not ``restarted`` for that, only started if it does not run.
    """

    name: str
    enabled: bool = True
    running: bool = True
    restarted: bool = True
    configuration: list[str] = field(default_factory=list)


@operation
def running(units: list[Unit]) -> Changes:
    """
    Have every unit enabled and running, restarted only if what stands on disk is newer than
    its start. The decision rests on the host's state, so a run that died between writing a
    file and the restart is finished by the next one.

    + units: in the order in which they are started
    """
    states = ask(
        host,
        Units,
        units=[unit.name for unit in units],
        configuration={unit.name: unit.configuration for unit in units if unit.configuration},
    )
    steps = [(unit, verbs) for unit in units if (verbs := _verbs(unit, states.get(unit.name)))]
    if not steps:
        host.noop("units run: " + ", ".join(unit.name for unit in units))
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


def _verbs(unit: Unit, state: UnitState | None) -> list[str]:
    verbs = []
    if unit.enabled and (state is None or state.enabled not in ("enabled", "static", "generated")):
        verbs.append("enable")
    if state is not None and state.stale and unit.restarted:
        verbs.append("restart")
    elif unit.running and (state is None or not state.active):
        # restart, not start: it also ends a failed state or a start limit that was hit.
        verbs.append("restart")
    return verbs
