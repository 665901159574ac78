"""The stack chat-to-3d alone on a machine: three programs in a container, NVIDIA's NIM beside it,
and a language model's server that is none of it.

``lab/upstream/chat_to_3d.py`` says which parts are real.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.control import Lab
from lab.machine import BARE
from lab.nas import MARKER
from lab.paths import cache
from lab.upstream import chat_to_3d, knowledge, pypi
from lab.upstream.files import place
from tests.lab.alone import SPECIAL
from tests.lab.chat_to_3d import (
    CONTAINER,
    HEALTH,
    LEAVE,
    MODEL,
    NAME,
    NIM,
    OBJECTS,
    OUTPUTS,
    PICTURES,
    PLAN,
    PROGRAMS,
    SERVICE,
    SETTINGS,
    STACK,
    STORE,
    ChatTo3d,
    prepare,
)
from tests.lab.compare import compared
from tests.lab.conftest import Run, Workstation
from tests.lab.tiny_model import list_model

pytestmark = pytest.mark.long

JOURNEY = f"{NAME}: a sentence to a GLB file"
WORKER_NETWORK = "knowledge-center_worker-network"
UNUSED = 70
"""Seconds after which acceptance takes the page for unused."""


def _mirror(lab: Lab, name: str, *, knowledge_too: bool = False) -> Path:
    """Return a mirror file with the parts that this stack needs, and those of knowledge-center."""
    root, kept = lab.mirror.root, cache() / "upstream"
    mirror = yaml.safe_load(lab.mirror.file.read_text())
    if knowledge_too:
        mirror = knowledge.build(root, kept, mirror)
    file = lab.folder / f"mirror-{name}.yml"
    made = chat_to_3d.build(root, kept, mirror)
    file.write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    return file


@pytest.fixture(scope="module")
def environment(lab: Lab) -> dict[str, str]:
    """The settings that a user would write into .env; the first time, llama.cpp is compiled."""
    return {"MIRROR": str(_mirror(lab, NAME)), **SETTINGS}


def _machine(lab: Lab, environment: dict[str, str]) -> ChatTo3d:
    machine = ChatTo3d(lab)
    machine.environment = environment
    return machine


@pytest.fixture(scope="module")
def first(lab: Lab, environment: dict[str, str]) -> Iterator[Run]:
    """The first run on a bare machine with models in the store; kept as a checkpoint."""
    machine = _machine(lab, environment)
    machine.faults("{}")
    lab.machine.restore(BARE)
    # In two runs, because each must end within the time limit of the tests.
    run = machine.pyinfra("tasks/docker.py", "tasks/nvidia.py", "-y")
    assert run.status == 0, run.error
    prepare(machine, yaml.safe_load(Path(environment["MIRROR"]).read_text())["registry"])
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    lab.machine.checkpoint(NAME)
    yield run
    lab.machine.forget(NAME)


@pytest.fixture
def machine(lab: Lab, environment: dict[str, str], first: Run) -> ChatTo3d:
    """A machine on which the whole deploy has run once."""
    lab.machine.restore(NAME)
    return _machine(lab, environment)


def test_a_sentence_becomes_a_glb_file(machine: ChatTo3d, first: Run) -> None:
    """Through the page's own API, as many objects as asked for; then acceptance does the same and
    leaves nothing; and the second run changes nothing."""
    assert "FAILED" not in first.output
    containers, files = machine.containers(), machine.our_files()
    assert {f"/{CONTAINER}", f"/{NIM}"} <= set(containers)
    *_, shown = said = machine.calls(*PLAN, *PICTURES, *MODEL)
    assert f"{OBJECTS} objects" in str(said[0]["said"])
    assert ".glb" in str(shown["said"])
    made = machine.made()
    assert sum(path.startswith("images/") for path in made) == OBJECTS
    (model,) = [path for path in made if path.startswith("models/")]
    assert machine.header(model) == ("glTF", 2, True)
    time.sleep(UNUSED)
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    assert (machine.containers(), machine.our_files()) == (containers, files)
    found = machine.findings()
    print(found[JOURNEY]["evidence"])
    for name in (JOURNEY, *(f"{NAME}: {program}" for program in PROGRAMS)):
        assert found[name]["ok"], found[name]
    assert "a GLB file of" in found[JOURNEY]["evidence"]
    assert machine.made() == made


def test_what_is_no_scene_is_answered_with_advice(machine: ChatTo3d) -> None:
    """The language model calls it a question, and nothing is made."""
    (said,) = machine.calls(("handle_scene_input", "What can you do?"))
    message, tip = said["said"]
    assert (message, tip["visible"]) == ("", True)
    assert "Error" not in tip["value"]
    assert machine.made() == []


def test_the_secrets_are_in_their_files_only(machine: ChatTo3d) -> None:
    """Neither in Docker's output nor in a log, an image or a command line; and they are used."""
    found = machine.run(f"grep -rlsF {MARKER} /opt /etc /var/lib/ai-workstation /var/log; true")
    names = ("hf_token", "llm_api_key", "ngc_api_key")
    assert sorted(found.split()) == [f"{STACK}/secrets/{name}" for name in names]
    modes = machine.run(f"stat -c %a {STACK}/secrets/* {STACK}/secrets").split()
    assert modes == ["400", "400", "400", "700"]
    ours = "docker ps -aq --filter name=chat-to-3d"
    shown = machine.run(
        f"docker inspect $({ours}); for one in $({ours}); do docker logs $one 2>&1; done;"
        " docker history --no-trunc $(docker image ls -q 'chat-to-3d/*');"
        " cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    )
    assert MARKER not in shown
    for program in PROGRAMS:
        assert MARKER not in machine.inside(f"supervisorctl tail -100000 {program} stdout")
        assert MARKER not in machine.inside(f"supervisorctl tail -100000 {program} stderr")
    # It would refuse a request without the key.
    assert machine.run("docker exec llm printenv API_KEY").strip() == SETTINGS["LLM_API_KEY"]
    assert machine.calls(*PLAN)[0]["said"][0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_is_killed_comes_back_alone(machine: ChatTo3d, program: str) -> None:
    """The health check names it meanwhile; the other two are not touched; then a scene works."""
    before, containers = machine.pids(), machine.containers()
    # Stopped first, so that it is missing for long enough to be seen.
    machine.inside(f"sh -c 'kill -STOP {before[program]}'")
    unhealthy = machine.inside("python3 /opt/chat-to-3d/healthy.py", check=False)
    machine.inside(f"sh -c 'kill -KILL {before[program]}'")
    print(unhealthy)
    assert program in unhealthy
    assert not any(other in unhealthy for other in PROGRAMS if other != program)
    began = time.monotonic()
    machine.until_ready()
    print(f"{program} was back after {time.monotonic() - began:.0f} s")
    after = machine.pids()
    assert {name for name in PROGRAMS if after[name] != before[name]} == {program}
    assert machine.containers() == containers
    assert ".glb" in str(machine.calls(*PLAN, *PICTURES, *MODEL)[-1]["said"])


def test_another_tab_and_a_reload_disturb_nobody(machine: ChatTo3d) -> None:
    """While one tab makes an object, another one asks for the state as a reloaded page does, and
    begins a scene of its own, which waits for its turn."""
    before = machine.pids()
    machine.nim(seconds=40)
    machine.begin("one", *PLAN, *PICTURES, *MODEL)
    machine.until("grep -q generate_3d_for_card /root/one.out")
    (state,) = machine.calls(*HEALTH)
    assert state["seconds"] < 30
    machine.begin("two", *HEALTH, *PLAN, *PICTURES)
    one, two = machine.ended("one"), machine.ended("two")
    assert ".glb" in str(one[-1]["said"])
    assert f"{OBJECTS} objects" in str(two[1]["said"])
    assert machine.pids() == before
    assert sum(path.startswith("images/") for path in machine.made()) == 2 * OBJECTS
    # One that leaves its scene does not end that of another.
    machine.nim()
    machine.calls(*PLAN, *PICTURES, *LEAVE)
    assert machine.pids() == before


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_a_language_model_that_is_away_is_named_on_the_page(machine: ChatTo3d, how: str) -> None:
    """Refused connections, and one that answers nothing; the container stays, and the next scene
    works."""
    before = machine.containers()
    machine.run(f"docker {how} llm")
    (said,) = machine.calls(*PLAN)
    print(said)
    assert "http://llm:8000/v1" in str(said["said"])
    # The container itself is well: what is away is elsewhere.
    assert machine.succeeds(f"docker exec {CONTAINER} python3 /opt/chat-to-3d/healthy.py")
    run = machine.pyinfra("tasks/acceptance.py", "-y")
    assert run.status != 0
    assert f"{NAME}: llm-service is ready" in run.output
    machine.run("docker start llm" if how == "stop" else "docker unpause llm")
    machine.until_answers("http://127.0.0.1:19002/v1/health/ready")
    assert f"{OBJECTS} objects" in str(machine.calls(*PLAN)[0]["said"])
    now = machine.containers()
    assert {name: now[name] for name in before if name != "/llm"} == {
        name: before[name] for name in before if name != "/llm"
    }


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"status": 500}, "answered 500"),
        ({"reason": "OUT_OF_MEMORY"}, "OUT_OF_MEMORY"),
        ({"reason": "CONTENT_FILTERED"}, ""),
    ],
    ids=["error", "unknown reason", "filtered"],
)
def test_an_object_that_is_refused_is_told_on_the_page(
    machine: ChatTo3d, wanted: dict[str, Any], told: str
) -> None:
    """With the reason, and the next one works. What is filtered has a sign on its card, which the
    page's API does not show, and is no trouble."""
    machine.nim(**wanted)
    assert ".glb" not in str(machine.calls(*PLAN, *PICTURES, *MODEL)[-1]["said"])
    troubles = machine.troubles()
    print(troubles)
    assert [told in one for one in troubles] == ([True] if told else [])
    machine.nim()
    assert ".glb" in str(machine.calls(*PLAN, *PICTURES, *MODEL)[-1]["said"])


def test_a_nim_that_loads_or_is_away_holds_up_no_pictures(machine: ChatTo3d) -> None:
    """The page says which of both it is; objects are made again as soon as it is back."""
    machine.run(f"docker stop {NIM}")
    said = machine.calls(*HEALTH, *PLAN, *PICTURES, *MODEL)
    assert "trellis" in str(said[0]["said"]).lower()
    assert sum(path.startswith("images/") for path in machine.made()) == OBJECTS
    assert ".glb" not in str(said[-1]["said"])
    print(machine.troubles())
    assert "trellis-nim" in machine.troubles()[-1]
    machine.nim(load=60)
    machine.run(f"docker start {NIM}")
    machine.until_answers("http://trellis-nim:8000/v1/health/live")
    (loading,) = machine.calls(*HEALTH)
    assert "503" in str(loading["said"])
    machine.until_answers("http://127.0.0.1:8000/v1/health/ready")
    assert ".glb" in str(machine.calls(*PLAN, *PICTURES, *MODEL)[-1]["said"])


def test_a_full_disk_is_told_and_passes(machine: ChatTo3d) -> None:
    """A sentence and no dead program; the same page works as soon as there is space."""
    place = OUTPUTS.removesuffix("/outputs")
    machine.compose(f"stop {SERVICE}")
    owner = machine.run(f"stat -c %u:%g {place}").strip()
    machine.run(f"cp -a {place} /root/kept && mount -t tmpfs -o size=4m full {place}")
    machine.run(f"chown {owner} {place} && cp -a /root/kept/. {place}/")
    machine.compose(f"start {SERVICE}")
    machine.until_ready(600)
    before = machine.pids()
    assert not machine.succeeds(f"head -c 16m /dev/zero > {place}/filler")
    said = machine.calls(*PLAN, *PICTURES)
    print(said[-1], machine.troubles())
    assert machine.troubles()
    assert machine.made() == []
    machine.run(f"rm {place}/filler")
    machine.calls(*PLAN, *PICTURES)
    assert sum(path.startswith("images/") for path in machine.made()) == OBJECTS
    assert machine.pids() == before


@pytest.mark.parametrize("cut", [False, True], ids=["reboot", "power cut"])
def test_everything_comes_back(machine: ChatTo3d, cut: bool) -> None:
    """What was made is still there, which upstream would delete at its start; the next run changes
    nothing, and acceptance makes an object."""
    assert ".glb" in str(machine.calls(*PLAN, *PICTURES, *MODEL)[-1]["said"])
    made = machine.made()
    assert len(made) == OBJECTS + 1
    time.sleep(5)
    machine.lab.machine.power_cut() if cut else machine.lab.machine.reboot()
    machine.run("systemctl is-system-running --wait", check=False)
    machine.until_healthy()
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    assert machine.findings()[JOURNEY]["ok"], machine.findings()[JOURNEY]
    assert machine.made() == made
    (model,) = [path for path in made if path.endswith(".glb")]
    assert machine.header(model) == ("glTF", 2, True)


@pytest.mark.parametrize(("folder", "pictures"), [("diffusers/sana", 0), ("hf/guard", OBJECTS)])
def test_a_model_folder_that_vanishes_is_named(
    machine: ChatTo3d, folder: str, pictures: int
) -> None:
    """A sentence on the page, three living programs; and it works once the folder is back. Without
    the model that checks prompts, pictures are made, and the page says so."""
    machine.run(f"mv {STORE}/{folder} /root/away")
    machine.compose(f"restart {SERVICE}")
    machine.until_ready(600)
    machine.calls(*PLAN, *PICTURES)
    troubles = "\n".join(machine.troubles())
    print(troubles)
    assert f"/models/{folder}" in troubles
    assert len(machine.made()) == pictures
    machine.run(f"mv /root/away {STORE}/{folder}")
    machine.calls(*PLAN, *PICTURES)
    assert len(machine.made()) == pictures + OBJECTS


def test_the_documents_own_commands(machine: ChatTo3d) -> None:
    """supervisorctl's status, start, stop, restart and tail, and a log for each program; all lines
    are in the container's log too, with the program's name."""
    status = machine.compose(f"exec -T {SERVICE} supervisorctl status")
    print(status)
    for program in PROGRAMS:
        assert any(line.split()[:2] == [program, "RUNNING"] for line in status.splitlines())
    for command, state in (
        ("stop trellis-service", "STOPPED"),
        ("start trellis-service", "RUNNING"),
        ("restart gradio-app", "RUNNING"),
    ):
        machine.inside(f"supervisorctl {command}")
        program = command.split()[1]
        found = machine.inside(f"supervisorctl status {program}", check=False)
        assert found.split()[:2] == [program, state]
    machine.until_ready()
    before = machine.pids()
    machine.inside("supervisorctl restart all")
    machine.until_ready()
    after = machine.pids()
    assert all(after[name] != before[name] for name in PROGRAMS)
    assert "19002" in machine.inside("supervisorctl tail llm-service stderr")
    # What is followed ends by itself never.
    for follow in ("llm-service", "trellis-service stdout"):
        said = machine.inside(f"timeout 5 supervisorctl tail -f {follow}", check=False)
        assert "no such" not in said.lower()
    logs = machine.inside("ls /var/log/supervisor").split()
    wanted = [f"{name}.{kind}.log" for name in PROGRAMS for kind in ("out", "err")]
    assert set(wanted) | {"supervisord.log"} <= set(logs)
    machine.calls(*PLAN)
    lines = machine.compose(f"logs --no-color --no-log-prefix {SERVICE}").splitlines()
    for program in PROGRAMS:
        assert any(line.startswith(program) for line in lines), program
    assert not machine.succeeds("ss -Hltn | grep -E ':(19002|8000)\\b'")


def test_a_fourth_program_and_a_dependency(machine: ChatTo3d, checkout: Callable[[], Path]) -> None:
    """As the document's development section has it: a section of supervisord's configuration, a
    line in requirements-extra.txt, and a run that builds one image."""
    root = machine.lab.mirror.root / knowledge.INDEX
    pypi.offer(root, {"lab-extra": ["1.0"]})
    copy = checkout()
    folder = copy / "templates/stacks" / NAME / SERVICE
    extra = folder / "requirements-extra.txt"
    extra.write_text(f"{extra.read_text()}lab-extra==1.0\n")
    (folder / "programs/new.conf").write_text(
        "[program:new-service]\ncommand=python3 /opt/chat-to-3d/new_service.py\ndirectory=/app\n"
        "autostart=true\nautorestart=true\n"
        "stdout_logfile=/var/log/supervisor/new-service.out.log\nstdout_events_enabled=true\n"
        "stderr_logfile=/var/log/supervisor/new-service.err.log\nstderr_events_enabled=true\n"
    )
    (folder / "new_service.py").write_text(
        "import time, lab_extra\nwhile True:\n"
        "    print('a fourth program with', lab_extra.__version__, flush=True)\n"
        "    time.sleep(5)\n"
    )
    before = machine.containers()
    run = machine.pyinfra("tasks/stacks.py", "tasks/acceptance.py", "-y", folder=copy)
    assert run.status == 0, run.error
    assert f"{NAME}: new-service" in run.output
    now = machine.containers()
    assert {name for name in now if now[name] != before.get(name)} == {f"/{CONTAINER}"}
    machine.until(f"docker logs {CONTAINER} 2>&1 | grep -q '^new-service.*a fourth program'")
    said = machine.inside("supervisorctl tail new-service stdout")
    assert "a fourth program with 1.0" in said
    assert [line.split()[1] for line in machine.inside("supervisorctl status").splitlines()].count(
        "RUNNING"
    ) >= 4


def test_without_3d_and_without_a_gpu(machine: ChatTo3d) -> None:
    """Pictures come from the processor; the NIM's container goes away by a line of the plan, and
    what was made stays."""
    machine.calls(*PLAN, *PICTURES, *MODEL)
    made = machine.made()
    fewer = {"CHAT_TO_3D_TRELLIS": "none", "GPU": "none", "NGC_API_KEY": ""}
    run = compared(machine, "tasks/stacks.py", environment=fewer)
    assert any("trellis-nim" in one and one.startswith("remove") for one in run.planned)
    assert not any("build" in one for one in run.planned)
    machine.until_ready(600)
    said = machine.calls(*HEALTH, *PLAN, *PICTURES, *MODEL)
    assert ".glb" not in str(said[-1]["said"])
    assert len(machine.made()) == len(made) + OBJECTS
    assert "set trellis" in "\n".join(machine.troubles())
    time.sleep(UNUSED)
    run = machine.pyinfra("deploy.py", "-y", "--json", environment=fewer)
    assert run.status == 0, run.error
    assert run.changed == []
    assert "no 3D" in machine.findings()[f"{NAME}: a sentence to pictures"]["evidence"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CHAT_TO_3D_IMAGE_MODEL": "/models/gone"}, "/models/gone"),
        (
            {"CHAT_TO_3D_LLM": "transformers", "CHAT_TO_3D_LLM_MODEL": "/models/gone"},
            "/models/gone",
        ),
        ({"CHAT_TO_3D_LLM_URL": ""}, "llm_url is empty"),
        ({"CHAT_TO_3D_LLM_NETWORK": "none-such"}, "none-such"),
        ({"CHAT_TO_3D_LOOPBACK": "true", "CHAT_TO_3D_PORT": "22"}, "port 22"),
        ({"CHAT_TO_3D_OBJECTS": "21"}, "at most 20"),
        ({"GPU": "none"}, "needs a GPU"),
        ({"NGC_API_KEY": ""}, "NGC_API_KEY"),
    ],
)
def test_what_would_fail_is_told_before_anything_changes(
    machine: ChatTo3d, changes: dict[str, str], said: str
) -> None:
    """Models that are missing, addresses and networks that are not there, what cannot be."""
    before = machine.our_files(), machine.containers()
    run = machine.pyinfra("deploy.py", "-y", environment=changes)
    assert run.status != 0
    assert said in run.output
    assert (machine.our_files(), machine.containers()) == before


def test_beside_knowledge_center(machine: ChatTo3d) -> None:
    """Its server answers the page's questions, in its own network; no container of chat-to-3d but
    the one that joins that network is touched."""
    before = machine.containers()
    machine.send(list_model(("Desk", "Chair", "Book")), f"{STORE}/gguf/list.gguf")
    settings = {
        "MIRROR": str(_mirror(machine.lab, "chat-to-3d-knowledge", knowledge_too=True)),
        "STACKS": f"{NAME},knowledge-center",
        "REDIS_PASSWORD": SPECIAL,
        "KNOWLEDGE_CENTER_CPU": "x86-64-v1",
        "KNOWLEDGE_CENTER_N_CTX": "4096",
        "KNOWLEDGE_CENTER_MODEL_PATH": "/models/list.gguf",
        "GPU": "none",
        "CHAT_TO_3D_TRELLIS": "none",
        "NGC_API_KEY": "",
    }
    run = machine.pyinfra("deploy.py", "-y", environment=settings)
    assert run.status == 0, run.error
    joined = {
        "CHAT_TO_3D_LLM_URL": "http://llm-server:8000/v1",
        "CHAT_TO_3D_LLM_NETWORK": WORKER_NETWORK,
        "LLM_API_KEY": "",
    }
    run = machine.pyinfra("deploy.py", "-y", "--json", environment=settings | joined)
    assert run.status == 0, run.error
    now = machine.containers()
    assert set(now) - set(before) == {
        "/knowledge-center-redis-1",
        "/knowledge-center-llm-server-1",
    }
    said = machine.calls(*PLAN, ("shift_card_ui",))
    assert "Desk" in str(said[1]["said"])
    run = machine.pyinfra("deploy.py", "-y", "--json", environment=settings | joined)
    assert run.status == 0, run.error
    assert run.changed == []


@pytest.fixture
def both(lab: Lab, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The settings that a user would write into .env for two stacks. The real packages are in the
    index of stand-ins for this test, because another index would change dhoch3's images."""
    placed = []
    for wheel in (lab.mirror.root / knowledge.INDEX / "files").iterdir():
        target = lab.mirror.root / "pypi" / "files" / wheel.name
        if not target.exists():
            place(wheel, target)
            placed.append(target)
    mirror = yaml.safe_load(Path(environment["MIRROR"]).read_text())
    mirror["pypi"] = yaml.safe_load(lab.mirror.file.read_text())["pypi"]
    file = lab.folder / "mirror-chat-to-3d-both.yml"
    file.write_text(yaml.safe_dump(mirror, sort_keys=False, allow_unicode=True))
    yield environment | {"MIRROR": str(file), "STACKS": f"dhoch3,{NAME}"}
    for target in placed:
        target.unlink()


def test_beside_dhoch3(converged: Workstation, both: dict[str, str]) -> None:
    """A machine that has dhoch3 gets a second stack: no container of the first is touched,
    acceptance passes for both, and the next run changes nothing."""
    before = converged.containers()
    machine = _machine(converged.lab, both)
    prepare(machine, yaml.safe_load(Path(both["MIRROR"]).read_text())["registry"])
    # uv would use stand-ins of the same name and version that it downloaded there for dhoch3.
    converged.run("docker builder prune --force --filter type=exec.cachemount")
    run = converged.pyinfra("deploy.py", "-y", "--json", environment=both)
    assert run.status == 0, run.error
    assert MARKER not in run.output
    now = converged.containers()
    assert {name: now[name] for name in before} == before
    assert set(now) - set(before) == {"/llm", f"/{CONTAINER}", f"/{NIM}"}
    run = converged.pyinfra("deploy.py", "-y", "--json", environment=both)
    assert run.status == 0, run.error
    assert run.changed == []
    assert converged.containers() == now
    host = shlex.quote(f"Host: {NAME}.localhost")
    code = f"curl -s -o /dev/null -w '%{{http_code}}' -H {host} http://127.0.0.1/"
    # The proxy asks for a name and a password first.
    assert converged.run(code) == "401"
