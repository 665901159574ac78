"""The stack knowledge-center: one address for two backends, and files for the document's
commands."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_templates import MIRROR, ROOT, data
from workstation import pins, settings
from workstation.acceptance.services import service_probes
from workstation.compose.actions import ProjectState
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack
from workstation.stack import Service

NAME = "knowledge-center"
FOLDER = ROOT / "templates/stacks" / NAME
BACKENDS = ["llamacpp", "vllm", "none"]
PASSWORD = "a$b\"c'd,e#f%g hä ö"


def render(gpu: bool = False, mirror: Mirror | None = None, **changes: Any) -> RenderedStack:
    values = {**settings.defaults(ROOT / "group_data/all.py"), "redis_password": PASSWORD}
    return StackRenderer(
        name=NAME,
        settings=settings.load(values),
        pins=pins.load(ROOT / "pins.yml"),
        mirror=mirror or Mirror(),
        data={**data(NAME), **changes},
        gpu=gpu,
    ).render()


def file(name: str, **how: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(render(**how).files[name])
    return content


def server(**how: Any) -> Service:
    return next(one for one in render(**how).model.services if one.name == "llm-server")


def refusal(**how: Any) -> str:
    with pytest.raises(UserError) as caught:
        render(**how)
    return str(caught.value)


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_documents_files_together_are_the_one_that_runs(backend: str, gpu: bool):
    """So its commands find everything already running."""
    whole = file("compose.yaml", llm_backend=backend, gpu=gpu)
    parts = file("docker-compose.yml", llm_backend=backend, gpu=gpu)
    if backend != "none":
        override = file(f"docker-compose.{backend}.yml", llm_backend=backend, gpu=gpu)
        for key, entries in override.items():
            parts[key] = {**parts[key], **entries}
    del whole["x-workstation"]  # the worker runs on the host, and Compose does not know about it
    assert parts == whole


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_three_files_are_there_whatever_runs(backend: str):
    """Partial templates are not copied."""
    names = {name for name in render(llm_backend=backend).files if "/" not in name}
    assert names == {
        *("compose.yaml", "docker-compose.yml"),
        *("docker-compose.llamacpp.yml", "docker-compose.vllm.yml"),
        *("backup.sh", "restore.sh"),
    }


def test_another_backend_changes_the_server_alone():
    """Its address stays, and so do Redis and its volume."""
    llamacpp, vllm = (file("compose.yaml", llm_backend=name) for name in ("llamacpp", "vllm"))
    for key in ("ports", "networks"):
        assert llamacpp["services"]["llm-server"][key] == vllm["services"]["llm-server"][key]
    assert llamacpp["services"]["redis"] == vllm["services"]["redis"]
    assert llamacpp["networks"] == vllm["networks"]
    assert set(llamacpp["volumes"]) == {"redis-data"} < set(vllm["volumes"])


def test_without_a_backend_there_is_redis_alone():
    """A running one is removed, because it is no longer in the file."""
    assert list(file("compose.yaml", llm_backend="none")["services"]) == ["redis"]


def test_an_unknown_backend_and_processor_are_refused_with_what_is_possible():
    """A misspelled name must not mean none."""
    assert refusal(llm_backend="vlm") == (
        "llm_backend in group_data/knowledge-center.py, or KNOWLEDGE_CENTER_LLM_BACKEND in .env "
        "is 'vlm' (did you mean vllm?): expected one of llamacpp, vllm, none."
    )
    assert "is 'x86-64-v5' (did you mean x86-64-v" in refusal(cpu="x86-64-v5")


def test_the_pins_of_a_backend_count_only_where_it_runs():
    """Preflight compares them with the card."""
    assert "images.vllm" not in render(gpu=True).pins_used
    assert "images.vllm" in render(gpu=True, llm_backend="vllm").pins_used
    assert "images.cuda" in render(gpu=True).pins_used
    assert "images.cuda" not in render(gpu=False).pins_used


def test_llamacpp_is_given_what_its_users_know():
    """Values are text, as in any environment; the file is looked up in the mounted store."""
    found = server(model_path="/models/a/b.gguf", n_ctx=8192, n_gpu_layers=-1)
    assert found.keys["environment"] == {
        "MODEL_PATH": "/models/a/b.gguf",
        "N_CTX": "8192",
        "N_GPU_LAYERS": "-1",
        "HOST": "0.0.0.0",
        "PORT": "8000",
    }
    (model,) = found.models
    assert model.path == "/vol/service/cw/storage-models/models/gguf/a/b.gguf"


def test_layers_on_a_gpu_and_vllm_need_one():
    """Preflight's finding says what to change instead."""
    assert not server().needs_gpu
    assert server(n_gpu_layers=20).needs_gpu == "set n_gpu_layers to 0"
    assert server(llm_backend="vllm").needs_gpu == "set llm_backend to llamacpp"
    for backend in ("llamacpp", "vllm"):
        assert server(llm_backend=backend, gpu=True).gpu
        assert not server(llm_backend=backend, gpu=False).gpu


def test_vllm_is_given_its_flags_and_memory_to_share():
    """The first argument is the model, because the image puts `vllm serve` in front."""
    keys = server(llm_backend="vllm", tensor_parallel_size=2, max_model_len=512).keys
    assert keys["command"] == [
        "/models/model",
        "--host=0.0.0.0",
        "--port=8000",
        "--tensor-parallel-size=2",
        "--gpu-memory-utilization=0.9",
        "--max-model-len=512",
    ]
    assert keys["shm_size"] == "16gb"


def test_a_model_outside_the_store_is_refused():
    """Its container would not see it."""
    assert "loads /srv/model.gguf, which is not in any folder" in refusal(
        model_path="/srv/model.gguf"
    )


def test_the_password_is_in_no_file():
    """It is a Compose secret in a separate file, which belongs to the image's user."""
    stack = render()
    for name, content in stack.files.items():
        assert PASSWORD.encode() not in content, name
    assert PASSWORD not in repr(stack)
    (secret,) = stack.model.secrets
    assert secret.path == f"/opt/stacks/{NAME}/secrets/redis_password"
    redis = next(one for one in stack.model.services if one.name == "redis")
    assert secret.owner == redis.keys["user"]
    assert redis.secrets == (secret.setting,)
    assert stack.secret(secret) == PASSWORD.encode()


@pytest.mark.parametrize("backend", ["llamacpp", "vllm"])
def test_acceptance_asks_the_server_for_its_health_where_its_users_do(backend: str):
    """Redis has no HTTP request, because it does not speak HTTP; neither can be reached from the
    LAN."""
    values = settings.load(settings.defaults(ROOT / "group_data/all.py"))
    found = render(llm_backend=backend).model
    probes = service_probes(found, ProjectState(), values, "token")
    assert [one.name for one in probes] == [
        f"{NAME}/redis does not answer on the LAN",
        f"{NAME}/llm-server answers on 127.0.0.1:8000",
        f"{NAME}/llm-server speaks plain HTTP",
        f"{NAME}/llm-server does not answer on the LAN",
    ]
    assert server(llm_backend=backend).probe == "/health"


def test_redis_leads_to_no_other_network():
    """One network is internal, the other has no address translation; ports are on loopback."""
    compose = file("compose.yaml")
    assert compose["networks"]["worker-network"] == {"internal": True}
    options = compose["networks"]["loopback"]["driver_opts"]
    assert options == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert list(compose["services"]["redis"]["networks"]) == list(compose["networks"])


def dockerfile(**how: Any) -> str:
    return render(**how).files["llamacpp/Dockerfile"].decode().replace("\\\n", "")


@pytest.mark.parametrize(
    ("cpu", "on"),
    [
        ("x86-64-v1", set()),
        ("x86-64-v2", {"SSE42"}),
        ("x86-64-v3", {"SSE42", "AVX", "AVX2", "BMI2", "F16C", "FMA"}),
        ("x86-64-v4", {"SSE42", "AVX", "AVX2", "BMI2", "F16C", "FMA", "AVX512"}),
    ],
)
def test_each_extension_of_the_processor_is_switched_on_or_off(cpu: str, on: set[str]):
    """GGML turns on everything that is not named; NATIVE would mean the machine that compiles."""
    flags = dict(re.findall(r"-DGGML_(\w+)=(ON|OFF)", dockerfile(cpu=cpu)))
    assert flags.pop("NATIVE") == "OFF"
    assert (flags.pop("BLAS"), "CUDA" in flags) == ("ON", False)
    assert {name for name, state in flags.items() if state == "ON"} == on
    assert len(flags) == 7


def test_the_image_is_compiled_with_cuda_where_there_is_a_gpu():
    """In a devel image, for an image without a compiler; otherwise with OpenBLAS, whose presence is
    checked."""
    cuda, cpu = dockerfile(gpu=True), dockerfile(gpu=False)
    assert "-DGGML_CUDA=ON" in cuda
    assert "LLAMA_CUBLAS" not in cuda
    assert re.findall(r"^FROM (\S+)", cuda, re.MULTILINE) == [
        "docker.io/nvidia/cuda:12.8.1-devel-ubuntu22.04",
        "docker.io/library/python:3.11-slim-bookworm",
    ]
    assert "openblas" not in cuda
    assert "-DGGML_BLAS_VENDOR=OpenBLAS" in cpu
    assert "grep libopenblas" in cpu
    assert "nvidia" not in cpu


def test_llama_cpp_is_compiled_for_any_card_or_for_one():
    """89-real is CMake's name for machine code without PTX."""
    assert "CMAKE_CUDA_ARCHITECTURES" not in dockerfile(gpu=True)
    assert " -DCMAKE_CUDA_ARCHITECTURES=89-real " in dockerfile(gpu=True, cuda="8.9")
    assert "CUDA" not in dockerfile(gpu=False, cuda="8.9")


def test_what_is_compiled_is_pinned_by_version_and_hash():
    """Its tag also contains the version."""
    pin = pins.load(ROOT / "pins.yml").downloads["llamacpp"]
    assert f"llama-cpp-python=={pin.version} --hash=sha256:{pin.sha256}" in dockerfile()
    assert server().image.startswith(f"{NAME}/llamacpp:{pin.version}-")
    assert "llama-cpp-python" not in render().files["llamacpp/requirements.lock"].decode()


@pytest.mark.parametrize("gpu", [True, False])
def test_with_a_mirror_the_build_asks_no_other_server(gpu: bool):
    """Neither for packages nor for images."""
    text = dockerfile(gpu=gpu, mirror=MIRROR)
    used = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    hosts = set(re.findall(r"https?://([^/\s|\\]+)", used))
    assert hosts <= {"192.0.2.5", "deb.debian.org"}
    for line in used.splitlines():
        if line.startswith(("FROM ", "COPY --from=")):
            assert re.search(r"(FROM |=)(192\.0\.2\.5/|build )", line), line


def test_the_docs_name_what_is_pinned_and_each_setting():
    """If a version or a setting changes, the documents must change too."""
    text = (ROOT / "docs/knowledge-center.md").read_text()
    found = pins.load(ROOT / "pins.yml")
    assert f"`redis:{found.images['redis'].tag}`" in text
    assert f"`vllm/vllm-openai:{found.images['vllm'].tag}`" in text
    assert f"llama-cpp-python {found.downloads['llamacpp'].version};" in text
    for setting in data(NAME):
        upper = f"KNOWLEDGE_CENTER_{setting}".upper()
        assert f"`{setting}`" in text or upper in text or setting.upper() in text, setting


class TestServe:
    """The program in the image, as far as it needs no model."""

    program = runpy.run_path(str(FOLDER / "llamacpp/serve.py"))

    def test_a_missing_model_is_told_with_those_that_are_there(self, tmp_path: Path):
        (tmp_path / "other.gguf").touch()
        problem = self.program["model_problem"](tmp_path / "model.gguf")
        assert problem.startswith(f"{tmp_path}/model.gguf is not there: set MODEL_PATH")
        assert "other.gguf" in problem

    @pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"<!DOCTYPE html>"])
    def test_a_file_of_another_kind_is_told(self, tmp_path: Path, content: bytes):
        (tmp_path / "model.gguf").write_bytes(content)
        assert "is no GGUF file" in self.program["model_problem"](tmp_path / "model.gguf")

    def test_a_gguf_file_will_do(self, tmp_path: Path):
        (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\0\0\0")
        assert self.program["model_problem"](tmp_path / "model.gguf") == ""

    def test_a_processor_that_lacks_something_is_told(self):
        cpuinfo = "processor : 0\nflags : fpu sse2 pni sse4_2 avx\n"
        problem = self.program["processor_problem"]
        assert problem("x86-64-v1", "") == problem("x86-64-v2", cpuinfo) == ""
        assert "has no avx2, bmi2, f16c, fma: set cpu" in problem("x86-64-v3", cpuinfo)

    def test_layers_without_a_gpu_are_told(self):
        problem = self.program["gpu_problem"]
        assert "N_GPU_LAYERS is -1, and there is no GPU" in problem("-1", False)
        assert problem("-1", True) == problem("0", False) == problem("", False) == ""

    def test_the_levels_are_those_of_the_dockerfile(self):
        levels = list(runpy.run_path(str(FOLDER / "llamacpp/serve.py"))["_ADDED"])
        assert refusal(cpu="x86-64").endswith(f"expected one of {', '.join(levels)}.")
        for level in levels:
            assert f"LLAMA_CPU={level}" in dockerfile(cpu=level)


class TestRedisScripts:
    """The scripts that run in containers, with stand-ins for Redis' programs."""

    def run(self, tmp_path: Path, script: str, **programs: str) -> subprocess.CompletedProcess[str]:
        for name, text in programs.items():
            program = tmp_path / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        (tmp_path / "redis_password").write_text(PASSWORD)
        text = (FOLDER / "redis" / script).read_text()
        text = re.sub("/(run/secrets|tmp)/", f"{tmp_path}/", text)
        return subprocess.run(
            ["sh", "-c", text],
            capture_output=True,
            text=True,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )

    def test_redis_knows_the_password_by_its_hash(self, tmp_path: Path):
        """sha256, in the form that Redis accepts (ACL SETUSER, `#`), so any character is
        possible."""
        done = self.run(tmp_path, "start.sh", redis_server='echo "$@"')
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [
            *("/etc/redis/redis.conf", "--aclfile", f"{tmp_path}/users.acl")
        ]
        # printf %s "$PASSWORD" | sha256sum
        digest = "7cacfe8f9d5a2df8a3dc8914f81f0b2ee7bb95de2ab1eab3d4c2b7d7c00e5f35"
        assert (tmp_path / "users.acl").read_text() == f"user default on #{digest} ~* &* +@all\n"
        assert (tmp_path / "users.acl").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        ("answer", "healthy"),
        [("PONG", True), ("NOAUTH Authentication required.", False), ("LOADING", False)],
    )
    def test_only_a_pong_is_healthy(self, tmp_path: Path, answer: str, healthy: bool):
        """redis-cli itself exits with 0 for each of them."""
        done = self.run(tmp_path, "healthy.sh", redis_cli=f"echo '{answer}'")
        assert (done.returncode == 0) is healthy

    def test_the_check_gives_the_password_as_it_is(self, tmp_path: Path):
        """It is only in the environment of redis-cli."""
        self.run(tmp_path, "healthy.sh", redis_cli=f'printf %s "$REDISCLI_AUTH" >{tmp_path}/given')
        assert (tmp_path / "given").read_text() == PASSWORD
