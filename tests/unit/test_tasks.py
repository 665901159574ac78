"""Tasks for hosts with different stacks: each stack alone, and combinations."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import Machine, settings
from tests.unit.test_templates import data, group_data
from workstation import context, pins
from workstation.acceptance.machine import host_probes
from workstation.acceptance.services import service_probes
from workstation.compose.actions import ProjectState
from workstation.context import Context
from workstation.mirror import Mirror
from workstation.needs import Needs
from workstation.operations import (
    acceptance,
    accounts,
    compose,
    disks,
    files,
    firewall,
    invokeai,
    losses,
    ollama,
    packages,
    smb,
    units,
    worker,
)
from workstation.preflight.stacks import collision_findings
from workstation.settings import Settings, SettingsError
from workstation.stack import data_key

ROOT = Path(__file__).parents[2]
KNOWLEDGE = "knowledge-center"
NVME, SSD = "/mnt/local/nvme", "/mnt/local/ssd"
HOSTS = {
    ("dhoch3",): Needs(proxy=True, share=True, ollama=True, disks=[]),
    (KNOWLEDGE,): Needs(proxy=False, share=False, ollama=False, disks=[]),
    ("prometheus",): Needs(proxy=False, share=False, ollama=False, disks=[NVME, SSD]),
    ("dhoch3", KNOWLEDGE): Needs(proxy=True, share=True, ollama=True, disks=[]),
}
NO_SHARE = {"smb_server": "", "smb_share": "", "smb_user": "", "smb_password": ""}
NATIVE = {"port 11434": "the native Ollama"}
STORE = "/vol/service/cw/storage-models/models"

Asked = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The operations that a task calls, in order, with their arguments."""
    found: Asked = []

    def noting(name: str) -> Any:
        return lambda **given: found.append((name, given))

    for module, names in (
        (accounts, ["shared_identity", "system_user"]),
        (files, ["present", "shared_tree"]),
        (smb, ["share"]),
        (disks, ["mounted"]),
        (ollama, ["release", "filter_installed", "bridge_socket"]),
        (firewall, ["containers_reach"]),
        (compose, ["laid_down", "up", "network_exists"]),
        (invokeai, ["models_registered"]),
        (packages, ["installed"]),
        (units, ["running"]),
        (worker, ["release", "absent"]),
    ):
        for name in names:
            short = module.__name__.rpartition(".")[2]
            monkeypatch.setattr(module, name, noting(f"{short}.{name}"))
    return found


def made(*stacks: str, mirror: Mirror | None = None, **how: Any) -> Context:
    """Return the context of a host with these stacks.

    + how: settings, and as ``data`` changes of knowledge-center's data
    """
    values = {data_key(name): data(name) for name in stacks}
    for key, value in how.pop("data", {}).items():
        values[data_key(KNOWLEDGE)][key] = value
    own = {
        key: value
        for name in stacks
        for key, value in group_data(name).items()
        if key in Settings.model_fields
    }
    given = settings(**{"gpu": "none", "redis_password": "geheim", **own, **how})
    pinned = pins.load(ROOT / "pins.yml")
    return Context(Machine(data=values), given, pinned, mirror or Mirror(), stacks)


def run(task: str, monkeypatch: pytest.MonkeyPatch, *stacks: str, **how: Any) -> None:
    """Run a task for the host that ``made`` returns."""
    monkeypatch.setattr(context, "load", lambda host: made(*stacks, **how))
    runpy.run_path(str(ROOT / f"tasks/{task}.py"))


@pytest.mark.parametrize("stacks", HOSTS)
def test_a_host_needs_what_its_stacks_use(stacks: tuple[str, ...]):
    """This is read from the rendered files, whatever the stacks are called."""
    assert made(*stacks, gpu="required").needs == HOSTS[stacks]


@pytest.mark.parametrize("gpu", ["required", "none"])
@pytest.mark.parametrize("stacks", HOSTS)
def test_what_no_stack_needs_is_not_made(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, stacks: tuple[str, ...], gpu: str
):
    """Neither proxy, share, Ollama nor worker; each stack is copied and started once."""
    found = {}
    for task in ("ollama", "storage", "smb", "proxy", "stacks", "worker"):
        asked.clear()
        run(task, monkeypatch, *stacks, gpu=gpu)
        found[task] = [name for name, _ in asked]
        if task == "stacks":
            ups = [given["stack"].model.name for name, given in asked if name == "compose.up"]
    needed = HOSTS[stacks]
    assert ("ollama.release" in found["ollama"]) is needed.ollama is bool(found["ollama"])
    assert found["smb"] == ["smb.share"] * needed.share
    assert found["proxy"] == ["compose.laid_down", "compose.up"] * needed.proxy
    assert found["worker"] == ["worker.absent"] * (KNOWLEDGE in stacks)
    for task in ("storage", "stacks"):
        assert found[task].count("disks.mounted") == bool(needed.disks)
    assert ups == list(stacks)


@pytest.mark.parametrize("stacks", HOSTS)
def test_stacks_of_one_host_are_not_in_each_others_way(stacks: tuple[str, ...]):
    """Ports, names, and names of checks: a report would show only one of two checks of the same
    name."""
    host = made(*stacks, gpu="required")
    models = [stack.model for stack in host.stacks()]
    assert list(collision_findings(models, NATIVE if host.needs.ollama else {})) == []
    probes = [
        *host_probes(host.settings, models),
        *(
            probe
            for model in models
            for probe in service_probes(model, ProjectState(), host.settings, "token")
        ),
    ]
    names = [probe.name for probe in probes]
    assert len(names) == len(set(names))
    assert "containers are closed to neighbors except for published ports" in names


def test_a_stacks_own_ollama_and_the_native_one_are_told_to_collide():
    """Before the native one is installed; changing either port is a fix."""
    both = made("dhoch3", "prometheus", gpu="required")
    models = [stack.model for stack in both.stacks()]
    (finding,) = collision_findings(models, NATIVE)
    assert finding.detail == "it is claimed by the native Ollama and prometheus/gate"


@pytest.mark.parametrize("stacks", HOSTS)
def test_what_this_machine_alone_holds_is_told_of_every_stack(stacks: tuple[str, ...]):
    """Each place of the created stacks has an explanation."""
    places = losses.places(made(*stacks, gpu="required", data=ASKED if KNOWLEDGE in stacks else {}))
    assert ("knowledge-center_redis-data" in places) is (KNOWLEDGE in stacks)
    assert ("/var/lib/private/knowledge-center-worker" in places) is (KNOWLEDGE in stacks)
    unexplained = [place for place, said in places.items() if said.startswith("not described")]
    assert all(place.startswith("dhoch3_") for place in unexplained)


def test_a_host_whose_stacks_write_to_no_share_has_none(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    """Whatever its settings are."""
    run("smb", monkeypatch, KNOWLEDGE, **NO_SHARE)
    assert asked == []


@pytest.mark.parametrize("stacks", [("dhoch3",), ("dhoch3", KNOWLEDGE)])
def test_one_that_does_needs_all_of_its_settings(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, stacks: tuple[str, ...]
):
    """It has a folder for each service."""
    run("smb", monkeypatch, *stacks)
    ((name, given),) = asked
    assert name == "smb.share"
    assert "ComfyUI" in given["folders"]
    for setting in NO_SHARE:
        with pytest.raises(SettingsError, match=rf"^{setting.upper()} is not set"):
            run("smb", monkeypatch, *stacks, **{setting: ""})


@pytest.mark.parametrize(("backend", "folder"), [("llamacpp", "gguf"), ("vllm", "hf")])
def test_a_folder_of_the_store_that_a_stack_alone_mounts_is_made(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, backend: str, folder: str
):
    """Its container would not start without it; on other hosts it is not created."""
    run("storage", monkeypatch, KNOWLEDGE, data={"llm_backend": backend})
    assert f"{STORE}/{folder}" in _folders(asked)
    asked.clear()
    run("storage", monkeypatch, "dhoch3")
    assert f"{STORE}/{folder}" not in _folders(asked)
    assert f"{STORE}/checkpoints" in _folders(asked)


def _folders(asked: Asked) -> list[str]:
    (entries,) = [given["entries"] for name, given in asked if name == "files.present"]
    assert {entry.mode for entry in entries} == {"2775"}
    return [entry.path for entry in entries]


ASKED = {
    "worker_repository": "https://github.com/a/b.git",
    "worker_commit": "0123456789" * 4,
    "worker_folder": "worker",
}


def test_the_worker_is_installed_before_its_unit_runs(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    """From the mirror's index; a change of its environment or release restarts it."""
    mirror = Mirror(http="http://m", pypi="http://m/pypi/simple")
    run("worker", monkeypatch, "dhoch3", KNOWLEDGE, data=ASKED, mirror=mirror)
    assert [name for name, _ in asked] == [
        *("packages.installed", "worker.release", "files.present", "units.running")
    ]
    given = dict(asked)
    assert given["worker.release"]["worker"].commit == ASKED["worker_commit"]
    assert given["worker.release"]["index"] == "http://m/pypi/simple"
    told = {entry.path: entry for entry in given["files.present"]["entries"]}
    told_to_worker = told["/etc/ai-workstation/knowledge-center-worker.env"]
    assert (told_to_worker.secret, told_to_worker.mode) == (True, "600")
    assert b"REDIS_URL=redis://:geheim@127.0.0.1:6379/0\n" in told_to_worker.content
    unit = told["/etc/systemd/system/knowledge-center-worker.service"]
    assert b"geheim" not in unit.content
    assert b"WorkingDirectory=/opt/knowledge-center-worker/current/worker\n" in unit.content
    (one,) = given["units.running"]["units"]
    assert set(one.configuration) == {told_to_worker.path, "/opt/knowledge-center-worker/current"}


def test_a_worker_needs_the_password_of_its_queue(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    """It could not log in without it."""
    with pytest.raises(SettingsError, match=r"^REDIS_PASSWORD is not set"):
        run("worker", monkeypatch, KNOWLEDGE, data=ASKED, redis_password="")


def test_without_a_repository_there_is_no_worker(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    """An existing one is removed; a host without the stack is not queried at all."""
    run("worker", monkeypatch, KNOWLEDGE)
    assert [name for name, _ in asked] == ["worker.absent"]
    asked.clear()
    run("worker", monkeypatch, "dhoch3")
    assert asked == []


def test_the_whole_run_has_the_worker_behind_the_stacks():
    """Its queue is one of them; acceptance checks it."""
    text = (ROOT / "deploy.py").read_text()
    assert text.index('"stacks"') < text.index('"worker"') < text.index('"acceptance"')


def test_acceptance_looks_at_the_workers_unit_where_there_is_one():
    """On other hosts it is not checked."""
    unit = {"knowledge-center-worker.service": "worker"}
    assert acceptance._units(made(KNOWLEDGE, data=ASKED)) == unit
    assert acceptance._units(made(KNOWLEDGE)) == {}
    assert acceptance._units(made("dhoch3")) == {}
