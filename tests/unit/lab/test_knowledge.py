"""The lab's parts for the stack knowledge-center: models, sources, images, a stand-in for vLLM."""

from __future__ import annotations

import ast
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from lab.upstream import knowledge, llamacpp
from lab.upstream.files import STANDINS
from tests.lab.tiny_model import model
from tests.unit.lab.test_mirror_standins import Program, free_port, get
from workstation import pins

ROOT = Path(__file__).parents[3]
PIN = pins.load(ROOT / "pins.yml").downloads["llamacpp"]


def test_the_tiny_model_is_the_same_each_time_and_small():
    """It begins like a GGUF file: version 3, with the number of its tensors and keys."""
    content = model()
    assert content == model()
    assert content[:4] == b"GGUF"
    assert struct.unpack_from("<IQQ", content, 4) == (3, 12, 16)
    assert len(content) < 200_000
    assert len(content) % 32 == 0


def test_llamacpp_is_compiled_as_the_stacks_dockerfile_does():
    """For any processor, with OpenBLAS, on one line."""
    flags = llamacpp.flags().split()
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AVX2=OFF", "-DGGML_BLAS=ON"} <= set(flags)
    assert all(flag.startswith("-D") for flag in flags)
    assert not [flag for flag in flags if "CUDA" in flag]


def test_the_source_hands_out_the_wheel_that_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It uses the interface of build backends (PEP 517), and needs nothing else installed."""
    wheel = tmp_path / f"llama_cpp_python-{PIN.version}-py3-none-manylinux_2_36_x86_64.whl"
    wheel.write_bytes(b"compiled")
    monkeypatch.setattr(llamacpp, "wheel", lambda cache, pin: wheel)
    source = llamacpp.source(tmp_path / "cache", PIN)
    assert source.name == f"llama_cpp_python-{PIN.version}.tar.gz"
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / source.name.removesuffix(".tar.gz")
    (tmp_path / "out").mkdir()
    code = f"import handout; print(handout.build_wheel({str(tmp_path / 'out')!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == wheel.name
    assert (tmp_path / "out" / wheel.name).read_bytes() == b"compiled"
    assert llamacpp.source(tmp_path / "cache", PIN) == source


def test_libraries_are_put_beside_those_of_the_wheel(tmp_path: Path):
    """The wheel's record lists them."""
    built, record = tmp_path / "a.whl", "llama_cpp_python-1.dist-info/RECORD"
    with zipfile.ZipFile(built, "w") as archive:
        archive.writestr("llama_cpp/lib/libllama.so", b"l")
        archive.writestr(record, "llama_cpp/lib/libllama.so,,\n")
    (tmp_path / "libopenblas.so.0").write_bytes(b"o")
    with tarfile.open(tmp_path / "beside.tar", "w") as tar:
        tar.add(tmp_path / "libopenblas.so.0", "./libopenblas.so.0")
    llamacpp._with_libraries(built, tmp_path / "beside.tar", tmp_path / "b.whl")
    with zipfile.ZipFile(tmp_path / "b.whl") as archive:
        assert archive.read("llama_cpp/lib/libopenblas.so.0") == b"o"
        assert archive.read(record).decode().splitlines() == [
            *("llama_cpp/lib/libllama.so,,", "llama_cpp/lib/libopenblas.so.0,,")
        ]


def test_the_stacks_images_are_those_that_are_added():
    """Except for those that every lab has."""
    known = yaml.safe_load((ROOT / "pins.yml").read_text())["images"]
    assert set(knowledge.IMAGES) == {"redis", "cuda", "vllm"} <= set(known)


def test_the_worker_is_complete_and_names_every_version():
    """Its index offers exactly these versions."""
    folder = STANDINS / "repos/knowledgecenter/worker"
    ast.parse((folder / "celery_app.py").read_text())
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert lines[0].startswith("celery[redis]==")
    assert all("==" in line for line in lines)


@pytest.fixture
def vllm(tmp_path: Path) -> Program:
    """The stand-in with a GPU and a model."""
    folder = tmp_path / "vllm"
    (folder / "model").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / "model" / name).write_text("{}")
    program = Program(folder, str(STANDINS / "images/vllm.py"), {})
    program.add_gpu()
    return program


def test_vllm_answers_for_the_model_that_it_was_given(vllm: Program):
    """Its health answer is empty; a request for another model fails with upstream's message."""
    port = free_port()
    path = str(vllm.folder / "model")
    flags = (path, "--host=127.0.0.1", f"--port={port}", "--max-model-len=64")
    with vllm.running(port, "serve", *flags):
        assert get(port, "/health") == (200, b"")
        assert path.encode() in get(port, "/v1/models")[1]
        assert get(port, "/v1/completions")[0] == 404


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("bin/nvidia-smi", "Found no NVIDIA driver"),
        ("vllm/model/config.json", "does not appear to have a file named config.json"),
        ("vllm/model/model.safetensors", "Cannot find any model weights"),
    ],
)
def test_vllm_exits_without_what_it_needs(vllm: Program, missing: str, said: str):
    """Without a GPU, or without a Hugging Face model."""
    (vllm.folder.parent / missing).unlink()
    done = vllm.run("serve", str(vllm.folder / "model"))
    assert done.returncode == 1
    assert said in done.stderr
