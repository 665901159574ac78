"""chat-to-3d's page on a machine whose GPU has no room for the LLM beside pictures and 3D."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.upstream.chat_to_3d import Container, packages

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    made = Container(tmp_path, packages(), STUB_GPU="24", LLM_BACKEND="transformers")
    made.llm.start()
    made.trellis.start()
    made.start()
    yield made
    made.end()


def test_the_llm_makes_room_for_pictures_and_comes_back_for_the_next_scene(container: Container):
    first, second = container.tab(), container.tab()
    _, _, tip = first.do("handle_scene_input", "hello")
    assert "please describe" in tip["value"]
    first.do("stop_llm_container")
    assert "llm-service" in container.pids(), "without a scene there is nothing to make room for"
    first.scene()
    assert len(first.pictures()) == 2
    assert "llm-service" not in container.pids()
    assert container.tool("healthy.py").returncode == 0
    spinner, status, chat, *_ = second.do("check_services_health")
    assert (spinner["visible"], chat["visible"]) == (False, True)
    assert "LLM: starts with the next scene" in status["value"]
    second.scene()
    assert "llm-service" in container.pids()
    assert len(first.model()) == 1
    assert "llm-service" not in container.pids()
    assert len(second.pictures()) == 2
    assert {one["name"]: one["ok"] for one in container.check()}["chat-to-3d: llm-service"]
    first.do("go_to_first_screen")
    container.wait()
    assert not (container.folder / "run/llm-service.stopped-by-page").exists()
    container.ctl("stop", "llm-service")
    assert container.tool("healthy.py").stdout == "llm-service is STOPPED\n"
