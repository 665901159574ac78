"""chat-to-3d's LLM service with a tiny model, by the real PyTorch and transformers, without a GPU.

Needs PyPI. CHAT_TO_3D_TORCH is the requirement of PyTorch if it is not to be the lock's.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.traefik import free_port
from tests.upstream.chat_to_3d import IMAGE, packages, until

pytestmark = pytest.mark.timeout(900)


class Service:
    """The service, and what it answers."""

    def __init__(self, python: Path, model: Path) -> None:
        self.address = f"http://127.0.0.1:{(port := free_port())}/v1"
        self.process = subprocess.Popen(
            [str(python), str(IMAGE / "llm_service.py")],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(model.parent),
                "PYTHONDONTWRITEBYTECODE": "1",
                "HF_HUB_OFFLINE": "1",
                "LLM_MODEL": str(model),
                "LLM_SERVICE_PORT": str(port),
            },
        )

    def ready(self) -> requests.Response:
        """Return whether it is ready."""
        return requests.get(f"{self.address}/health/ready", timeout=30)

    def chat(self, text: str = "hello", **values: Any) -> requests.Response:
        """Ask one question."""
        body = {"messages": [{"role": "user", "content": text}], **values}
        return requests.post(f"{self.address}/chat/completions", json=body, timeout=300)

    def said(self, **values: Any) -> str:
        """Return an answer's text."""
        text: str = self.chat(**values).json()["choices"][0]["message"]["content"]
        return text


def answers(service: Service) -> bool:
    try:
        return requests.get(f"{service.address}/health/live", timeout=30).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def python() -> Path:
    torch = os.environ.get("CHAT_TO_3D_TORCH", "torch==2.8.0")
    return packages(torch) / "bin/python"


@pytest.fixture(scope="module")
def model(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llm") / "model"
    program = Path(__file__).with_name("chat_to_3d_tiny_llm.py")
    subprocess.run([str(python), str(program), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def service(python: Path, model: Path) -> Iterator[Service]:
    made = Service(python, model)
    until(lambda: answers(made), "it lives", 120)
    until(lambda: made.ready().ok, "the model is loaded", 300)
    yield made
    made.process.kill()
    made.process.wait()


def test_the_same_seed_gives_the_same_answer_and_none_is_needed(service: Service):
    said = [service.said(seed=seed, max_tokens=8, temperature=0.9) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]
    first, second = (service.said(max_tokens=8, temperature=0) for _ in range(2))
    assert first == second


def test_what_it_used_is_told_and_a_cut_answer_says_so(service: Service):
    answer = service.chat(max_tokens=5, seed=1, user="user", top_p=0.9).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 5


def test_an_answer_ends_before_a_stop_sequence(service: Service):
    whole = service.said(max_tokens=30, temperature=0)
    stop = whole[4:6]
    answer = service.chat(max_tokens=30, temperature=0, stop=[stop]).json()["choices"][0]
    assert answer["message"]["content"] == whole[: whole.index(stop)]
    assert answer["finish_reason"] == "stop"


def test_a_stream_has_the_same_text(service: Service):
    whole = service.said(max_tokens=20, temperature=0)
    lines = service.chat(max_tokens=20, temperature=0, stream=True).text.split("\n\n")
    events = [line.removeprefix("data: ") for line in lines if line]
    assert events[-1] == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events[:-1]]
    assert "".join(one["delta"].get("content", "") for one in choices) == whole
    assert choices[-1]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"n": 2}, "n: "),
        ({"temperature": 9}, "temperature: "),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: "),
        ({"messages": [{"role": "user", "content": "x" * 4000}]}, "reads 2048 at most"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_openais_form(
    service: Service, values: dict[str, Any], says: str
):
    answer = service.chat(**values)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_who_has_gone_is_not_answered_on(service: Service):
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1900, "temperature": 0.9}
    with pytest.raises(requests.Timeout):
        requests.post(f"{service.address}/chat/completions", json=body, timeout=1)
    began = time.monotonic()
    assert service.chat(max_tokens=2).ok
    assert time.monotonic() - began < 15


def test_a_folder_that_is_missing_is_told(python: Path, tmp_path: Path):
    missing = Service(python, tmp_path / "none")
    try:
        until(lambda: answers(missing), "it lives", 120)
        until(lambda: "no config.json" in missing.ready().json()["message"], "it says so", 60)
        refused = missing.chat()
        assert (refused.status_code, "no config.json" in refused.text) == (503, True)
    finally:
        missing.process.kill()
        missing.process.wait()


def test_the_end_comes_in_the_middle_of_an_answer(service: Service):
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1900, "temperature": 0.9}
    with pytest.raises(requests.Timeout):
        requests.post(f"{service.address}/chat/completions", json=body, timeout=1)
    began = time.monotonic()
    service.process.terminate()
    service.process.wait(timeout=60)
    assert time.monotonic() - began < 10
