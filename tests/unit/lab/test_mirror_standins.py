"""Stand-in programs fail like the real ones, and answer the same requests."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from lab.upstream import pypi
from lab.upstream.files import STANDINS

NVIDIA_SMI = '#!/bin/sh\necho "Test GPU"\n'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """One stand-in program in a separate folder, with packages and optionally a GPU."""

    def __init__(self, folder: Path, script: str, packages: Mapping[str, str]) -> None:
        self.folder, self.script = folder, script
        self.bin, self.site = folder.parent / "bin", folder.parent / "site"
        self.bin.mkdir()
        self.site.mkdir()
        for name, version in packages.items():
            with zipfile.ZipFile(io.BytesIO(pypi.wheel(name, version))) as archive:
                archive.extractall(self.site)

    def add_gpu(self) -> None:
        path = self.bin / "nvidia-smi"
        path.write_text(NVIDIA_SMI)
        path.chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "PYTHONPATH": f"{self.site}:{STANDINS}",
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, self.script, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    @contextmanager
    def running(self, port: int, *arguments: str, **more: str) -> Iterator[None]:
        with (self.folder.parent / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, self.script, *arguments],
                cwd=self.folder,
                env=self.environment(**more),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (self.folder.parent / "log").read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            assert process.wait(5) == 0, "SIGTERM must end it at once"


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = b"" if answer.status == 101 else answer.read()
    connection.close()
    return answer.status, body


def upgrade(port: int, path: str) -> tuple[int, bytes]:
    """Open a WebSocket; return the status and the first message."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        stream = connection.makefile("rb")
        status = int(stream.readline().split()[1])
        while stream.readline() not in (b"\r\n", b""):
            pass
        return status, stream.read(stream.read(2)[1]) if status == 101 else b""


def program(tmp_path: Path, source: str, script: str, **packages: str) -> Program:
    folder = tmp_path / "app"
    shutil.copytree(STANDINS / source, folder)
    return Program(folder, script, packages)


FOOOCUS = {"torch": "2.8.0", "starlette": "0.45.3"}


@pytest.fixture
def fooocus(tmp_path: Path) -> Program:
    found = program(tmp_path, "repos/fooocus", "launch.py", **FOOOCUS)
    (found.folder / "requirements_versions.txt").write_text("numpy==1.26.4\n")
    with zipfile.ZipFile(io.BytesIO(pypi.wheel("numpy", "1.26.4"))) as archive:
        archive.extractall(found.site)
    return found


def test_fooocus_exits_without_a_gpu(fooocus: Program) -> None:
    result = fooocus.run()
    assert result.returncode == 1
    assert "Found no NVIDIA driver" in result.stderr


def test_fooocus_tries_to_install_what_differs_from_its_pins(fooocus: Program) -> None:
    (fooocus.folder / "requirements_versions.txt").write_text("numpy==1.26.5\n")
    result = fooocus.run("--always-cpu", PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")
    assert result.returncode == 1
    assert "Couldn't install" in result.stderr


def test_fooocus_does_not_start_with_todays_starlette(tmp_path: Path) -> None:
    found = program(tmp_path, "repos/fooocus", "launch.py", torch="2.8.0", starlette="1.0.0")
    (found.folder / "requirements_versions.txt").write_text("")
    assert "unhashable type: 'dict'" in found.run("--always-cpu").stderr


def test_fooocus_rejects_an_unknown_flag(fooocus: Program) -> None:
    assert fooocus.run("--models-path", "/models").returncode == 2


def test_fooocus_shows_the_checkpoints_of_every_listed_folder(
    fooocus: Program, tmp_path: Path
) -> None:
    fooocus.add_gpu()
    for name in ("own", "shared"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.safetensors").touch()
    config = tmp_path / "config.txt"
    folders = [str(tmp_path / "own"), str(tmp_path / "shared")]
    config.write_text(json.dumps({"path_checkpoints": folders, "path_loras": "/missing"}))
    port = free_port()
    flags = ["--port", str(port), "--disable-preset-download"]
    with fooocus.running(port, *flags, config_path=str(config)):
        status, body = get(port, "/config")
        assert get(port, "/", "HEAD")[0] == 405
        assert upgrade(port, "/queue/join") == (101, b'{"msg":"send_hash"}')
    choices = json.loads(body)["components"][0]["props"]["choices"]
    assert (status, choices) == (200, ["own.safetensors", "shared.safetensors"])
    assert (fooocus.folder / "models/loras").is_dir(), "a missing folder falls to the default"
    assert (fooocus.folder / "hash_cache.txt").exists()


def test_fooocus_exits_when_it_may_not_write_its_tutorial(fooocus: Program) -> None:
    result = fooocus.run("--always-cpu", config_example_path="/proc/none/tutorial.txt")
    assert result.returncode == 1
    assert "/proc/none" in result.stderr


FORGE = {
    "torch": "2.8.0",
    "gradio": "4.40.0",
    "fastapi": "0.104.1",
    "pydantic": "2.8.2",
    "transformers": "4.46.1",
    "diffusers": "0.31.0",
}
OFFLINE = ("--skip-prepare-environment", "--skip-install")


@pytest.fixture
def forge(tmp_path: Path) -> Program:
    found = program(tmp_path, "repos/forge", "launch.py", **FORGE)
    guess = found.folder / "repositories" / "huggingface_guess"
    shutil.copytree(STANDINS / "repos" / "forge_huggingface_guess", guess)
    return found


def test_forge_needs_the_network_unless_told_to_skip_its_preparation(forge: Program) -> None:
    result = forge.run("--always-cpu", PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")
    assert result.returncode == 1
    assert "Couldn't run" in result.stderr


def test_forge_needs_the_repository_that_it_would_clone(forge: Program) -> None:
    shutil.rmtree(forge.folder / "repositories")
    assert "huggingface_guess" in forge.run("--always-cpu", *OFFLINE).stderr


def test_forge_does_not_start_with_a_newer_pydantic(tmp_path: Path) -> None:
    found = program(tmp_path, "repos/forge", "launch.py", **{**FORGE, "pydantic": "2.9.2"})
    assert "'FieldInfo' object has no attribute 'in_'" in found.run(*OFFLINE).stderr


def test_forge_answers_and_keeps_its_data_where_it_is_told(forge: Program, tmp_path: Path) -> None:
    forge.add_gpu()
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "a.safetensors").touch()
    port, data = free_port(), tmp_path / "data"
    flags = ["--port", str(port), "--data-dir", str(data), "--ckpt-dir", str(tmp_path / "ckpt")]
    with forge.running(port, *OFFLINE, *flags):
        assert get(port, "/internal/ping") == (200, b"{}")
        assert get(port, "/sdapi/v1/sd-models")[0] == 404
        assert json.loads(get(port, "/config")[1])["checkpoints"] == ["a.safetensors"]
    assert (data / "models" / "Stable-diffusion").is_dir()


FLUXGYM = {
    "torch": "2.8.0",
    "gradio": "5.50.0",
    "gradio-logsview": "0.0.17",
    "python-slugify": "8.0.4",
    "transformers": "4.49.0",
}


@pytest.fixture
def fluxgym(tmp_path: Path) -> Program:
    found = program(tmp_path, "repos/fluxgym", "app.py", **FLUXGYM)
    shutil.copytree(STANDINS / "repos" / "sd_scripts", found.folder / "sd-scripts")
    return found


def test_fluxgym_needs_sd_scripts_beside_it(fluxgym: Program) -> None:
    shutil.rmtree(fluxgym.folder / "sd-scripts")
    assert "No module named 'library'" in fluxgym.run().stderr


def test_fluxgym_listens_where_its_environment_says(fluxgym: Program) -> None:
    port = free_port()
    with fluxgym.running(port, GRADIO_SERVER_PORT=str(port)):
        assert get(port, "/")[0] == 200


def test_fluxgym_fetches_models_that_lack_their_exact_names(fluxgym: Program) -> None:
    (fluxgym.bin / "accelerate").write_text("#!/bin/sh\n")
    (fluxgym.bin / "accelerate").chmod(0o755)
    fluxgym.add_gpu()
    (fluxgym.folder / "models/unet/flux1-dev.sft").touch()
    port = free_port()
    with fluxgym.running(port, GRADIO_SERVER_PORT=str(port)):
        status, body = get(port, "/standin/train?name=x", "POST")
    assert status == 200
    assert "models/unet/flux1-dev.sft" not in json.loads(body)["downloaded"]
    assert (fluxgym.folder / "outputs/x/x.safetensors").exists()


@pytest.fixture
def comfyui(tmp_path: Path) -> Program:
    folder = tmp_path / "app"
    (folder / "models" / "checkpoints").mkdir(parents=True)
    shutil.copy(STANDINS / "images" / "comfyui.py", folder / "main.py")
    found = Program(folder, "main.py", {})
    # The real PyYAML, as in the image.
    (found.site / "yaml").symlink_to(Path(yaml.__file__).parent)
    return found


def test_comfyui_exits_without_a_gpu(comfyui: Program) -> None:
    assert "Found no NVIDIA driver" in comfyui.run().stderr


def test_comfyui_exits_when_its_paths_file_is_missing(comfyui: Program) -> None:
    result = comfyui.run("--cpu", "--extra-model-paths-config", "/missing.yaml")
    assert (result.returncode, "FileNotFoundError" in result.stderr) == (1, True)


def test_comfyui_lists_models_of_the_extra_paths(comfyui: Program, tmp_path: Path) -> None:
    (tmp_path / "store" / "unet").mkdir(parents=True)
    (tmp_path / "store" / "unet" / "b.safetensors").touch()
    config = tmp_path / "paths.yaml"
    config.write_text(f"store:\n  base_path: {tmp_path}/store\n  unet: |\n    unet\n    more\n")
    port = free_port()
    flags = ["--port", str(port), "--extra-model-paths-config", str(config)]
    outputs = ["--output-directory", str(tmp_path / "outputs")]
    with comfyui.running(port, "--cpu", *flags, *outputs):
        assert json.loads(get(port, "/models/diffusion_models")[1]) == ["b.safetensors"]
        assert get(port, "/system_stats")[0] == get(port, "/", "HEAD")[0] == 200
        status, message = upgrade(port, "/ws?clientId=1")
    assert (status, json.loads(message)["type"]) == (101, "status")
    assert (tmp_path / "outputs").is_dir()


@pytest.fixture
def ollama(tmp_path: Path) -> Program:
    folder = tmp_path / "app"
    folder.mkdir()
    shutil.copy(STANDINS / "ollama.py", folder)
    return Program(folder, "ollama.py", {})


def test_ollama_on_loopback_refuses_unknown_hosts(ollama: Program, tmp_path: Path) -> None:
    port = free_port()
    with ollama.running(port, "serve", OLLAMA_HOST=f"127.0.0.1:{port}"):
        assert get(port, "/") == (200, b"Ollama is running")
        assert get(port, "/api/version", Host="host.docker.internal:11434")[0] == 200
        assert get(port, "/api/version", Host="172.17.0.1:11434")[0] == 200
        assert get(port, "/api/version", Host="ollama:11434")[0] == 403
        assert get(port, "/api/version", Host="ollama.example.org")[0] == 403


def test_ollama_on_all_addresses_takes_every_host(ollama: Program) -> None:
    port = free_port()
    with ollama.running(port, "serve", OLLAMA_HOST=f"0.0.0.0:{port}"):
        assert get(port, "/", Host="ollama.example.org")[0] == 200


def test_ollama_exits_when_its_store_cannot_be_written(ollama: Program) -> None:
    result = ollama.run("serve", OLLAMA_MODELS="/proc/models")
    assert (result.returncode, result.stderr[:6]) == (1, "Error:")
