"""The stand-ins of the stack prometheus reject the same things as the real images."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from lab.upstream.files import STANDINS
from tests.unit.lab.test_mirror_standins import Program, free_port, get, upgrade

OWN = (os.getuid(), os.getgid())


@pytest.fixture
def init() -> ModuleType:
    """The init script of the stand-in for ComfyUI, as a module."""
    path = STANDINS / "images" / "comfyui-nvidia-init.py"
    spec = importlib.util.spec_from_file_location("init", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_comfyui_takes_a_folder_of_the_wanted_user(init: ModuleType, tmp_path: Path) -> None:
    init.need_folder(str(tmp_path), *OWN)


def test_comfyui_refuses_a_folder_of_somebody_else(
    init: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        init.need_folder(str(tmp_path), OWN[0] + 1, OWN[1])
    assert caught.value.code == 1
    said = capsys.readouterr().out
    assert f"Directory {tmp_path} owned by unexpected user/group" in said
    assert f"expected {OWN[0] + 1}:{OWN[1]}, actual {OWN[0]}:{OWN[1]}" in said


def test_comfyui_refuses_a_folder_that_is_not_mounted(
    init: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        init.need_folder(f"{tmp_path}/none", *OWN)
    assert "not found (or not a directory)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("NoNewPrivs:\t1\nCapBnd:\t00000000a80425fb\n", 'The "no new privileges" flag is set'),
        ("NoNewPrivs:\t0\nCapBnd:\t0000000000000000\n", "cap_chown is missing"),
        ("NoNewPrivs:\t0\nCapBnd:\t00000000000000c1\n", "cap_audit_write is missing"),
        ("NoNewPrivs:\t0\nCapBnd:\t00000000200000eb\n", ""),
    ],
)
def test_comfyui_becomes_another_user_by_sudo(
    init: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: str,
    said: str,
) -> None:
    """no-new-privileges forbids that; the last set of capabilities is the one in the stack."""
    file = tmp_path / "status"
    file.write_text(status)
    monkeypatch.setattr(init, "open", lambda *_, **how: file.open(**how), raising=False)
    if said:
        with pytest.raises(SystemExit):
            init.need_sudo()
        assert said in capsys.readouterr().out
    else:
        init.need_sudo()


@pytest.fixture
def openwebui(tmp_path: Path) -> Program:
    folder = tmp_path / "app"
    folder.mkdir()
    shutil.copy(STANDINS / "images" / "openwebui.py", folder)
    return Program(folder, "openwebui.py", {})


def test_open_webui_exits_when_its_data_cannot_be_written(openwebui: Program) -> None:
    result = openwebui.run(DATA_DIR="/proc/none")
    assert result.returncode == 1
    assert "/proc/none" in result.stderr


def test_open_webui_keeps_its_session_key_where_it_is_told(
    openwebui: Program, tmp_path: Path
) -> None:
    """Otherwise in its own folder, which is lost with the container."""
    data, port = tmp_path / "data", free_port()
    variables = {"DATA_DIR": str(data), "PORT": str(port)}
    key = data / "key"
    for _ in range(2):
        with openwebui.running(port, WEBUI_SECRET_KEY_FILE=str(key), **variables):
            first = key.read_text()
    assert key.read_text() == first
    with openwebui.running(port, **variables):
        assert (openwebui.folder / ".webui_secret_key").read_text() not in ("", first)


def test_open_webui_answers_and_says_whether_it_finds_ollama(
    openwebui: Program, tmp_path: Path
) -> None:
    port = free_port()
    variables = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(port)}
    with openwebui.running(port, OLLAMA_BASE_URL="http://127.0.0.1:9", **variables):
        assert json.loads(get(port, "/health")[1]) == {"status": True}
        assert get(port, "/", "HEAD")[0] == 405
        assert upgrade(port, "/ws/socket.io/?EIO=4&transport=websocket")[0] == 101
        status, body = get(port, "/standin/ollama")
    assert status == 500
    assert b"Connection Error" in body
    assert (tmp_path / "data" / "webui.db").exists()
