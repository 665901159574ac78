"""The small programs inside the images that the stack dhoch3 builds."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "templates" / "stacks" / "dhoch3"


def program(path: str) -> dict[str, Any]:
    """The names that a program defines (without side effects of importing it)."""
    return runpy.run_path(str(FOLDER / path))


def written(path: Path, text: str, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


class TestExport:
    export = staticmethod(program("base/export_artefacts.py")["export"])

    def test_finished_files_are_copied_once(self, tmp_path: Path):
        written(tmp_path / "from/lora/lora.safetensors", "weights", age=600)
        (tmp_path / "to").mkdir()
        first = self.export(tmp_path / "from", tmp_path / "to", time.time())
        second = self.export(tmp_path / "from", tmp_path / "to", time.time())
        assert (tmp_path / "to/lora/lora.safetensors").read_text() == "weights"
        assert (len(first), second) == (1, [])

    def test_a_file_that_is_still_written_waits(self, tmp_path: Path):
        written(tmp_path / "from/lora.safetensors", "half")
        assert self.export(tmp_path / "from", tmp_path / "to", time.time()) == []

    def test_databases_states_and_hidden_files_stay(self, tmp_path: Path):
        for name in ("loss_log.db", "loss_log.db-wal", "optimizer.pt", ".job_config.json"):
            written(tmp_path / "from" / name, "x", age=600)
        assert self.export(tmp_path / "from", tmp_path / "to", time.time()) == []

    def test_a_changed_file_is_copied_again(self, tmp_path: Path):
        written(tmp_path / "from/README.md", "old", age=900)
        self.export(tmp_path / "from", tmp_path / "to", time.time())
        written(tmp_path / "from/README.md", "new", age=600)
        self.export(tmp_path / "from", tmp_path / "to", time.time())
        assert (tmp_path / "to/README.md").read_text() == "new"

    def test_what_was_removed_at_the_source_stays_on_the_share(self, tmp_path: Path):
        path = written(tmp_path / "from/README.md", "x", age=600)
        self.export(tmp_path / "from", tmp_path / "to", time.time())
        path.unlink()
        self.export(tmp_path / "from", tmp_path / "to", time.time())
        assert (tmp_path / "to/README.md").exists()

    def test_a_share_that_refuses_is_reported_and_does_not_end_the_program(self, tmp_path: Path):
        written(tmp_path / "from/README.md", "x", age=600)
        written(tmp_path / "to", "a file where the share should be")
        (line,) = self.export(tmp_path / "from", tmp_path / "to", time.time())
        assert "will be tried again" in line


class TestLinkModels:
    link = staticmethod(program("base/link_models.py")["link"])

    def test_links_follow_the_store(self, tmp_path: Path):
        store, own = tmp_path / "store", tmp_path / "own"
        gone = written(store / "gone.pt", "")
        written(store / "sub/there.pt", "shared")
        written(own / "mine.pt", "own")
        self.link(store, own)
        gone.unlink()
        self.link(store, own)
        assert (own / "sub/there.pt").read_text() == "shared"
        assert sorted(path.name for path in own.rglob("*.pt")) == ["mine.pt", "there.pt"]
        assert not (own / "mine.pt").is_symlink()

    def test_a_file_of_the_same_name_is_kept(self, tmp_path: Path):
        written(tmp_path / "store/a.pt", "shared")
        written(tmp_path / "own/a.pt", "own")
        self.link(tmp_path / "store", tmp_path / "own")
        assert (tmp_path / "own/a.pt").read_text() == "own"


class TestFooocus:
    @pytest.fixture
    def entrypoint(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        names = program("fooocus/entrypoint.py")
        for function in ("paths", "write_config"):
            scope = names[function].__globals__
            scope.update(
                MODELS=tmp_path / "data", STORE=tmp_path / "store", CONFIG=tmp_path / "config.txt"
            )
        # link-models is only in the PATH of the image.
        monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: None)
        return names

    def test_downloads_go_to_the_volume_and_the_store_is_searched_too(
        self, entrypoint: dict[str, Any], tmp_path: Path
    ):
        (tmp_path / "store/checkpoints").mkdir(parents=True)
        found = entrypoint["paths"]()
        assert found["path_checkpoints"] == [
            str(tmp_path / "data/checkpoints"),
            str(tmp_path / "store/checkpoints"),
        ]
        # A missing folder would make Fooocus ignore the whole list.
        assert found["path_loras"] == [str(tmp_path / "data/loras")]
        assert all(Path(found[key]).is_dir() for key in ("path_vae_approx", "path_inpaint"))

    def test_what_the_user_configured_stays(self, entrypoint: dict[str, Any], tmp_path: Path):
        written(tmp_path / "config.txt", '{"default_model": "mine", "path_outputs": "/else"}')
        entrypoint["write_config"]({"path_outputs": "/outputs"})
        assert json.loads((tmp_path / "config.txt").read_text()) == {
            "default_model": "mine",
            "path_outputs": "/outputs",
        }

    @pytest.mark.parametrize("left", ["", "\0\0\0"])
    def test_a_config_that_a_power_cut_emptied_is_none(
        self, left: str, entrypoint: dict[str, Any], tmp_path: Path
    ):
        written(tmp_path / "config.txt", left)
        entrypoint["write_config"]({"path_outputs": "/outputs"})
        assert json.loads((tmp_path / "config.txt").read_text()) == {"path_outputs": "/outputs"}

    def test_a_broken_config_is_told_and_kept(self, entrypoint: dict[str, Any], tmp_path: Path):
        written(tmp_path / "config.txt", "{broken")
        with pytest.raises(SystemExit, match="not JSON"):
            entrypoint["write_config"]({})
        assert (tmp_path / "config.txt").read_text() == "{broken"
