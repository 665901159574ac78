"""Power cuts at many moments of a run: the state of the machine when it is up again, and whether
the next run repairs it.

``KNOCKS`` is the number of cuts (12), ``KNOCKS_SEED`` the seed for their moments (1).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from lab.machine import BARE
from tests.lab.conftest import CONVERGED, Run, Workstation
from tests.lab.state import differences, files, state

pytestmark = pytest.mark.long

CUTS = int(os.environ.get("KNOCKS", "12"))
SEED = int(os.environ.get("KNOCKS_SEED", "1"))
TASKS = ("docker", "nvidia", "ollama", "storage", "smb", "proxy", "stacks")
WHOLE = tuple(f"tasks/{task}.py" for task in TASKS)


def snapshots(machine: Workstation, start: Callable[[], Run], length: float) -> list[str]:
    """Save the machine's state at this many moments, spread over a run; return their names.

    The machine pauses while it is saved, and a checkpoint of a first run takes up to 2 GB. At
    first, half again as many checkpoints as requested are kept, because no two runs take the same
    time; whenever there are twice as many, every second one is removed, and at the end the surplus
    ones in between.

    + length: approximate duration of the run in seconds
    """
    drawn = random.Random(SEED)
    ended: list[Run] = []
    run = threading.Thread(target=lambda: ended.append(start()))
    run.start()
    kept: list[str] = []
    pause = length / CUTS / 1.5
    for number in count():
        run.join(timeout=pause * (0.5 + drawn.random()))
        if not run.is_alive():
            break
        kept.append(f"cut{number}")
        machine.lab.machine.checkpoint(kept[-1], settled=False)
        if len(kept) == 2 * CUTS:
            for name in kept[1::2]:
                machine.lab.machine.forget(name)
            kept, pause = kept[::2], pause * 2
    assert ended[0].status == 0, ended[0].error
    assert len(kept) >= CUTS, "the run took less than two thirds of the time of the one before"
    chosen = [kept[len(kept) * number // CUTS] for number in range(CUTS)]
    for name in set(kept) - set(chosen):
        machine.lab.machine.forget(name)
    return chosen


def cut(machine: Workstation, name: str, good: list[dict[str, str]]) -> list[str]:
    """Cut the power at a checkpoint; return the half-written files when the machine is up again.

    + good: the acceptable contents of each file
    """
    machine.lab.machine.power_cut(at=name)
    machine.run("systemctl is-system-running --wait", check=False)
    # Packages add their groups to that file one by one.
    known = {path for one in good for path in one} - {"/etc/group"}
    return [
        f"{path}: {found} is half-written"
        for path, found in files(machine).items()
        # While a file of ours is being written, it has a temporary name; folders get their mode and
        # owner last.
        if path in known and not found.startswith("d ")
        if found not in [one.get(path) for one in good]
    ]


def heal(machine: Workstation, wanted: dict[str, str], **how: Path) -> list[str]:
    """Run again; return the differences from the expected state."""
    run = machine.pyinfra(*WHOLE, "-y", "--json", **how)
    return differences(wanted, state(machine)) if run.status == 0 else [run.error]


def survive(
    machine: Workstation,
    names: list[str],
    good: list[dict[str, str]],
    wanted: dict[str, str],
    **how: Path,
) -> None:
    """Cut the power at every checkpoint and run again. All checkpoints are tried before the test
    fails."""
    troubles = []
    for name in names:
        began = time.monotonic()
        found = cut(machine, name, good)
        up = time.monotonic()
        found += heal(machine, wanted, **how)
        print(
            f"{name}: up in {up - began:.0f} s, healed in {time.monotonic() - up:.0f} s",
            *(found or ["all well"]),
            sep="\n    ",
            flush=True,
        )
        troubles += [f"{name}: {one}" for one in found]
        machine.lab.machine.forget(name)
    assert not troubles


def test_power_cuts_of_a_first_run(
    converged: Workstation, first_run: Run, prepared: Callable[[Workstation], None]
) -> None:
    """Each is followed by one run; then the machine is in the same state as after a run without a
    cut."""
    wanted = state(converged)
    length = sum(first_run.report["seconds"][task] for task in TASKS)
    converged.lab.machine.restore(BARE)
    before = files(converged)
    prepared(converged)
    assert converged.pyinfra(WHOLE[0], "-y", "--json").status == 0
    # This task writes the Engine's configuration, and the next task writes it again.
    midway = files(converged)

    converged.lab.machine.restore(BARE)
    prepared(converged)
    names = snapshots(converged, lambda: converged.pyinfra(*WHOLE, "-y", "--json"), length)
    survive(converged, names, [before, midway, wanted], wanted)


def test_power_cuts_in_a_build_and_in_a_pull(
    converged: Workstation, checkout: Callable[[], Path], older: dict[str, str]
) -> None:
    """While marks name the work in progress, and right after. With containerd's image store and
    with the Engine's own, nothing damaged is used, and other people's build cache stays."""
    copy = checkout()
    stack = copy / "templates" / "stacks" / "dhoch3" / "base" / "link_models.py"
    stack.write_text(stack.read_text() + "\n")
    converged.run(_THEIRS)
    cached = converged.run(_CACHED)
    assert cached

    def update() -> Run:
        return converged.pyinfra("tasks/stacks.py", "-y", "--json", folder=copy, environment=older)

    converged.lab.machine.checkpoint("before")
    began = time.monotonic()
    run = update()
    length = time.monotonic() - began
    assert run.status == 0, run.error
    wanted = state(converged)

    converged.lab.machine.restore("before")
    ended: list[Run] = []
    at_work = threading.Thread(target=lambda: ended.append(update()))
    at_work.start()
    kept: dict[str, list[str]] = {"pulling": [], "building": []}
    while at_work.is_alive():
        for mark, names in kept.items():
            if converged.succeeds(f"test -e /var/lib/ai-workstation/{mark}"):
                names.append(f"{mark}{len(names)}")
                converged.lab.machine.checkpoint(names[-1], settled=False)
                at_work.join(timeout=length / 12)
    assert ended[0].status == 0, ended[0].error
    troubles = []
    for names in kept.values():
        assert names, "no checkpoint was made while it was at work"
        for name in dict.fromkeys([names[0], names[len(names) // 2], names[-1]]):
            converged.lab.machine.power_cut(at=name)
            converged.run("systemctl is-system-running --wait", check=False)
            again = update()
            found = differences(wanted, state(converged)) if again.status == 0 else [again.error]
            if cached not in converged.run(_CACHED):
                found.append("what somebody else had built is no longer cached")
            print(f"{name}:", *(found or ["all well"]), sep="\n    ", flush=True)
            troubles += [f"{name}: {one}" for one in found]
    for name in ["before", *kept["pulling"], *kept["building"]]:
        converged.lab.machine.forget(name)
    assert not troubles


# Somebody else's build, and its part of BuildKit's cache.
_THEIRS = r"""
set -e; cd "$(mktemp -d /var/tmp/theirs.XXXXXX)"
printf 'FROM scratch\nCOPY file /theirs\n' >Dockerfile; echo theirs >file
docker buildx build --builder default -q -t theirs:1 . >/dev/null
docker image rm theirs:1 >/dev/null
"""
_CACHED = "docker buildx du --builder default --verbose | grep -B9 'COPY file /theirs' | grep '^ID'"


def test_power_cuts_of_an_update(converged: Workstation, checkout: Callable[[], Path]) -> None:
    """A program's start script, a unit and Ollama's environment change."""
    copy = checkout()
    stack = copy / "templates" / "stacks" / "dhoch3" / "fooocus" / "entrypoint.py"
    stack.write_text(stack.read_text() + "\n")
    socket = copy / "templates" / "ollama" / "ollama-docker.service.j2"
    socket.write_text(socket.read_text() + "# changed\n")
    data = copy / "group_data" / "all.py"
    data.write_text(data.read_text() + 'ollama_environment = {"OLLAMA_KEEP_ALIVE": "30m"}\n')
    before = files(converged)

    def update() -> Run:
        return converged.pyinfra(*WHOLE, "-y", "--json", folder=copy)

    began = time.monotonic()
    run = update()
    length = time.monotonic() - began
    assert run.status == 0, run.error
    wanted = state(converged)
    assert before != files(converged)

    converged.lab.machine.restore(CONVERGED)
    names = snapshots(converged, update, length)
    survive(converged, names, [before, wanted], wanted, folder=copy)
