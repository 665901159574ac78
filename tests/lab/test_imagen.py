"""The stack imagen alone on a machine: a queue, five workers and a real Triton.

``lab/upstream/imagen.py`` says which parts are real.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab.control import Lab
from lab.machine import BARE
from lab.nas import MARKER
from lab.paths import cache
from lab.upstream import imagen, knowledge
from tests.lab.alone import SPECIAL, Alone
from tests.lab.compare import compared
from tests.lab.conftest import Run
from tests.lab.tiny_weights import at
from tests.unit.test_imagen import INFRASTRUCTURE, WORKERS
from workstation.stack_settings import Declared, declared

pytestmark = pytest.mark.long

PROVISIONED = "imagen"
STORE = "/vol/service/cw/storage-models/models"
STACK = "/opt/stacks/imagen"
API = "http://127.0.0.1:8010/api/v1"
SERVICES = {*INFRASTRUCTURE, "api", "triton", *WORKERS.values()}
CHECKS = [f"imagen: {model}" for model in WORKERS]

# 64x48, a gradient: written here with the standard library, because the machine has no Pillow.
_PICTURE = """
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = b"".join(b"\\0" + bytes(v for x in range(64) for v in (x * 4, y * 5, 99)) for y in range(48))
header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
open("/root/test.png", "wb").write(
    b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header)
    + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
)
"""


class Imagen(Alone):
    """The machine under test, with this stack's API."""

    def compose(self, command: str, check: bool = True) -> str:
        """Return the output of ``docker compose COMMAND`` in the stack's folder."""
        return self.run(f"cd {STACK} && docker compose {command}", check=check)

    def ask(self, path: str, *flags: str, key: bool = True) -> tuple[int, dict[str, Any]]:
        """Return status and content of the API's answer."""
        header = f'-H "X-API-Key: $(cat {STACK}/secrets/imagen_api_key)"' if key else ""
        said = self.run(
            f"curl -sS --max-time 60 -w '\\n%{{http_code}}' {header} {shlex.join(flags)}"
            f" {API}{path}",
            check=False,
        )
        content, _, status = said.rstrip().rpartition("\n")
        try:
            return int(status), json.loads(content or "{}")
        except ValueError:
            pytest.fail(f"{path} answers {status}: {content[:500]}")

    def submit(self, model: str = "upscale", **how: Any) -> str:
        """Queue the picture; return the job's name."""
        path = f"/images/{_ROUTES[model]}"
        status, job = self.ask(path, "-F", "file=@/root/test.png;type=image/png", **how)
        assert status in (200, 201, 202), job
        return str(job["job_id"])

    def finish(self, job: str, seconds: int = 300) -> dict[str, Any]:
        """Return the job once it is over."""
        for _ in range(seconds):
            status, content = self.ask(f"/jobs/{job}")
            if content.get("status") in ("completed", "failed") or status == 404:
                return content
            time.sleep(1)
        pytest.fail(f"job {job} is {content} after {seconds} s")

    def result(self, job: str) -> tuple[str, int, int]:
        """Return format, width and height of a job's result."""
        self.run(
            f'curl -fsS -H "X-API-Key: $(cat {STACK}/secrets/imagen_api_key)"'
            f" -o /root/result {API}/jobs/{job}/result"
        )
        width, height = self.run(
            'python3 -c \'import struct; d = open("/root/result", "rb").read();'
            ' assert d[:4] == b"\\x89PNG"; print(*struct.unpack(">II", d[16:24]))\''
        ).split()
        return "PNG", int(width), int(height)


_ROUTES = {
    "upscale": "upscale",
    "enhance": "enhance",
    "style_comic": "style/comic",
    "style_aged": "style/aged",
    "background_remove": "background/remove",
}


@pytest.fixture(scope="module")
def environment(lab: Lab) -> dict[str, str]:
    """The settings that a user would write into .env for it."""
    mirror = yaml.safe_load(lab.mirror.file.read_text())
    made = imagen.build(lab.mirror.root, cache() / "upstream", mirror)
    file = lab.folder / "mirror-imagen.yml"
    file.write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    return {
        "MIRROR": str(file),
        "STACKS": "imagen",
        "GPU": "none",
        "IMAGEN_API_KEY": SPECIAL,
        "IMAGEN_TRITON_ON_CPU": "true",
    }


@pytest.fixture(scope="module")
def first(lab: Lab, environment: dict[str, str]) -> Iterator[Run]:
    """The first run on a bare machine with weights in the store; kept as a checkpoint."""
    machine = _machine(lab, environment)
    machine.faults("{}")
    lab.machine.restore(BARE)
    for path, data in _weights().items():
        machine.send(data, path)
    run = machine.pyinfra("tasks/docker.py", "-y")
    assert run.status == 0, run.error
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    machine.send(_PICTURE.encode(), "/root/picture.py")
    machine.run("python3 /root/picture.py")
    lab.machine.checkpoint(PROVISIONED)
    yield run
    lab.machine.forget(PROVISIONED)


def _weights() -> dict[str, bytes]:
    """Return the files of all models where the settings' defaults expect them."""
    found = {}
    for name, one in declared("imagen").items():
        if name.endswith("_model"):
            assert isinstance(one, Declared)
            found |= at(one.default.replace("/models/store", STORE))
    return found


def _machine(lab: Lab, environment: dict[str, str]) -> Imagen:
    machine = Imagen(lab)
    machine.environment = environment
    return machine


@pytest.fixture
def machine(lab: Lab, environment: dict[str, str], first: Run) -> Imagen:
    """A machine on which the whole deploy has run once."""
    lab.machine.restore(PROVISIONED)
    return _machine(lab, environment)


def test_a_picture_goes_in_and_comes_back(machine: Imagen, first: Run) -> None:
    """As in the document, without a key; then acceptance's own pictures through all five models,
    with times and traces, of which nothing is left; and the second run changes nothing."""
    containers = machine.containers()
    assert {name.removeprefix("/imagen-").removesuffix("-1") for name in containers} == SERVICES
    job = machine.submit(key=False)
    done = machine.finish(job)
    assert done["status"] == "completed", done
    assert machine.result(job) == ("PNG", 256, 192)
    kept = machine.run("find /var/lib/docker/volumes/imagen_storage-data -type f | sort")
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    assert machine.containers() == containers
    found = machine.findings()
    for name in CHECKS:
        assert found[name]["ok"], found[name]
        print(name, found[name]["evidence"])
    print(machine.compose("exec -T api python3 /opt/imagen/start.py measure upscale 5"))
    assert machine.run("find /var/lib/docker/volumes/imagen_storage-data -type f | sort") == kept


def test_the_key_is_in_one_file_only(machine: Imagen) -> None:
    """Neither in Docker's output nor in a log, and a wrong one is refused."""
    found = machine.run(f"grep -rlsF {MARKER} /opt /etc /var/lib/ai-workstation /var/log; true")
    assert found.split() == [f"{STACK}/secrets/imagen_api_key"]
    shown = machine.run(
        "docker inspect $(docker ps -aq);"
        " for one in $(docker ps -q); do docker logs $one 2>&1; done"
    )
    assert MARKER not in shown
    picture = ("-F", "file=@/root/test.png;type=image/png")
    status, _ = machine.ask("/images/upscale", "-H", "X-API-Key: wrong", *picture, key=False)
    assert status == 401


@pytest.mark.parametrize("cut", [False, True], ids=["reboot", "power cut"])
def test_everything_comes_back(machine: Imagen, cut: bool) -> None:
    """Pictures that were stored are still there, the emulators start empty, and work goes on."""
    job = machine.submit()
    assert machine.finish(job)["status"] == "completed"
    time.sleep(5)
    machine.lab.machine.power_cut() if cut else machine.lab.machine.reboot()
    machine.run("systemctl is-system-running --wait", check=False)
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    found = machine.findings()
    assert all(found[name]["ok"] for name in CHECKS), found
    status, said = machine.ask(f"/jobs/{job}")
    assert status == 404, said


def test_a_worker_that_is_killed_loses_no_job(machine: Imagen) -> None:
    """Its job comes again after the lease, is done once, and visibly once."""
    machine.compose("pause triton")
    job = machine.submit()
    time.sleep(5)
    machine.compose("kill upscale-worker")
    machine.compose("unpause triton")
    machine.compose("start upscale-worker")
    assert machine.finish(job, 600)["status"] == "completed"
    assert machine.result(job) == ("PNG", 256, 192)


def test_triton_and_the_queue_may_restart(machine: Imagen) -> None:
    """A job that is at work meanwhile is finished; what the queue forgot is queued again."""
    machine.compose("stop triton")
    waiting = machine.submit()
    time.sleep(5)
    machine.compose("start triton")
    assert machine.finish(waiting, 600)["status"] == "completed"
    machine.compose("stop upscale-worker")
    forgotten = machine.submit()
    machine.compose("restart pubsub")
    machine.compose("start upscale-worker")
    done = machine.finish(forgotten, 900)
    print("a job that the queue forgot:", done)
    assert done["status"] == "completed", done
    assert machine.finish(machine.submit(), 600)["status"] == "completed"
    assert machine.finish(machine.submit("enhance"), 600)["status"] == "completed"


def test_twenty_jobs_are_shared_by_two_workers(machine: Imagen) -> None:
    """All are finished, each once, and both worked."""
    machine.compose("up -d --no-recreate --scale upscale-worker=2 upscale-worker")
    jobs = [machine.submit() for _ in range(20)]
    assert len({*jobs}) == 20
    assert {machine.finish(job, 900)["status"] for job in jobs} == {"completed"}
    done = [
        {job for job in jobs if job in machine.run(f"docker logs imagen-upscale-worker-{n} 2>&1")}
        for n in (1, 2)
    ]
    print("jobs by worker:", [len(one) for one in done])
    assert all(done)
    assert done[0] | done[1] == {*jobs}
    assert not done[0] & done[1]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("printf 'no picture'", "image/png"),
        (":", "image/png"),
        ("cat /root/test.png", "text/plain"),
        # The header of a picture of 10000 x 10000.
        (
            'python3 -c \'import sys,struct,zlib; h=b"IHDR"+struct.pack(">IIBBBBB",10000,10000,'
            '8,2,0,0,0); sys.stdout.buffer.write(b"\\x89PNG\\r\\n\\x1a\\n"+struct.pack(">I",13)+h'
            '+struct.pack(">I",zlib.crc32(h)))\'',
            "image/png",
        ),
    ],
    ids=["text", "empty", "wrong type", "100 megapixels"],
)
def test_what_is_no_picture_is_refused_at_once(machine: Imagen, content: str, kind: str) -> None:
    """With one sentence, and nothing is queued."""
    machine.run(f"{content} > /root/wrong")
    status, said = machine.ask("/images/upscale", "-F", f"file=@/root/wrong;type={kind}")
    print(status, said)
    assert 400 <= status < 500
    assert "job_id" not in said


def test_a_full_store_fails_the_job_and_says_so(machine: Imagen) -> None:
    """No endless redelivery: later jobs work as soon as there is space."""
    place = "/var/lib/docker/volumes/imagen_storage-data/_data"
    machine.compose("stop storage")
    machine.run(
        f"cp -a {place} /root/kept && mount -t tmpfs -o size=4m,mode=0755 full {place} &&"
        f" cp -a /root/kept/. {place}/"
    )
    assert not machine.succeeds(f"head -c 16m /dev/zero > {place}/filler")
    machine.compose("start storage")
    status, said = machine.ask("/images/upscale", "-F", "file=@/root/test.png;type=image/png")
    print(status, said)
    if status < 400:
        done = machine.finish(str(said["job_id"]), 900)
        print(done)
        assert done["status"] == "failed"
    machine.compose("stop storage")
    machine.run(f"umount {place}")
    machine.compose("start storage")
    assert machine.finish(machine.submit(), 600)["status"] == "completed"


def test_parts_and_the_documents_own_commands(machine: Imagen) -> None:
    """What is no longer a part goes away by a line of the plan; what a person starts by a profile
    stays; back again, the same images are used."""
    fewer = {"IMAGEN_PARTS": "infra,api"}
    run = compared(machine, "tasks/stacks.py", environment=fewer)
    removed = {line for line in run.planned if line.startswith("remove imagen")}
    assert len(removed) == len(WORKERS) + 1, run.planned
    running = {"imagen-" + one + "-1" for one in (*INFRASTRUCTURE, "api")}
    assert {name.removeprefix("/") for name in machine.containers()} == running
    machine.compose("--profile triton up -d")
    machine.compose("up -d upscale-worker")
    assert machine.finish(machine.submit(), 900)["status"] == "completed"
    before = machine.containers()
    run = machine.pyinfra("deploy.py", "-y", "--json", environment=fewer)
    assert run.status == 0, run.error
    assert run.changed == []
    assert machine.containers() == before
    machine.compose("--profile all up -d")
    assert {name.removeprefix("/imagen-").removesuffix("-1") for name in machine.containers()} == (
        SERVICES
    )
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert not any("build" in line for line in run.planned)
    refused = machine.pyinfra("deploy.py", "-y", environment={"IMAGEN_PARTS": "upscale"})
    assert refused.status != 0
    assert "without triton" in refused.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"IMAGEN_UPSCALE_MODEL": "/models/store/gone.pth"}, "gone.pth"),
        ({"IMAGEN_API_PORT": "22"}, "port 22"),
        ({"IMAGEN_TRITON_ON_CPU": "false"}, "needs a GPU"),
    ],
)
def test_what_would_fail_is_told_before_anything_changes(
    machine: Imagen, changes: dict[str, str], said: str
) -> None:
    """Weights that are missing, a port that is taken, a GPU that is not there."""
    before = machine.our_files(), machine.containers()
    run = machine.pyinfra("deploy.py", "-y", environment=changes)
    assert run.status != 0
    assert said in run.output
    assert (machine.our_files(), machine.containers()) == before


def test_beside_knowledge_center(machine: Imagen) -> None:
    """Its model server keeps port 8000 and its Redis 6379; no container of imagen is touched."""
    before = machine.containers()
    root, kept = machine.lab.mirror.root, cache() / "upstream"
    mirror = yaml.safe_load(machine.lab.mirror.file.read_text())
    both = machine.lab.folder / "mirror-imagen-knowledge.yml"
    both.write_text(yaml.safe_dump(imagen.build(root, kept, knowledge.build(root, kept, mirror))))
    settings = {
        "MIRROR": str(both),
        "STACKS": "imagen,knowledge-center",
        "REDIS_PASSWORD": SPECIAL,
        "KNOWLEDGE_CENTER_LLM_BACKEND": "none",
    }
    run = machine.pyinfra("deploy.py", "-y", "--json", environment=settings)
    assert run.status == 0, run.error
    now = machine.containers()
    assert {name: now[name] for name in before} == before
    assert set(now) - set(before) == {"/knowledge-center-redis-1"}
    assert machine.finish(machine.submit(), 600)["status"] == "completed"
    run = machine.pyinfra("deploy.py", "-y", "--json", environment=settings)
    assert run.changed == []
