"""The stack knowledge-center alone on a machine: Redis, a language model server, a worker.

``lab/upstream/knowledge.py`` says which parts are real.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.control import Lab
from lab.machine import BARE
from lab.nas import MARKER
from lab.paths import cache
from lab.upstream import knowledge
from lab.upstream.files import place
from tests.lab.alone import SPECIAL, Alone
from tests.lab.compare import compared
from tests.lab.conftest import Run, Workstation
from tests.lab.tiny_model import model

pytestmark = pytest.mark.long

PROVISIONED = "knowledge-center"
STORE = "/vol/service/cw/storage-models/models"
STACK = "/opt/stacks/knowledge-center"
SERVICES = {"/knowledge-center-redis-1", "/knowledge-center-llm-server-1"}
UNIT = "knowledge-center-worker.service"

# Sends a request five times a second, and writes a line with the time of each answer.
_POLL = """
while :; do
  curl -sf --max-time 1 -o /dev/null http://127.0.0.1:8000/health && date +%s.%N >> /root/answers
  sleep 0.2
done
"""


class Knowledge(Alone):
    """The machine under test, with this stack's model server, Redis and worker."""

    def complete(self, name: str = "any") -> str:
        """Return the language model server's completion of a prompt."""
        asked = json.dumps({"model": name, "prompt": "Hello", "max_tokens": 4})
        said = self.run(
            "curl -sS --max-time 300 http://127.0.0.1:8000/v1/completions"
            f" -H 'Content-Type: application/json' -d '{asked}'"
        )
        text: str = json.loads(said)["choices"][0]["text"]
        return text

    def redis(self, command: str) -> str:
        """Return Redis' answer to a command, sent with the password."""
        login = "REDISCLI_AUTH=$(cat /run/secrets/redis_password)"
        return self.run(
            f"cd {STACK} && docker compose exec -T redis sh -c '{login} redis-cli {command}'"
        ).strip()

    def task(self) -> str:
        """Return the result of a task that was sent to the worker the way any program would send
        it."""
        folder = "/opt/knowledge-center-worker/current"
        return self.run(
            f"cd {folder}/worker && set -a && . /etc/ai-workstation/knowledge-center-worker.env &&"
            f" PYTHONDONTWRITEBYTECODE=1 {folder}/.venv/bin/python -c"
            " 'import celery_app; print(celery_app.complete.delay(\"Hi\").get(timeout=300))'"
        )


@pytest.fixture(scope="module")
def upstream(lab: Lab) -> Path:
    """The mirror file with the parts that this stack needs; the first time, llama.cpp is compiled
    for it."""
    mirror = yaml.safe_load(lab.mirror.file.read_text())
    made = knowledge.build(lab.mirror.root, cache() / "upstream", mirror)
    file = lab.folder / "mirror-knowledge.yml"
    file.write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    return file


@pytest.fixture(scope="module")
def environment(lab: Lab, upstream: Path) -> dict[str, str]:
    """The settings that a user would write into .env for it."""
    _, commit = knowledge.commit(lab.mirror.root)
    return {
        "MIRROR": str(upstream),
        "STACKS": "knowledge-center",
        "REDIS_PASSWORD": SPECIAL,
        "KNOWLEDGE_CENTER_CPU": "x86-64-v1",
        "KNOWLEDGE_CENTER_N_CTX": "256",
        "KNOWLEDGE_CENTER_MODEL_PATH": "/models/tiny.gguf",
        "KNOWLEDGE_CENTER_MODEL_NAME": "/models/tiny",
        "KNOWLEDGE_CENTER_WORKER_REPOSITORY": f"http://192.168.0.5:80/{knowledge.REPOSITORY}",
        "KNOWLEDGE_CENTER_WORKER_COMMIT": commit,
        "KNOWLEDGE_CENTER_WORKER_FOLDER": "worker",
        "KNOWLEDGE_CENTER_LLM_TIMEOUT": "300",
    }


def _machine(lab: Lab, environment: dict[str, str]) -> Knowledge:
    machine = Knowledge(lab)
    machine.environment = environment
    return machine


@pytest.fixture(scope="module")
def first(lab: Lab, environment: dict[str, str]) -> Iterator[Run]:
    """The first run on a bare machine with two models; kept as a checkpoint."""
    machine = _machine(lab, environment)
    machine.faults("{}")
    lab.machine.restore(BARE)
    machine.send(model(), f"{STORE}/gguf/tiny.gguf")
    machine.send(b"{}", f"{STORE}/hf/tiny/config.json")
    machine.send(b"weights", f"{STORE}/hf/tiny/model.safetensors")
    # In two runs, because each must end within the time limit of the tests.
    run = machine.pyinfra("tasks/docker.py", "tasks/nvidia.py", "tasks/ollama.py", "-y")
    assert run.status == 0, run.error
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    lab.machine.checkpoint(PROVISIONED)
    yield run
    lab.machine.forget(PROVISIONED)


@pytest.fixture
def machine(lab: Lab, environment: dict[str, str], first: Run) -> Knowledge:
    """A machine on which the whole deploy has run once."""
    lab.machine.restore(PROVISIONED)
    return _machine(lab, environment)


def test_a_second_run_changes_nothing_and_all_of_it_answers(machine: Knowledge, first: Run) -> None:
    """No setting of the share is needed; containers, units and files are the same; a model and a
    task are used."""
    assert "FAILED" not in first.output
    containers, units, files = machine.containers(), machine.unit_starts(), machine.our_files()
    started = machine.run(f"systemctl show --timestamp=us -p ExecMainStartTimestamp {UNIT}")
    assert set(containers) >= SERVICES
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    found = machine.findings()
    assert found[f"{UNIT} is active and enabled"]["ok"]
    assert not any("share" in name for name in found)
    assert machine.containers() == containers
    assert machine.unit_starts() == units
    assert machine.our_files() == files
    assert machine.run(f"systemctl show --timestamp=us -p ExecMainStartTimestamp {UNIT}") == started
    assert machine.complete()
    assert '"text"' in machine.task()


def test_the_password_is_where_it_must_be_and_nowhere_else(machine: Knowledge) -> None:
    """It is in two files, each readable only by its user, and neither in Docker's output nor in
    kept copies."""
    found = machine.run(
        f"grep -rlsF {MARKER} /opt /etc /var/lib/ai-workstation /var/log; true"
    ).split()
    secret, worker = (
        f"{STACK}/secrets/redis_password",
        "/etc/ai-workstation/knowledge-center-worker.env",
    )
    assert set(found) == {secret, worker}
    modes = machine.run(f"stat -c '%a %u:%g' {secret} {worker} {STACK}/secrets").splitlines()
    assert modes == ["400 999:1000", "600 0:0", "700 0:0"]
    shown = machine.run(
        "docker inspect $(docker ps -aq); docker logs knowledge-center-redis-1 2>&1"
    )
    assert MARKER not in shown
    commands = machine.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert MARKER not in commands
    assert "NOAUTH" in machine.run(f"cd {STACK} && docker compose exec -T redis redis-cli ping")


def test_a_reboot_brings_everything_back(machine: Knowledge) -> None:
    """Redis, the model server and the worker, in whatever order they start."""
    machine.lab.machine.reboot()
    machine.run("systemctl is-system-running --wait", check=False)
    run = machine.pyinfra("tasks/acceptance.py", "-y")
    assert run.status == 0, run.error
    assert "FAILED" not in run.output
    assert machine.complete()
    assert '"text"' in machine.task()
    assert machine.run("systemctl --failed --plain --no-legend") == ""


def test_a_power_cut_loses_nothing_that_was_confirmed(machine: Knowledge) -> None:
    """Redis has its file on disk within a second; everything starts by itself, and the next run
    changes nothing."""
    machine.redis("set kept 1")
    time.sleep(3)
    machine.lab.machine.power_cut()
    machine.run("systemctl is-system-running --wait", check=False)
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    assert machine.redis("get kept") == "1"
    assert '"text"' in machine.task()


def _gap(machine: Knowledge) -> float:
    """Stop sending requests; return the longest time between two answers in seconds."""
    machine.run("sleep 2; systemctl stop poll")
    times = [float(line) for line in machine.run("cat /root/answers; rm /root/answers").split()]
    return max(after - before for before, after in itertools.pairwise(times))


def test_another_backend_is_one_setting(machine: Knowledge) -> None:
    """Only the server is re-created, at the same address, and the time without answers is measured.
    Neither going back nor a run with the document's own files needs a build."""
    machine.redis("set kept 1")
    vllm = {"KNOWLEDGE_CENTER_LLM_BACKEND": "vllm"}
    machine.send(_POLL.encode(), "/root/poll")
    for changes, name in ((vllm, "/models/tiny"), ({}, "any")):
        machine.run("systemd-run --quiet --unit=poll sh /root/poll; sleep 2")
        run = compared(machine, "tasks/stacks.py", environment=changes)
        assert "change knowledge-center: recreate llm-server" in run.planned
        assert not any("redis" in one or "build" in one for one in run.planned)
        print(f"nobody answered for {_gap(machine):.1f} s before {changes or 'llamacpp'}")
        assert machine.complete(name)
        assert machine.redis("get kept") == "1"
    before = machine.containers()
    machine.run(
        f"cd {STACK} && docker compose -f docker-compose.yml -f docker-compose.llamacpp.yml up -d"
    )
    assert machine.containers() == before


def test_redis_is_restored_after_its_loss(machine: Knowledge) -> None:
    """From a backup made while it runs; data from after the backup is gone, including the
    damage."""
    machine.redis("set first 1")
    machine.run(f"{STACK}/backup.sh /root/kept.rdb")
    assert machine.run("stat -c %a /root/kept.rdb") == "600\n"
    machine.redis("set second 2")
    machine.run(
        f"cd {STACK} && docker compose rm -sf redis && docker volume rm knowledge-center_redis-data"
    )
    run = machine.pyinfra("tasks/stacks.py", "-y")
    assert run.status == 0, run.error
    assert machine.redis("get first") == ""
    assert "restored, Redis holds" in machine.run(f"{STACK}/restore.sh /root/kept.rdb")
    assert machine.redis("get first") == "1"
    assert machine.redis("get second") == ""
    machine.run("head -c 20 /root/kept.rdb > /root/cut.rdb")
    assert not machine.succeeds(f"{STACK}/restore.sh /root/cut.rdb")
    assert machine.redis("get first") == "1"
    assert '"text"' in machine.task()
    assert machine.pyinfra("tasks/stacks.py", "-y", "--json").changed == []


def test_a_new_password_reaches_redis_and_the_worker(machine: Knowledge) -> None:
    """One container is re-created, and the unit is restarted; the data stays, and the old password
    no longer works."""
    machine.redis("set kept 1")
    old = machine.run(f"cat {STACK}/secrets/redis_password")
    new = {"REDIS_PASSWORD": f"{MARKER} another"}
    run = compared(machine, "tasks/stacks.py", environment=new)
    assert "change knowledge-center: recreate redis" in run.planned
    run = machine.pyinfra("tasks/worker.py", "-y", environment=new)
    assert run.status == 0, run.error
    assert machine.redis("get kept") == "1"
    assert '"text"' in machine.task()
    machine.send(old.encode(), "/root/old")
    refused = machine.run(
        f'cd {STACK} && docker compose exec -T -e REDISCLI_AUTH="$(cat /root/old)" redis'
        " redis-cli ping 2>&1",
        check=False,
    )
    assert "PONG" not in refused


def test_another_commit_of_the_worker_and_none(machine: Knowledge) -> None:
    """A switch there and back needs no second installation; without a repository, everything is
    removed."""
    older, newer = knowledge.commit(machine.lab.mirror.root)
    link = "readlink /opt/knowledge-center-worker/current"
    for commit in (older, newer):
        change = {"KNOWLEDGE_CENTER_WORKER_COMMIT": commit}
        run = machine.pyinfra("tasks/worker.py", "-y", "--json", environment=change)
        assert run.status == 0, run.error
        assert machine.run(link) == f"{commit}+worker\n"
        assert '"text"' in machine.task()
    assert not any("worker at" in one for one in run.planned)
    none = {"KNOWLEDGE_CENTER_WORKER_REPOSITORY": ""}
    run = machine.pyinfra("tasks/worker.py", "-y", environment=none)
    assert run.status == 0, run.error
    assert not machine.succeeds(f"systemctl cat {UNIT}")
    assert not machine.succeeds("ls /opt/knowledge-center-worker")
    assert machine.pyinfra("tasks/worker.py", "-y", "--json", environment=none).changed == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MODEL_PATH": "/models/gone.gguf"}, "does not exist (in the same folder: tiny.gguf)"),
        (
            {"LLM_BACKEND": "vllm", "MODEL_NAME": "/models/gone"},
            "does not exist (in the same folder: tiny)",
        ),
        ({"REDIS_PORT": "22"}, "port 22: it is held by sshd"),
    ],
)
def test_what_would_fail_is_told_before_anything_changes(
    machine: Knowledge, changes: dict[str, str], said: str
) -> None:
    """Preflight reports it, and lists the existing files."""
    before = machine.our_files(), machine.containers()
    given = {f"KNOWLEDGE_CENTER_{name}": value for name, value in changes.items()}
    run = machine.pyinfra("deploy.py", "-y", environment=given)
    assert run.status != 0
    assert said in run.output
    assert (machine.our_files(), machine.containers()) == before


def test_without_a_gpu_it_is_built_with_openblas(machine: Knowledge) -> None:
    """Another image for the same service, with no layers to offload; then it answers."""
    run = compared(machine, "tasks/stacks.py", environment={"GPU": "none"})
    assert "change knowledge-center: recreate llm-server" in run.planned
    assert any("build knowledge-center/llamacpp:" in one for one in run.planned)
    assert machine.complete()
    asked = {"GPU": "none", "KNOWLEDGE_CENTER_N_GPU_LAYERS": "-1"}
    run = machine.pyinfra("deploy.py", "-y", environment=asked)
    assert run.status != 0
    assert "GPU for llm-server: this service needs a GPU" in run.output


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
    file = lab.folder / "mirror-both.yml"
    file.write_text(yaml.safe_dump(mirror, sort_keys=False, allow_unicode=True))
    yield environment | {"MIRROR": str(file), "STACKS": "dhoch3,knowledge-center"}
    for target in placed:
        target.unlink()


def test_beside_dhoch3(converged: Workstation, both: dict[str, str]) -> None:
    """A machine that has dhoch3 gets a second stack: no container of the first is touched,
    acceptance passes for both, and the next run changes nothing."""
    before = converged.containers()
    converged.send(model(), f"{STORE}/gguf/tiny.gguf")
    # uv would use stand-ins of the same name and version that it downloaded there for dhoch3.
    converged.run("docker builder prune --force --filter type=exec.cachemount")
    run = converged.pyinfra("deploy.py", "-y", "--json", environment=both)
    assert run.status == 0, run.error
    assert MARKER not in run.output
    now = converged.containers()
    assert {name: now[name] for name in before} == before
    assert set(now) - set(before) == SERVICES
    run = converged.pyinfra("deploy.py", "-y", "--json", environment=both)
    assert run.status == 0, run.error
    assert run.changed == []
    assert run.commands <= 36
    assert converged.containers() == now
