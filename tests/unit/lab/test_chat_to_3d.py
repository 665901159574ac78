"""The lab's parts for chat-to-3d: a model that writes lists, a NIM that makes cubes, packages."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.upstream import chat_to_3d, knowledge, pypi
from lab.upstream.files import STANDINS
from tests.lab import gguf, tiny_model

ROOT = Path(__file__).parents[3]
REPOSITORY = STANDINS / "repos/chat_to_3d"
NAMES = ["Chair", "Oak Table", "Lamp"]


class Read:
    """A GGUF file's tokens and the two tables of a ``list_model``."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 24
        _, tensors, values = struct.unpack_from("<IQQ", content, 4)
        self.values = dict(self._entry() for _ in range(values))
        self.tokens = [text.replace("▁", " ") for text in self.values["tokenizer.ggml.tokens"]]
        places = dict(self._tensor() for _ in range(tensors))
        start = -(-self._at // 32) * 32
        self._tables = {}
        for name, (shape, offset) in places.items():
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            self._tables[name] = struct.unpack_from(f"<{count}f", content, start + offset)
        self._width = places["output.weight"][0][0]

    def row(self, name: str, token: int) -> Sequence[float]:
        """Return a token's row of a table."""
        return self._tables[name][token * self._width : (token + 1) * self._width]

    def zero(self, name: str) -> bool:
        """Return whether a tensor has no other number than 0."""
        return not any(self._tables[name])

    def after(self, token: int) -> int:
        """Return the token that the model puts after another, with neither block nor norm."""
        state = self.row("token_embd.weight", token)
        logits = [
            sum(a * b for a, b in zip(state, self.row("output.weight", one), strict=True))
            for one in range(len(self.tokens))
        ]
        best = max(logits)
        # At a temperature of 1, a token 30 below is as likely as one in ten million million.
        assert sum(best - logit < 30 for logit in logits) == 1
        return logits.index(best)

    def answer(self, last: str) -> str:
        """Return what is written after a prompt that ends with a token."""
        token, text = self.after(self.tokens.index(last)), ""
        while token != gguf.EOS:
            text += self.tokens[token]
            token = self.after(token)
        return text

    def _take(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return value

    def _text(self) -> str:
        size = self._take("<Q")
        self._at += size
        return self._content[self._at - size : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == 8:
            return self._text()
        if kind == 9:
            of, count = self._take("<I"), self._take("<Q")
            return [self._value(of) for _ in range(count)]
        return self._take({4: "<I", 5: "<i", 6: "<f"}[kind])

    def _entry(self) -> tuple[str, Any]:
        name = self._text()
        return name, self._value(self._take("<I"))

    def _tensor(self) -> tuple[str, tuple[list[int], int]]:
        name, dimensions = self._text(), self._take("<I")
        shape = [self._take("<Q") for _ in range(dimensions)]
        assert self._take("<I") == 0
        return name, (shape, self._take("<Q"))


def test_the_list_model_writes_its_list_after_anything_and_ends():
    """Whatever the prompt's last token is; after a question mark, it says that it was a question.
    Nothing but the last token counts, because the block adds nothing."""
    found = Read(tiny_model.list_model(NAMES))
    assert found.answer(".") == "1. Chair\n2. Oak Table\n3. Lamp\n"
    assert found.answer("<0x0A>") == found.answer("z") == found.answer(" ") == found.answer(".")
    assert found.answer("?") == "QUESTION"
    for name in ("attn_v", "attn_output", "ffn_down"):
        assert found.zero(f"blk.0.{name}.weight")
    assert found.values["llama.context_length"] == 4096


def test_the_list_models_lines_are_no_tokens_of_prompts():
    """A tokenizer joins letters to tokens step by step, and no step towards a line is a token: so
    a prompt that contains the list does not end with one of its tokens."""
    tokens = gguf.letters()
    assert all(len(token) == 1 or token[0] == "<" for token in tokens)


@pytest.fixture
def nim(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in NIM's module."""
    monkeypatch.syspath_prepend(STANDINS)
    path = STANDINS / "chat_to_3d/trellis.py"
    spec = importlib.util.spec_from_file_location("trellis_standin", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    return module


def test_a_cube_is_a_valid_file_in_its_color(nim: Any):
    """Lengths and alignment are right, and indices lie in what they index."""
    content = nim.glb((0.5, 0.25, 1.0))
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert (kind, size % 4) == (b"JSON", 0)
    document = json.loads(content[20 : 20 + size])
    color = document["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    assert color == [0.5, 0.25, 1.0, 1.0]
    rest, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert (kind, 28 + size + rest) == (b"BIN\0", len(content))
    assert document["buffers"][0]["byteLength"] == rest
    corners, indices = document["accessors"]
    place = 28 + size + document["bufferViews"][1]["byteOffset"]
    found = struct.unpack_from(f"<{indices['count']}H", content, place)
    assert set(found) == set(range(corners["count"]))
    # Each edge belongs to two triangles, once in each direction: the surface is closed.
    edges = [
        edge
        for at in range(0, len(found), 3)
        for edge in ((found[at], found[at + 1]), (found[at + 1], found[at + 2]))
    ]
    edges += [(found[at + 2], found[at]) for at in range(0, len(found), 3)]
    assert {(b, a) for a, b in edges} == set(edges)
    assert len(edges) == len(set(edges)) == 36


def test_a_nim_asks_for_its_key_first(tmp_path: Path):
    """In the words that NVIDIA's end with."""
    done = subprocess.run(
        [sys.executable, "-B", str(STANDINS / "chat_to_3d/trellis.py")],
        env={"PYTHONPATH": str(STANDINS), "NGC_API_KEY": " ", "NIM_CACHE_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Authentication Error" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_nim_does_what_a_test_asks_for(nim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It loads first, refuses what is no picture, and fails as it is told to."""
    monkeypatch.setattr(nim, "CACHE", tmp_path)
    monkeypatch.setattr(nim, "average", lambda contents: (contents[0] / 255, 0, 0))
    (tmp_path / "lab.json").write_text('{"load": 60}')

    def ask(image: str) -> tuple[int, Any]:
        body = json.dumps({"image": image, "seed": 7}).encode()
        status, answer = served.infer(nim.Request("POST", "/v1/infer", {}, body))
        return status, answer

    picture = "data:image/png;base64," + base64.b64encode(b"\xff").decode()
    served = nim.Nim()
    assert served.ready(None)[0] == ask(picture)[0] == 503
    (tmp_path / "lab.json").write_text('{"load": 0, "reason": "CONTENT_FILTERED"}')
    served = nim.Nim()
    assert served.ready(None)[0] == 200
    filtered = {"base64": "", "finishReason": "CONTENT_FILTERED", "seed": 7}
    assert ask(picture) == (200, {"artifacts": [filtered]})
    (tmp_path / "lab.json").unlink()
    (artifact,) = ask(picture)[1]["artifacts"]
    assert base64.b64decode(artifact["base64"]) == nim.glb((1.0, 0, 0))
    assert (artifact["finishReason"], artifact["seed"]) == ("SUCCESS", 7)
    assert ask("text")[0] == ask("data:image/png;base64,!")[0] == 422
    (tmp_path / "lab.json").write_text('{"status": 500}')
    assert ask(picture)[0] == 500


def wheel(folder: Path, name: str, needs: Sequence[str] = ()) -> Path:
    """Write a wheel of a package of version 1 that needs others."""
    path = folder / f"{name}-1-py3-none-any.whl"
    lines = "".join(f"Requires-Dist: {one}\n" for one in needs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.dist-info/METADATA", f"Name: {name}\n{lines}\nA text: x\n")
        archive.writestr(f"{name}/vendored-2.dist-info/METADATA", "Requires-Dist: torch\n")
    return path


def test_packages_are_real_if_the_page_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Directly or not; what only an extra would add is a stand-in, as is what is not needed."""
    lock = tmp_path / "requirements.lock"
    names = ("gradio", "ruff-like", "deep", "torch", "diffusers")
    hashes = " \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    lock.write_text("# a comment\n" + "".join(f"{name}==1{hashes}" for name in names))
    needs = {
        "gradio": ["ruff_like>=1", 'torch; extra == "gpu"', "absent<2"],
        "ruff-like": ['deep[a]; python_version >= "3.8"'],
        "deep": ["gradio"],
    }
    asked: list[str] = []

    def download(arguments: Sequence[str], folder: Path) -> None:
        text = Path(arguments[1]).read_text()
        asked.extend(re.findall("^(.+)==1 .$", text, re.MULTILINE))
        assert text.count("--hash=sha256:") == 2 * text.count("==1")
        for name in re.findall("^(.+)==", text, re.MULTILINE):
            wheel(folder, name.replace("-", "_"), needs[name])

    monkeypatch.setattr(chat_to_3d, "download", download)
    real = chat_to_3d.wheels(lock, tmp_path / "cache")
    assert asked == ["gradio", "ruff-like", "deep"]
    assert [one.name.partition("-")[0] for one in real] == ["deep", "gradio", "ruff_like"]
    empty = chat_to_3d.empty_packages(lock, real)
    assert {"torch", "diffusers"} <= set(empty)
    assert not {"gradio", "ruff-like", "deep"} & set(empty)


def test_an_index_keeps_the_stand_ins_of_another_stack(tmp_path: Path):
    """Both stacks' images are built from it."""
    pypi.offer(tmp_path, {"torch": ["2.8.0"], "spandrel": ["0.4.1"]})
    pypi.offer(tmp_path, {"torch": ["2.9.0", "2.8.0"]})
    assert json.loads((tmp_path / "pins.json").read_text()) == {
        "torch": ["2.8.0", "2.9.0"],
        "spandrel": ["0.4.1"],
    }


def test_what_the_stack_pulls_and_clones_is_pinned():
    """And the images come from where the mirror's are."""
    pins = yaml.safe_load((ROOT / "pins.yml").read_text())
    assert pins["images"]["trellis_nim"]["name"] == "nvcr.io/nim/microsoft/trellis"
    assert pins["sources"]["chat_to_3d"]["url"].startswith("https://github.com/")
    assert knowledge.INDEX != "pypi"


@pytest.mark.parametrize(
    ("file", "defect"),
    [
        ("app.py", r"port=12345"),
        ("app.py", r"os\._exit\(0\)"),
        ("app.py", r"_in_workspace_mode and current_counter == 0"),
        ("app.py", r"model_3d_service = Model3DService\(\)\n    delete_assets_dir\(\)"),
        ("app.py", r'server_name="127\.0\.0\.1", server_port=7860'),
        ("app.py", r"signal\.signal\(signal\.SIGTERM"),
        ("app.py", r"_run_in_background\(\"nim_llm\""),
        ("config.py", r'AGENT_BASE_URL = "http://localhost:19002/v1"'),
        ("config.py", r"mkdir\(parents=True"),
        ("nim_llm/manager.py", r"podman"),
        ("nim_trellis/manager.py", r"podman"),
        ("services/agent_service.py", r"AGENT_BASE_URL = config\.AGENT_BASE_URL"),
        ("services/agent_service.py", r"except Exception as error:\n.*\n            return \[\]"),
        ("services/guardrail_service.py", r"skipping content check"),
        ("services/image_generation_service.py", r'torch\.Generator\("cuda"\)'),
        ("services/image_generation_service.py", r'move_sana_pipeline_to_device\("cuda:0"\)'),
        ("services/model_3d_service.py", r'base_url="http://localhost:8000"'),
        ("services/model_3d_service.py", r"self\.timeout = 300"),
        ("components/image_card.py", r'print\(f"Failed to generate 3D model'),
    ],
)
def test_the_repository_has_upstreams_defects(file: str, defect: str):
    """Whoever removes one makes the lab's tests weaker: our launcher has to correct it."""
    assert re.search(defect, (REPOSITORY / file).read_text())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("torch.Generator('cuda')", "Found no NVIDIA driver"),
        ("diffusers.SanaSprintPipeline.from_pretrained('a/b')", "is not cached locally"),
        ("transformers.pipeline('text-classification', model='a/b')", "config.json"),
        ("diffusers.SanaSprintPipeline().to('cuda:0')", "Found no NVIDIA driver"),
    ],
)
def test_libraries_fail_as_the_real_ones_do(code: str, said: str):
    """Without a GPU, and without a model."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"import torch, diffusers, transformers; {code}"],
        env={"PYTHONPATH": str(STANDINS / "python"), "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]


def test_the_card_has_the_memory_that_its_driver_says(tmp_path: Path):
    """The page frees memory of small cards alone."""
    code = "import torch; print(torch.cuda.get_device_properties(0).total_memory >> 20)"
    tools = ROOT / "lab/guest/usr/bin"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={"PYTHONPATH": str(STANDINS / "python"), "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "97887\n"


def test_one_word_makes_a_prompt_unsafe(tmp_path: Path):
    """Everything else is safe."""
    (tmp_path / "config.json").write_text("{}")
    code = (
        "import sys, transformers as t; judge = t.pipeline('text-classification', sys.argv[1]);"
        " print(judge('a chair')[0]['label'], judge(f'a {t.UNSAFE} chair')[0]['label'])"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path)],
        env={"PYTHONPATH": str(STANDINS / "python")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["SAFE", "NSFW"]
