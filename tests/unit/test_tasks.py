"""What tasks ask for where a host's stacks differ: those of dhoch3, and knowledge-center alone."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import Machine, settings
from tests.unit.test_templates import data
from workstation import context, pins
from workstation.context import Context
from workstation.mirror import Mirror
from workstation.operations import acceptance, accounts, files, packages, smb, units, worker
from workstation.settings import SettingsError
from workstation.stack import data_key

ROOT = Path(__file__).parents[2]
KNOWLEDGE = "knowledge-center"
NO_SHARE = {"smb_server": "", "smb_share": "", "smb_user": "", "smb_password": ""}
STORE = "/vol/service/cw/storage-models/models"

Asked = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The operations that a task calls, in order, with what they are given."""
    found: Asked = []

    def noting(name: str) -> Any:
        return lambda **given: found.append((name, given))

    for module, names in (
        (accounts, ["shared_identity"]),
        (files, ["present", "shared_tree"]),
        (smb, ["share"]),
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
    given = settings(**{"gpu": "none", "redis_password": "geheim", **how})
    pinned = pins.load(ROOT / "pins.yml")
    return Context(Machine(data=values), given, pinned, mirror or Mirror(), stacks)


def run(task: str, monkeypatch: pytest.MonkeyPatch, *stacks: str, **how: Any) -> None:
    """Run a task for the host that ``made`` returns."""
    monkeypatch.setattr(context, "load", lambda host: made(*stacks, **how))
    runpy.run_path(str(ROOT / f"tasks/{task}.py"))


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
    """And has a folder for each service."""
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
    """Its container would not start without; elsewhere it is not made."""
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
    """From the mirror's index; a change of what it is told, or of its release, restarts it."""
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
    """It could not log in without."""
    with pytest.raises(SettingsError, match=r"^REDIS_PASSWORD is not set"):
        run("worker", monkeypatch, KNOWLEDGE, data=ASKED, redis_password="")


def test_without_a_repository_there_is_no_worker(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    """One that is there is removed; a host without the stack is not asked at all."""
    run("worker", monkeypatch, KNOWLEDGE)
    assert [name for name, _ in asked] == ["worker.absent"]
    asked.clear()
    run("worker", monkeypatch, "dhoch3")
    assert asked == []


def test_the_whole_run_has_the_worker_behind_the_stacks():
    """Its queue is one of them; acceptance looks at it."""
    text = (ROOT / "deploy.py").read_text()
    assert text.index('"stacks"') < text.index('"worker"') < text.index('"acceptance"')


def test_acceptance_looks_at_the_workers_unit_where_there_is_one():
    """A host without it is not asked for it."""
    unit = {"knowledge-center-worker.service": "worker"}
    assert acceptance._units(made(KNOWLEDGE, data=ASKED)) == unit
    assert acceptance._units(made(KNOWLEDGE)) == {}
    assert acceptance._units(made("dhoch3")) == {}
