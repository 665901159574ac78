"""chat-to-3d's programs with upstream's source, the real Gradio, griptape and supervisord: what
users see, also when parts fail.

Needs PyPI and the source (``chat_to_3d.source``). Ten minutes at most.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.upstream.chat_to_3d import IMAGE, PROGRAMS, Container, packages, until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def programs() -> Path:
    return packages()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[Container]:
    container = Container(tmp_path_factory.mktemp("chat-to-3d"), programs)
    container.llm.start()
    container.trellis.start()
    container.start()
    yield container
    container.end()


@pytest.fixture
def container(started: Container) -> Container:
    """Everything as it was in the beginning."""
    for server in (started.llm, started.trellis):
        server.slow = 0
        server.asked.clear()
        server.end()
        server.start()
    started.llm.objects = ("Red Chair", "Coffee Table")
    started.trellis.finish = "SUCCESS"
    (started.folder / "pictures").write_text("0")
    started.wait()
    # Answers of the services' health hold for some seconds.
    time.sleep(4)
    return started


def test_a_sentence_becomes_a_glb_file_and_nothing_of_it_is_left(container: Container):
    before = set(container.made())
    found = container.check()
    assert [one["ok"] for one in found] == [True] * len(found), found
    *_, last = found
    assert re.fullmatch(
        r"2 objects in [\d.]+ s, 2 pictures in [\d.]+ s, a GLB file of \d+ bytes in [\d.]+ s",
        last["evidence"],
    )
    assert set(container.made()) == before


def test_acceptance_does_not_disturb_whoever_uses_the_page(container: Container):
    tab = container.tab()
    (container.folder / "pictures").write_text("10")
    tab.scene()
    work = threading.Thread(target=tab.pictures)
    work.start()
    try:
        until(lambda: "page has been at work" in said(container), "the check sees the work")
    finally:
        (container.folder / "pictures").write_text("0")
        work.join()
    assert "somebody used the page" in said(container)
    (container.folder / "run/page-in-use").unlink()


def said(container: Container) -> str:
    evidence: str = container.check()[-1]["evidence"]
    return evidence.replace("page, which", "page")


def test_the_documents_endpoints_answer(container: Container):
    llm, trellis = container.address("llm-service"), container.address("trellis-service")
    for url in (f"{llm}/v1/health/", f"{trellis}/v1/health/"):
        for name in ("live", "ready"):
            assert requests.get(url + name, timeout=10).status_code == 200
    assert requests.get(f"{llm}/v1/models", timeout=10).json()["data"][0]["id"] == "scripted"
    body = {"model": "any", "messages": [{"role": "user", "content": "hello"}], "seed": 1}
    answer = requests.post(f"{llm}/v1/chat/completions", json=body, timeout=10).json()
    assert answer["choices"][0]["message"]["content"] == "I was not scripted for this."
    assert container.llm.asked[-1] == {**body, "model": "scripted"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_killed_comes_back_and_the_others_go_on(container: Container, name: str):
    before = container.pids()
    os.kill(before[name], signal.SIGKILL)
    until(lambda: container.tool("healthy.py").returncode == 1, "it is unhealthy", 30)
    assert name in container.tool("healthy.py").stdout
    container.wait()
    after = container.pids()
    assert after.pop(name) != before.pop(name)
    assert after == before


def test_a_reload_and_a_second_tab_change_nothing_for_the_first(container: Container):
    before = container.pids()
    first = container.tab()
    first.scene()
    reloaded = container.tab()
    spinner, status, chat, _, timer = reloaded.do("check_services_health")
    assert (spinner["visible"], chat["visible"], timer["active"]) == (False, True, True)
    assert "LLM: ready" in status["value"]
    *_, chat, _, timer = first.do("check_services_health")
    assert (chat["visible"], timer["active"]) == (False, False)
    reloaded.do("go_to_first_screen")
    assert len(first.pictures()) == 2
    assert first.do("update_start_over_state")[0]["visible"] is True
    assert len(first.model()) == 1
    assert container.pids() == before


def test_work_of_two_tabs_is_done_one_after_another(container: Container):
    container.llm.slow = 0.5
    tabs = [container.tab(), container.tab()]
    sentences = ("A lighthouse", "A cavern")
    threads = [
        threading.Thread(target=tab.scene, args=[sentence])
        for tab, sentence in zip(tabs, sentences, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = ["\n".join(str(m["content"]) for m in one["messages"]) for one in container.llm.asked]
    seen = [tuple(word for word in ("lighthouse", "cavern") if word in text) for text in asked]
    assert sorted(seen) in (seen, seen[::-1]), seen
    assert set(seen) == {("lighthouse",), ("cavern",)}
    assert [len(tab.pictures()) for tab in tabs] == [2, 2]


def test_a_greeting_is_answered_and_is_no_scene(container: Container):
    _, _, tip = container.tab().do("handle_scene_input", "hello")
    assert "please describe a scene" in tip["value"]


def test_an_llm_that_is_away_is_told_with_its_address_and_may_come_back(container: Container):
    container.llm.end()
    tab = container.tab()
    began = time.monotonic()
    text, _, tip = tab.do("handle_scene_input", "A <b>beach</b>")
    assert time.monotonic() - began < 20
    assert f"LLM_URL http://127.0.0.1:{container.llm.port}/v1 cannot be reached" in tip["value"]
    assert text == "A <b>beach</b>"
    spinner, _, chat, _, _ = tab.do("check_services_health")
    assert (spinner["visible"], chat["visible"]) == (True, False)
    assert "cannot be reached" in spinner["value"]
    found = {one["name"]: one for one in container.check()}["chat-to-3d: llm-service is ready"]
    assert (found["ok"], "cannot be reached" in found["evidence"]) == (False, True)
    container.llm.start()
    until(lambda: tab.do("check_services_health")[2]["visible"], "the page can be used")
    tab.scene()
    assert len(tab.pictures()) == 2


def test_an_llm_that_fails_in_the_middle_ends_the_scene_with_its_reason(container: Container):
    container.llm.slow = 0.7
    ending = threading.Timer(1.5, container.llm.end)
    ending.start()
    _, _, tip = container.tab().do("handle_scene_input", "A beach")
    assert "LLM_URL" in tip["value"], tip


def test_a_scene_survives_the_end_of_the_llm_service(container: Container):
    container.llm.slow = 0.7
    killed = container.pids()["llm-service"]
    threading.Timer(1.2, os.kill, [killed, signal.SIGKILL]).start()
    tab = container.tab()
    tab.scene()
    assert len(tab.pictures()) == 2
    assert container.pids()["llm-service"] != killed


def test_an_answer_without_a_list_is_told(container: Container):
    container.llm.objects = ()
    _, _, tip = container.tab().do("handle_scene_input", "A beach")
    assert "has no numbered list" in tip["value"]


def test_3d_that_is_away_slow_or_refuses_says_so_on_the_page(container: Container):
    tab = container.tab()
    tab.scene()
    tab.pictures()
    container.trellis.slow = 20
    assert tab.model() == []
    assert "took longer than 5 s (TIMEOUT_3D)" in tab.shown[-1]
    container.trellis.slow = 0
    container.trellis.end()
    time.sleep(4)
    assert tab.model() == []
    assert f"TRELLIS_URL http://127.0.0.1:{container.trellis.port} cannot be" in tab.shown[-1]
    spinner, status, *_ = container.tab().do("check_services_health")
    assert (spinner["visible"], "cannot be reached" in status["value"]) == (False, True)
    container.trellis.finish = "CONTENT_FILTERED"
    container.trellis.start()
    time.sleep(4)
    assert tab.model() == []
    container.trellis.finish = "SUCCESS"
    assert len(tab.model(1)) == 1


def test_pictures_that_fail_are_told_and_leave_no_button_that_waits(container: Container):
    container.ctl("restart", "gradio-app")
    container.wait()
    (container.folder / "pictures").write_text("fail: no weights")
    tab = container.tab()
    tab.scene()
    assert tab.pictures() == []
    assert any("cannot be loaded: OSError: fail: no weights" in text for text in tab.shown)
    buttons = [one for one in tab.do("shift_card_ui") if "→ 3D" in str(one)]
    assert [one["interactive"] for one in buttons[:2]] == [False, False]
    (container.folder / "pictures").write_text("0")
    tab.do("immediate_disable_buttons")
    tab.do("perform_image_refresh")
    assert len(tab.model()) == 1


def test_names_of_objects_are_parts_of_no_path_and_too_many_are_dropped(container: Container):
    container.llm.objects = ("**TV / Radio**", "x" * 300, "A", "B")
    tab = container.tab()
    tab.scene()
    made = tab.pictures()
    assert [Path(one).name.rsplit("_", 3)[0] for one in made] == ["tv_radio", "x" * 80, "a"]
    assert len(tab.model()) == 1
    tab.do("export_3d_assets_to_folder", "../../my scene")
    assert (container.outputs / "exports/my_scene/TV_Radio.glb").is_file()
    assert "1 objects are in" in tab.shown[-1]


def test_what_was_made_is_still_there_after_a_restart(container: Container):
    tab = container.tab()
    tab.scene()
    tab.pictures()
    (made,) = tab.model()
    before = set(container.made())
    assert Path(made) in before
    container.ctl("restart", "all")
    container.wait()
    assert set(container.made()) == before


def test_supervisorctl_does_what_the_document_writes(container: Container):
    assert set(container.pids()) == {*PROGRAMS, "relay"}
    assert container.ctl("stop", "trellis-service") == "trellis-service: stopped\n"
    assert container.tool("healthy.py").stdout == "trellis-service is STOPPED\n"
    assert container.ctl("start", "trellis-service") == "trellis-service: started\n"
    assert "started" in container.ctl("restart", "gradio-app")
    assert "Uvicorn running" in container.ctl("tail", "llm-service", "stderr")
    container.wait()
    assert "Updating gallery UI" in container.ctl("tail", "gradio-app", "stdout")
    for name in PROGRAMS:
        for channel in ("out", "err"):
            assert (container.folder / f"log/{name}.{channel}.log").is_file()


def test_the_containers_log_has_every_line_after_its_programs_name(container: Container):
    lines = container.log.read_text().splitlines()
    form = re.compile(r"^(\d{4}-\d\d-\d\d |(llm-service|trellis-service|gradio-app) \| )")
    assert [line for line in lines if line and not form.match(line)] == []
    for name in PROGRAMS:
        assert any(line.startswith(f"{name} | ") for line in lines)


def test_nothing_listens_on_upstreams_port_and_no_other_program_is_started(container: Container):
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 12345)) != 0
    page = container.pids()["gradio-app"]
    assert not Path(f"/proc/{page}/task/{page}/children").read_text()


def test_a_program_that_loops_is_shown_with_its_last_lines(container: Container):
    own = container.folder / "programs/own.conf"
    text = (IMAGE / "programs/own.conf").read_text().replace("; [", "[").replace("\n; ", "\n")
    section = container.adapted(text[text.index("[program") :])
    own.write_text(section.replace("new_service.py", "no_service.py"))
    container.ctl("update")
    try:
        until(lambda: "new-service" in container.tool("healthy.py").stdout, "it is unhealthy")
        found = {one["name"]: one for one in container.check()}["chat-to-3d: new-service"]
        assert (found["ok"], "No such file" in found["evidence"]) == (False, True), found
    finally:
        own.unlink()
        container.ctl("update")


def test_the_end_comes_at_once_in_the_middle_of_work_with_an_open_page(container: Container):
    tab = container.tab()
    (container.folder / "pictures").write_text("60")
    tab.scene()
    stream = requests.get(f"{container.address()}/gradio_api/heartbeat/x", stream=True, timeout=60)

    def lost() -> None:
        with pytest.raises((AssertionError, requests.RequestException)):
            tab.pictures()

    work = threading.Thread(target=lost)
    work.start()
    until(lambda: (container.folder / "run/page-in-use").read_text() == "busy", "it is at work")
    took = container.stop()
    stream.close()
    work.join()
    assert took < 15
    container.start()
