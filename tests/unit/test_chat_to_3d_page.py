"""chat-to-3d's corrections of upstream's page, and its acceptance, without Gradio."""

from __future__ import annotations

import ast
import errno
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.fixtures.image_programs import STACKS, load_programs

IMAGE = "chat-to-3d/chat-to-3d-allinone"
(corrections, options, planning, making, hand_over, page, gradio_app, check, troubles) = (
    load_programs(
        IMAGE,
        *("corrections", "options", "planning", "making", "hand_over", "page", "gradio_app"),
        *("check", "troubles"),
    )
)


def given(tmp_path: Path, **values: str) -> Any:
    return options.Options({"RUN_DIR": str(tmp_path), "OUTPUTS_DIR": str(tmp_path), **values})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page shows."""
    shown: list[str] = []
    for module in (making, page):
        monkeypatch.setattr(module, "tell", shown.append)
    return shown


class TestTable:
    """The list of corrections."""

    def test_every_correction_is_carried_out_by_a_function_and_has_its_reason(self):
        used = {
            argument.value
            for path in (STACKS / IMAGE).glob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "corrects"
            for argument in node.args
            if isinstance(argument, ast.Constant)
        }
        assert used == set(corrections.CORRECTIONS)
        for wrong, cure in corrections.CORRECTIONS.values():
            assert len(wrong) > 20
            assert len(cure) > 8

    def test_the_document_lists_every_correction(self):
        text = (STACKS.parents[1] / "docs/chat-to-3d.md").read_text()
        for name, (wrong, done) in corrections.CORRECTIONS.items():
            assert f"| {name} | {wrong} | {done} |" in text

    def test_an_unknown_name_is_an_error(self):
        with pytest.raises(KeyError, match="has no nonsense"):
            corrections.corrects("nonsense")(len)

    def test_what_upstream_no_longer_has_is_left_out_with_a_line(
        self, capsys: pytest.CaptureFixture[str]
    ):
        module = ModuleType("app")
        assert not corrections.present("pid-port", module, "TerminationServer")
        assert capsys.readouterr().out == (
            "correction pid-port is left out: app has no TerminationServer\n"
        )


class TestPlanning:
    """What is said of the LLM."""

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (
                type(
                    "InternalServerError",
                    (Exception,),
                    {"body": {"message": "LLM_URL x is\naway."}},
                )(),
                "LLM_URL x is away.",
            ),
            (type("APITimeoutError", (Exception,), {})(), "did not answer within 320 s."),
            (type("APIConnectionError", (Exception,), {})(), "is started again by itself"),
            (KeyError("x"), "The LLM failed: KeyError: 'x'."),
        ],
    )
    def test_each_error_is_a_sentence(self, error: Exception, says: str):
        assert says in planning.sentence(error)


class TestMaking:
    """Pictures and objects."""

    @pytest.mark.parametrize(
        ("message", "says"),
        [
            (
                'API request failed: 503 - {"detail": "TRELLIS_URL x is away."}',
                "TRELLIS_URL x is away.",
            ),
            ("API request failed: 500 - <html>", "API request failed: 500 - <html>."),
            ("Request timed out - 3D generation takes time", "longer than 9 s (TIMEOUT_3D)."),
            ("Cannot connect to 3D generation service", "is started again by itself"),
            ("Failed to save GLB file", "could not be saved, and 7 MB are free."),
            ("Something\nelse", "Something else."),
        ],
    )
    def test_each_failure_of_3d_is_a_sentence(self, message: str, says: str):
        assert says in making.reason(message, 9, 7_500_000)

    def test_a_sign_for_a_refused_prompt_is_not_sent(self):
        calls: list[str] = []
        generate = making._told(lambda *_: calls.append("sent"), 9)
        sign = "static/images/content_filtered.svg"
        assert generate(None, sign) == (False, making.FILTERED, None)
        assert generate(None, None) == (False, "There is no picture", None)
        assert calls == []

    def test_a_file_appears_when_it_is_complete(self, tmp_path: Path):
        def write(_: Any, data: bytes, image: str, folder: str) -> str:
            assert list(tmp_path.glob("*.glb")) == []
            target = Path(folder) / f"{image}.glb"
            target.write_bytes(data)
            return str(target)

        made = making._complete(write)(None, b"x", "a", tmp_path)
        assert (made, os.listdir(tmp_path)) == (str(tmp_path / "a.glb"), ["a.glb"])

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path):
        def half(_: Any, data: bytes, image: str, folder: str) -> None:
            (Path(folder) / "half.glb").write_bytes(data)

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        assert making._complete(half)(None, b"x", "a", tmp_path) is None
        assert making._complete(full)(None, b"x", "a", tmp_path) is None
        assert os.listdir(tmp_path) == []

    def test_pictures_that_fail_are_marked_and_told_once(self, told: list[str]):
        objects = [{"title": "A"}, {"title": "B"}]
        making._all(lambda *_: (False, "Failed to load SANA model", {}))(SimpleNamespace(), objects)
        assert [one["image_generation_failed"] for one in objects] == [True, True]
        assert told == ["2 of 2 pictures failed: Failed to load SANA model."]

    def test_a_missing_folder_is_told_with_its_setting(self):
        assert making._missing("IMAGE_MODEL", "/nonexistent").startswith("IMAGE_MODEL /nonexistent")
        assert making._missing("IMAGE_MODEL", "a/name-on-the-hub") == ""


class TestTabs:
    """Each tab has its own state."""

    def test_a_tab_is_remembered_and_others_are_not_concerned(self):
        tabs = page.Tabs()
        tabs.set("a", True)
        assert (tabs.shows("a"), tabs.shows("b")) == (True, False)
        tabs.set("a", False)
        assert not tabs.shows("a")

    def test_the_oldest_of_a_thousand_are_forgotten(self):
        tabs = page.Tabs()
        for number in range(1001):
            tabs.set(str(number), True)
        assert (tabs.shows("0"), tabs.shows("1"), tabs.shows("1000")) == (False, True, True)

    def test_who_leaves_changes_a_copy_of_the_names_alone(self, monkeypatch: pytest.MonkeyPatch):
        module = ModuleType("upstream")
        exec(
            "flag = True\ndef leave():\n  global flag\n  flag = False\n  return 1", module.__dict__
        )
        monkeypatch.setattr(page, "session", lambda: "a")
        tabs = page.Tabs()
        tabs.set("a", True)
        assert page._leaving(module.leave, tabs)() == 1
        assert (module.flag, tabs.shows("a")) == (True, False)  # type: ignore[attr-defined]

    def test_a_failed_scene_stops_no_llm(self, monkeypatch: pytest.MonkeyPatch):
        calls: list[str] = []
        tabs = page.Tabs()
        stop = page._stopping(lambda *_: calls.append("stopped"), tabs)
        monkeypatch.setattr(page, "session", lambda: "a")
        stop(False)
        assert calls == []
        tabs.set("a", True)
        stop(False)
        assert calls == ["stopped"]


class TestEvents:
    """Functions of the page, replaced by name."""

    def test_work_shares_one_queue_and_sets_the_mark(self, tmp_path: Path):
        seen: list[str] = []

        def perform_3d_generation(gallery: list[str]) -> list[str]:
            seen.append((tmp_path / "page-in-use").read_text())
            return gallery

        def shift_card_ui(gallery: list[str]) -> list[str]:
            return gallery

        events = {
            number: SimpleNamespace(fn=function, concurrency_id="x", concurrency_limit="default")
            for number, function in enumerate([perform_3d_generation, shift_card_ui])
        }
        app = SimpleNamespace(is_llm_should_be_stopped=lambda: True)
        paused: list[str] = []
        handing = SimpleNamespace(pause=lambda: paused.append("llm"), paused=False)
        page.correct_events(SimpleNamespace(fns=events), app, given(tmp_path), handing)
        assert (events[0].concurrency_id, events[0].concurrency_limit) == ("work", 1)
        assert (events[1].fn, events[1].concurrency_id) == (shift_card_ui, "x")
        assert events[0].fn(["a"]) == ["a"]
        assert (seen, paused) == (["busy"], ["llm"])
        assert (tmp_path / "page-in-use").read_text() == "idle"

    def test_sentences_are_no_html(self):
        assert "&lt;b&gt;" in page.tip("<b>")
        assert "&lt;b&gt;" in page.overlay("<b>")


class TestHandOver:
    """The LLM makes room, and comes back."""

    def test_one_elsewhere_is_left_alone(self, tmp_path: Path):
        handing = hand_over.HandOver(given(tmp_path, LLM_BACKEND="url"))
        (tmp_path / "llm-service.stopped-by-page").touch()
        assert (handing.paused, handing.pause()) == (False, False)

    def test_a_scene_wakes_it_and_waits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        handing = hand_over.HandOver(given(tmp_path))
        mark = tmp_path / "llm-service.stopped-by-page"
        mark.touch()
        monkeypatch.setattr(handing._supervision, "start_llm", mark.unlink)
        answers = ["loading", "loading", ""]
        monkeypatch.setattr(hand_over, "problem", lambda *_: answers.pop(0))
        monkeypatch.setattr(hand_over.time, "sleep", lambda _: None)
        assert handing.wake() == ""
        assert answers == []

    def test_without_a_pause_nothing_is_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(hand_over, "problem", lambda *_: "away")
        assert hand_over.HandOver(given(tmp_path)).wake() == "away"


class TestDelay:
    """The page begins 30 seconds after supervisord."""

    def test_it_waits_for_the_rest_of_them(self, tmp_path: Path):
        (tmp_path / "supervisord.pid").touch()
        began = (tmp_path / "supervisord.pid").stat().st_mtime
        assert gradio_app.delay(given(tmp_path), began + 1) == 29
        assert gradio_app.delay(given(tmp_path), began + 31) == 0
        assert gradio_app.delay(given(tmp_path), began - 1000) == 30
        assert gradio_app.delay(given(tmp_path, START_DELAY="0"), began) == 0

    def test_without_supervisord_there_is_no_delay(self, tmp_path: Path):
        assert gradio_app.delay(given(tmp_path), time.time()) == 0


NOW = datetime(2026, 11, 27, 12)
LOG = """\
2026-11-27 10:00:00,100 WARN exited: gradio-app (exit status 1; not expected)
2026-11-27 11:55:00,100 WARN exited: gradio-app (terminated by SIGKILL; not expected)
2026-11-27 11:56:00,100 INFO exited: gradio-app (exit status 0; expected)
2026-11-27 11:57:00,100 WARN exited: llm-service (exit status 1; not expected)
2026-11-27 11:58:00,100 WARN stopped: gradio-app (terminated by SIGTERM)
"""


class TestCheck:
    """Acceptance's findings."""

    def test_unexpected_ends_are_counted(self):
        assert check.ends(LOG, "gradio-app", NOW) == (2, 1)
        assert check.ends(LOG, "trellis-service", NOW) == (0, 0)

    @pytest.mark.parametrize(
        ("state", "counted", "paused", "ok"),
        [
            ("RUNNING", (0, 0), False, True),
            ("RUNNING", (9, 2), False, True),
            ("RUNNING", (3, 3), False, False),
            ("BACKOFF", (1, 1), False, False),
            ("STOPPED", (0, 0), False, False),
            ("STOPPED", (0, 0), True, True),
        ],
    )
    def test_a_program_that_loops_has_its_last_lines(
        self, state: str, counted: tuple[int, int], paused: bool, ok: bool
    ):
        known = {"statename": state, "now": 100, "start": 40}
        line = check.program_line("llm-service", known, counted, paused, "a\nKeyError: b\n")
        assert line.ok == ok
        assert ("KeyError: b" in line.evidence) != ok
        assert bool(line.fix) != ok

    def test_one_of_a_users_may_have_ended(self):
        assert check.program_line("own", {"statename": "EXITED"}, (0, 0), False, "").ok
        assert not check.program_line("gradio-app", {"statename": "EXITED"}, (0, 0), False, "").ok

    def test_who_uses_the_page_is_not_disturbed(self, tmp_path: Path):
        found = given(tmp_path)
        assert check.in_use(found, 0) == ""
        mark = tmp_path / "page-in-use"
        mark.write_text("busy")
        began = mark.stat().st_mtime
        assert "at work for 500 s" in check.in_use(found, began + 500.4)
        mark.write_text("idle")
        os.utime(mark, (began, began))
        assert "10 s ago" in check.in_use(found, began + 10)
        assert check.in_use(found, began + 61) == ""

    def test_files_of_the_outputs_are_found_and_no_others(self):
        said = [
            {"value": {"path": "/data/outputs/a.png", "meta": {"path": "/etc/passwd"}}},
            None,
            "x",
        ]
        assert check.files(said, Path("/data/outputs")) == [Path("/data/outputs/a.png")]


def test_what_failed_is_in_the_log_and_on_the_page_without_html(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shown: list[str] = []
    gradio = SimpleNamespace(Warning=lambda text, duration: shown.append(text))
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    troubles.tell("No <b> of it.")
    assert shown == ["No &lt;b&gt; of it."]
    assert capsys.readouterr().out == "trouble: No <b> of it.\n"
