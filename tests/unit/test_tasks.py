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
from workstation.operations import accounts, files, smb
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
    ):
        for name in names:
            short = module.__name__.rpartition(".")[2]
            monkeypatch.setattr(module, name, noting(f"{short}.{name}"))
    return found


def run(
    task: str,
    monkeypatch: pytest.MonkeyPatch,
    *stacks: str,
    mirror: Mirror | None = None,
    **how: Any,
) -> None:
    """Run a task for a host with these stacks.

    + how: settings, and as ``data`` changes of knowledge-center's data
    """
    values = {data_key(name): data(name) for name in stacks}
    for key, value in how.pop("data", {}).items():
        values[data_key(KNOWLEDGE)][key] = value
    given = settings(**{"gpu": "none", "redis_password": "geheim", **how})
    made = Context(
        Machine(data=values), given, pins.load(ROOT / "pins.yml"), mirror or Mirror(), stacks
    )
    monkeypatch.setattr(context, "load", lambda host: made)
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
