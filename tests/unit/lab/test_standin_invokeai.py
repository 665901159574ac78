"""The stand-in for InvokeAI installs models like InvokeAI 6.13.8: by jobs in the background."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from lab.upstream.files import STANDINS
from tests.unit.lab.test_mirror_standins import Program, free_port


def weights(path: Path, missing: int = 0) -> Path:
    """Write a safetensors file of one tensor, or one that is some bytes too short."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8 - missing))
    return path


class InvokeAI:
    """The stand-in, its model store and its API."""

    def __init__(self, folder: Path) -> None:
        (folder / "app").mkdir()
        shutil.copy(STANDINS / "images" / "invokeai.py", folder / "app")
        self.program = Program(folder / "app", "invokeai.py", {})
        self.store, self.root, self.port = folder / "models", folder / "root", free_port()
        self.store.mkdir()

    @contextmanager
    def running(self, **environment: str) -> Iterator[None]:
        own = {"INVOKEAI_ROOT": str(self.root), "INVOKEAI_PORT": str(self.port)}
        with self.program.running(self.port, **own, **environment):
            yield

    def ask(self, path: str, body: object = None, **query: object) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}/api/v2/models/{path}?{urlencode(query)}"
        try:
            with urlopen(Request(url, data), timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def scan(self) -> dict[str, bool]:
        status, found = self.ask("scan_folder", scan_path=self.store)
        assert status == 200
        prefix = f"{self.store}/"
        return {one["path"].removeprefix(prefix): one["is_installed"] for one in found}

    def installed(self, path: Path) -> dict[str, Any]:
        """Install a model in place and return its finished job."""
        status, job = self.ask("install", {}, source=path, inplace="true")
        assert status == 201
        for _ in range(100):
            if job["status"] in ("completed", "error"):
                return dict(job)
            time.sleep(0.02)
            job = self.ask(f"install/{job['id']}")[1]
        raise AssertionError(job)


@pytest.fixture
def invokeai(tmp_path: Path) -> InvokeAI:
    return InvokeAI(tmp_path)


def test_a_scan_finds_files_by_ending_and_folders_that_are_one_model(invokeai: InvokeAI) -> None:
    for name in ("vae/a.safetensors", "loras/b.pt", "loras/c.sft", "loras/.d.pt", "loras/e.part"):
        weights(invokeai.store / name)
    for name in ("config.json", "model.safetensors", "inner/f.bin"):
        weights(invokeai.store / "diffusers" / name)
    with invokeai.running():
        assert invokeai.scan() == dict.fromkeys(
            ["vae/a.safetensors", "loras/b.pt", "diffusers"], False
        )
        assert invokeai.ask("scan_folder", scan_path="/absent")[0] == 400


def test_a_model_is_registered_where_it_lies(invokeai: InvokeAI) -> None:
    path = weights(invokeai.store / "a.safetensors")
    with invokeai.running():
        job = invokeai.installed(path)
        assert (job["status"], job["config_out"]["path"]) == ("completed", str(path))
        assert invokeai.scan() == {"a.safetensors": True}
        assert [one["id"] for one in invokeai.ask("install")[1]] == [job["id"]]
        assert [one["path"] for one in invokeai.ask("")[1]["models"]] == [str(path)]


def test_what_is_wrong_with_a_model_is_told_by_its_job(invokeai: InvokeAI) -> None:
    """Even if it is already registered: the request itself succeeds."""
    path = weights(invokeai.store / "a.safetensors")
    half = weights(invokeai.store / "half.safetensors", missing=3)
    with invokeai.running(INVOKEAI_ALLOW_UNKNOWN_MODELS="false"):
        assert invokeai.installed(path)["status"] == "completed"
        for wrong, reason in (
            (path, "DuplicateModelException"),
            (half, "InvalidModelConfigException"),
        ):
            job = invokeai.installed(wrong)
            assert (job["status"], job["error_reason"]) == ("error", reason)
            assert str(wrong) in job["error"]
        assert invokeai.scan() == {"a.safetensors": True, "half.safetensors": False}


def test_unless_told_otherwise_it_takes_what_it_does_not_know(invokeai: InvokeAI) -> None:
    path = weights(invokeai.store / "half.safetensors", missing=3)
    with invokeai.running():
        assert invokeai.installed(path)["config_out"]["type"] == "unknown"
        assert invokeai.scan() == {"half.safetensors": True}


def test_a_link_is_registered_as_the_file_that_it_leads_to(invokeai: InvokeAI) -> None:
    path = weights(invokeai.store / "a.safetensors")
    (invokeai.store / "b.safetensors").symlink_to(path)
    with invokeai.running():
        job = invokeai.installed(invokeai.store / "b.safetensors")
        assert job["config_out"]["path"] == str(path)
        assert invokeai.scan() == {"a.safetensors": True, "b.safetensors": False}


def test_a_request_that_cannot_be_meant_is_refused_at_once(invokeai: InvokeAI) -> None:
    with invokeai.running():
        assert invokeai.ask("install", {}, source="/absent.safetensors")[0] == 409
        assert invokeai.ask("install", [], source=invokeai.store)[0] == 422
        assert invokeai.ask("install", {})[0] == 422
        assert invokeai.ask("install/7")[0] == 404
