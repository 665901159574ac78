"""Runs on a machine that is up to date, or nearly."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.lab.compare import compared
from tests.lab.conftest import CURL, PASSES, REPOSITORY, Run, Workstation
from tests.lab.secret import FORMS, TALKATIVE
from tests.lab.state import differences, state

SERVICES = ("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit", "dockge")


# Unix times: the mount of the share, then the start of each container that uses it.
_STARTS = """
date -d "$(systemctl show --timestamp=us+utc -p ActiveEnterTimestamp --value mnt-ki_Daten.mount)" \
  +%s.%N
for id in $(docker ps -q); do
  docker inspect -f '{{json .Mounts}}' $id | grep -q /mnt/ki_Daten/ || continue
  date -d "$(docker inspect -f '{{.State.StartedAt}}' $id)" +%s.%N
done
"""


def test_the_first_run_proves_itself(first_run: Run) -> None:
    """One run provisions a bare machine, and every check at its end passes."""
    assert first_run.status == 0
    assert "FAILED" not in first_run.output
    for service in SERVICES:
        assert f"dhoch3/{service} answers on" in first_run.output


def test_the_plan_of_a_bare_machine_is_what_the_run_did(first_run: Run) -> None:
    """Nothing more, and nothing less, except for models, because InvokeAI must be running to be
    queried. A file that two tasks write is created by the first and changed by the second; a plan
    for an empty machine says for both that they create it.

    A file that two tasks write is made by the first and changed by the second: a plan that begins
    with nothing says of both that they make it.
    """
    planned, done = (
        {one.partition(" ")[2] for one in told} for told in (first_run.planned, first_run.done)
    )
    assert len(planned) > 100
    assert planned - done == set()
    assert all(one.startswith("invokeai: register ") for one in done - planned)


def test_models_of_the_store_are_registered_where_they_lie(first_run: Run) -> None:
    """InvokeAI gets each of them; those that it cannot use are named and do not fail the run."""
    assert "registered checkpoints/whole.safetensors" in first_run.output
    assert "refused checkpoints/half.safetensors" in first_run.output


def test_traces_of_nvidia_docker_are_removed(observed: Workstation) -> None:
    """The old lists and the key that apt-key trusted for everything are gone."""
    for path in (
        "sources.list.d/nvidia-docker.list",
        "sources.list.d/nvidia-container-toolkit.list",
        "trusted.gpg",
    ):
        assert not observed.succeeds(f"test -e /etc/apt/{path}")
    assert "nvidia-container-toolkit" in observed.run("apt-mark showhold")


def test_compose_accepts_what_is_laid_down(observed: Workstation) -> None:
    """Plain Compose works in every stack's folder, and Dockge shows the stacks."""
    for stack in ("dhoch3", "proxy"):
        observed.run(f"cd /opt/stacks/{stack} && docker compose config --quiet")
    assert "dhoch3" in observed.run("docker exec dhoch3-dockge-1 ls /opt/stacks")


def test_a_second_run_changes_nothing(observed: Workstation) -> None:
    """No operation changes anything; containers keep their ids and start times, units their start
    times. The number of queries stays within its limit."""
    containers, units = observed.containers(), observed.unit_starts()
    run = observed.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.operations > 20
    assert run.changed == []
    assert run.planned == run.done == set()
    assert run.commands <= 30
    assert observed.containers() == containers
    assert observed.unit_starts() == units


def test_every_run_leaves_a_receipt(observed: Workstation) -> None:
    """On the host, only for root, and locally; the latest ones and their differences can be
    shown."""
    assert observed.pyinfra("tasks/storage.py", "-y").status == 0
    folder = "/var/lib/ai-workstation/runs"
    names = observed.run(f"ls -1 {folder}").split()
    assert observed.run(f"stat -c '%a %U' {folder}/*").split() == ["640", "root"] * len(names)
    (kept,) = (REPOSITORY / ".ai-workstation").glob(f"*/runs/{names[-1]}")
    assert observed.run(f"cat {folder}/{names[-1]}") == kept.read_text()

    shown = observed.pyinfra("tasks/history.py", "-y").output
    assert re.search(r"^1 .* unchanged +- ", shown, re.MULTILINE)
    assert re.search(rf"^{len(names)} .* changes +\d+ passed ", shown, re.MULTILINE)
    history = f"history=1,{len(names)}"
    compared = observed.pyinfra("tasks/history.py", "-y", "--data", history).output
    assert "- tasks/docker.py | Docker Engine, Compose and Buildx: +" in compared
    assert "~ acceptance: " in compared


def test_services_answer_from_outside(observed: Workstation) -> None:
    """The proxy, reached from outside the machine, routes by name."""
    for service in SERVICES:
        assert _status(observed, service) == 200, service
    assert _status(observed, "nobody", wanted=404) == 404


def _status(machine: Workstation, name: str, wanted: int = 200) -> int:
    """Return the proxy's answer for a name. Repeat until it is ``wanted`` or two minutes have
    passed, because a restored machine's connections are cut, and its clock jumps."""
    url = f"http://127.0.0.1:{machine.lab.machine.port(80)}/"
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = requests.get(
                url, headers={"Host": f"{name}.localhost"}, auth=PASSES, timeout=60
            )
            status = answer.status_code
        except requests.RequestException:
            status = 0
        if status == wanted or time.monotonic() > deadline:
            return status
        time.sleep(2)


def test_a_model_of_the_store_is_offered_by_every_interface(observed: Workstation) -> None:
    """One file in `checkpoints` appears in four programs."""
    for service, path in (
        ("comfyui", "models/checkpoints"),
        ("fooocus", "config"),
        ("forge", "config"),
        ("invokeai", "api/v2/models/scan_folder?scan_path=/models"),
    ):
        assert _status(observed, service) == 200
        url = f"http://127.0.0.1:{observed.lab.machine.port(80)}/{path}"
        answer = requests.get(
            url, headers={"Host": f"{service}.localhost"}, auth=PASSES, timeout=60
        )
        assert "whole.safetensors" in answer.text, service


def test_drift_is_healed_and_nothing_else_touched(converged: Workstation) -> None:
    """A stopped container, an edited unit, a lost fstab line and a wrong mode: one run repairs
    these as planned, and leaves everything else alone."""
    before = converged.containers()
    converged.run(
        "docker stop dhoch3-fooocus-1;"
        "echo '# edited' >> /etc/systemd/system/ollama-docker.service;"
        "sed -i /ki_Daten/d /etc/fstab;"
        "chmod 700 /vol/service/cw/storage-models/models/loras"
    )
    tasks = ("preflight", "docker", "nvidia", "ollama", "storage", "smb", "proxy", "stacks")
    run = compared(converged, *(f"tasks/{task}.py" for task in tasks))
    assert {name.rpartition("| ")[2] for name in run.changed} == {
        "Units of Ollama",
        "Ollama runs",
        "Folders of the model store",
        "//192.168.0.6/ki_Daten on /mnt/ki_Daten",
        "Services of dhoch3",
    }
    after = converged.containers()
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"/dhoch3-fooocus-1"}
    assert converged.run("grep -c ki_Daten /etc/fstab") == "1\n"
    assert "edited" not in converged.run("cat /etc/systemd/system/ollama-docker.service")


def test_acceptance_notices_a_service_that_is_gone(converged: Workstation) -> None:
    """Acceptance fails, and names the problem, if a promise is broken."""
    converged.run("docker stop dhoch3-forge-1")
    run = converged.pyinfra("tasks/acceptance.py", "-y")
    assert run.status != 0
    failed = [line for line in run.output.splitlines() if line.startswith("FAILED")]
    assert failed
    assert all("forge" in line for line in failed)


@pytest.mark.long
def test_a_service_is_added_and_removed_by_its_template_alone(
    converged: Workstation, checkout: Callable[[], Path]
) -> None:
    """An eighth service needs only its Compose block and its Dockerfile folder."""
    copy = checkout()
    stack = copy / "templates" / "stacks" / "dhoch3"
    compose = stack / "compose.yaml.j2"
    original = compose.read_text()
    block = (Path(__file__).parent / "eighth_service.yaml.j2").read_text()
    compose.write_text(original.replace("services:\n", f"services:\n{block}", 1))
    (stack / "hello").mkdir()
    (stack / "hello" / "Dockerfile.j2").write_text(
        'FROM {{ built("base") }}\nWORKDIR /srv\nRUN echo hello > index.html\n'
        "USER {{ settings.service_uid }}:{{ settings.service_gid }}\n"
        'CMD ["python3", "-m", "http.server", "8000"]\n'
    )
    before = converged.containers()
    added = converged.pyinfra(
        "tasks/smb.py", "tasks/stacks.py", "tasks/acceptance.py", "-y", folder=copy
    )
    assert added.status == 0, added.error
    for check in ("is healthy", "answers on", "writes outputs", "reads models"):
        assert f"dhoch3/hello {check}" in added.output
    assert (converged.lab.nas.data / "Hello").is_dir()
    assert converged.run("stat -c '%a %u' /srv/hello") == "750 2000\n"
    now = converged.containers()
    assert {name: now[name] for name in before} == before

    compose.write_text(original)
    removed = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert removed.status == 0, removed.error
    assert converged.containers() == before
    code = converged.run(
        f"{CURL} -s -o /dev/null -w '%{{http_code}}' -H 'Host: hello.localhost' http://127.0.0.1/"
    )
    assert code == "404"


@pytest.mark.long
def test_a_local_run_from_a_clone_finds_the_same(converged: Workstation) -> None:
    """On the machine itself, `./provision` from a clone creates its environment and finds nothing
    to change."""
    converged.clone("/root/clone")
    run = Run(0, converged.run("cd /root/clone && ./provision -y 2>&1"))
    assert run.operations > 20, run.output[-3000:]
    assert run.changed == []


@pytest.mark.long
def test_changed_mount_options_are_applied_under_running_services(
    converged: Workstation,
) -> None:
    """The share is remounted, and the containers that use it write to the new mount. The password
    never appears in the output."""
    run = converged.pyinfra(
        *("tasks/smb.py", "tasks/acceptance.py", "-y", "--data", "smb_options=nobrl"), *TALKATIVE
    )
    assert run.status == 0, run.error
    assert not any(form in run.output for form in FORMS)
    assert "nobrl" in converged.run("findmnt -n -o OPTIONS /mnt/ki_Daten")
    assert "FAILED" not in run.output


@pytest.mark.long
def test_three_reboots_leave_everything_as_it_was(converged: Workstation) -> None:
    """The state is compared each time; containers that use the share started after it."""
    wanted = state(converged)
    for _ in range(3):
        began = time.monotonic()
        converged.lab.machine.reboot()
        converged.run("systemctl is-system-running --wait", check=False)
        print(f"booted in {time.monotonic() - began:.0f} s")
        run = converged.pyinfra("tasks/acceptance.py", "-y")
        assert run.status == 0, run.error
        assert converged.run("systemctl --failed --plain --no-legend") == ""
        assert differences(wanted, state(converged)) == []
        mounted, *started = map(float, converged.run(_STARTS).split())
        assert len(started) == 6
        assert min(started) > mounted
