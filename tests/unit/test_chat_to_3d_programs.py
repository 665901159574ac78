"""chat-to-3d's small programs: options, supervision, health, log and what is checked of texts."""

from __future__ import annotations

import io
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher

import pytest

from tests.fixtures.image_programs import load_programs

options, names, glb, stops, relay, supervision, healthy, llm_model = load_programs(
    "chat-to-3d/chat-to-3d-allinone",
    *("options", "names", "glb", "stops", "relay", "supervision", "healthy", "llm_model"),
)


class TestOptions:
    """What the environment says."""

    def test_defaults_are_the_documents(self):
        given = options.Options({})
        ports = [given.port(name) for name in options.PROGRAMS]
        assert ports == [19002, 8000, 7860]
        assert given.outputs == Path("/data/outputs")
        assert given.llm_is_ours

    def test_an_empty_value_is_a_missing_one(self):
        given = options.Options({"GRADIO_SERVER_PORT": " ", "IMAGE_MODEL": "", "TIMEOUT_3D": "9"})
        assert given.port(options.PAGE) == 7860
        assert given.image_model.startswith("Efficient-Large-Model/")
        assert given.timeout_3d == 9

    def test_no_number_ends_the_program_with_its_name(self):
        with pytest.raises(SystemExit, match="OBJECTS is 'many': set it to a whole number"):
            options.Options({"OBJECTS": "many"}).number("OBJECTS", 20)

    @pytest.mark.parametrize(
        ("model", "found"),
        [
            ("a/b", ("a/b", None)),
            ("a/b@main", ("a/b", "main")),
            ("a/b@", ("a/b", None)),
            ("/models/a@b", ("/models/a@b", None)),
        ],
    )
    def test_a_model_may_have_a_revision(self, model: str, found: tuple[str, str | None]):
        assert options.split_revision(model) == found

    def test_a_shown_address_has_no_password(self):
        assert options.without_password("http://me:secret@host:1/v1?k=2") == "http://host:1/v1"

    def test_an_error_becomes_a_part_of_a_sentence(self):
        assert options.one_line(" a\n  b. ") == "a b"
        assert options.one_line("x" * 400) == "x" * 299 + "…"


class TestNames:
    """Names that an LLM, or a user, gives."""

    @pytest.mark.parametrize(
        ("given", "found"),
        [
            ("Red Chair", "Red Chair"),
            ("**TV / Radio**", "TV Radio"),
            ("../../etc", "etc"),
            ("..", "object"),
            ("", "object"),
            ("a\x00b\nc", "a b c"),
            ("x" * 300, "x" * 80),
            ("ü" * 300, "ü" * 40),
        ],
    )
    def test_a_name_is_one_part_of_a_path(self, given: str, found: str):
        assert names.clean(given) == found

    def test_each_object_is_there_once_and_no_more_than_wanted(self):
        assert names.listed(["A", "*A*", "B", "C"], 2) == ["A", "B"]


def chunk(kind: bytes, contents: bytes) -> bytes:
    return struct.pack("<I4s", len(contents), kind) + contents


def file(*chunks: bytes, version: int = 2, more: int = 0) -> bytes:
    body = b"".join(chunks)
    return struct.pack("<4sII", b"glTF", version, 12 + len(body) + more) + body


JSON = b'{"meshes":[{}]} '


class TestGlb:
    """What is no GLB file."""

    def test_a_valid_one_has_nothing_wrong(self):
        assert glb.wrong(file(chunk(b"JSON", JSON), chunk(b"BIN\0", b"1234"))) == ""

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "do not begin with glTF"),
            (b"PK\3\4" + b"0" * 20, "do not begin with glTF"),
            (file(chunk(b"JSON", JSON), version=1), "version is 1"),
            (file(chunk(b"JSON", JSON), more=4), "header says"),
            (file(), "no chunks"),
            (file(b"1234"), "within the header of a chunk"),
            (file(chunk(b"JSON", JSON[:-1])), "wrong length of 15 bytes"),
            (file(struct.pack("<I4s", 400, b"JSON") + JSON), "wrong length of 400 bytes"),
            (file(chunk(b"BIN\0", b"1234")), "not JSON"),
            (file(chunk(b"JSON", b"nope")), "not JSON"),
            (file(chunk(b"JSON", b"{}  ")), "no meshes"),
        ],
    )
    def test_what_is_wrong_is_said(self, data: bytes, says: str):
        assert says in glb.wrong(data)


class TestStops:
    """Sequences at which an answer ends."""

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_a_text_ends_before_the_first_of_them(self, size: int):
        text, found = "one END two STOP", stops.Stops(["STOP", "END"])
        passed = "".join(found.add(text[i : i + size]) for i in range(0, len(text), size))
        assert (passed + found.end(), found.stopped) == ("one ", True)

    @pytest.mark.parametrize("size", [1, 3, 100])
    def test_what_only_begins_like_one_is_passed_on(self, size: int):
        text, found = "ENEN EN", stops.Stops(["END", ""])
        passed = "".join(found.add(text[i : i + size]) for i in range(0, len(text), size))
        assert (passed + found.end(), found.stopped) == (text, False)


class TestRelay:
    """The container's log."""

    @staticmethod
    def event(program: str, piece: str, pid: int = 1) -> str:
        payload = f"processname:{program} groupname:{program} pid:{pid} channel:stdout\n{piece}"
        return f"ver:3.0 eventname:PROCESS_LOG_STDOUT len:{len(payload)}\n{payload}"

    def repeated(self, *events: str) -> str:
        log, answers = io.BytesIO(), io.BytesIO()
        relay.serve(io.StringIO("".join(events), newline="\n"), answers, log)
        assert answers.getvalue().count(b"RESULT 2\nOK") == len(events)
        return log.getvalue().decode()

    def test_lines_come_whole_after_their_programs_name(self):
        found = self.repeated(
            self.event("a", "one\ntw"), self.event("b", "x\n"), self.event("a", "o\r\nthree")
        )
        assert found == "a | one\nb | x\na | two\n"

    def test_lengths_are_those_of_characters(self):
        """Upstream prints symbols, and supervisord counts characters."""
        assert (
            self.repeated(self.event("a", "🔒 ü\n"), self.event("a", "x\n")) == "a | 🔒 ü\na | x\n"
        )

    def test_the_last_words_of_one_that_ended_are_not_mixed_with_the_next(self):
        found = self.repeated(self.event("a", "bye", 1), self.event("a", "hello\n", 2))
        assert found == "a | bye\na | hello\n"

    def test_bytes_that_are_no_text_are_put_together_again(self):
        halves = [f"Undecodable: {part!r}" for part in ("ü".encode()[:1], "ü\n".encode()[1:])]
        assert self.repeated(*(self.event("a", half) for half in halves)) == "a | ü\n"
        assert self.repeated(self.event("a", "Undecodable: [\n")) == "a | Undecodable: [\n"


class _Dispatcher(SimpleXMLRPCDispatcher):
    """supervisord's interface, with the states of its programs."""

    def __init__(self, states: dict[str, str]) -> None:
        super().__init__(allow_none=True)
        self.called: list[tuple[Any, ...]] = []
        for name in ("stopProcess", "startProcess"):
            self.register_function(self._noted(name), f"supervisor.{name}")
        self.register_function(
            lambda: [{"name": name, "statename": state} for name, state in states.items()],
            "supervisor.getAllProcessInfo",
        )

    def _noted(self, name: str) -> Any:
        def call(*values: Any) -> bool:
            self.called.append((name, *values))
            return True

        return call


@contextmanager
def supervisord(folder: Path, states: dict[str, str]) -> Iterator[_Dispatcher]:
    """Serve supervisord's interface on the socket of a folder."""
    dispatcher = _Dispatcher(states)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = dispatcher._marshaled_dispatch(body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode() if isinstance(answer, str) else answer)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: Any) -> None:
            pass

    with socketserver.UnixStreamServer(str(folder / "supervisor.sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield dispatcher
        server.shutdown()


class TestSupervision:
    """What is asked of supervisord."""

    def test_the_llm_is_stopped_and_started_with_a_mark(self, tmp_path: Path):
        found = supervision.Supervision(options.Options({"RUN_DIR": str(tmp_path)}))
        with supervisord(tmp_path, {}) as server:
            found.pause_llm()
            assert found.llm_is_paused
            found.start_llm()
            assert not found.llm_is_paused
        assert server.called == [
            ("stopProcess", "llm-service"),
            ("startProcess", "llm-service", False),
        ]

    def test_without_supervisord_there_is_an_error(self, tmp_path: Path):
        with pytest.raises(OSError, match="No such file"):
            supervision.Supervision(options.Options({"RUN_DIR": str(tmp_path)})).programs()


@contextmanager
def served(*statuses: int) -> Iterator[list[int]]:
    """Serve on ports of this machine, each with a status."""
    servers = []
    for status in statuses:

        class Handler(BaseHTTPRequestHandler):
            answer = status

            def do_GET(self) -> None:
                self.send_response(self.answer if self.path in ("/", "/v1/health/live") else 404)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


class TestHealthy:
    """The container's health check."""

    @pytest.fixture
    def run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        def check(states: dict[str, str], ports: list[int]) -> int:
            variables = ("LLM_SERVICE_PORT", "TRELLIS_SERVICE_PORT", "GRADIO_SERVER_PORT")
            for name, port in zip(variables, ports, strict=True):
                monkeypatch.setenv(name, str(port))
            with supervisord(tmp_path, states):
                answer: int = healthy.main()
            (tmp_path / "supervisor.sock").unlink()
            return answer

        monkeypatch.setenv("RUN_DIR", str(tmp_path))
        return check

    RUNNING = dict.fromkeys(options.PROGRAMS, "RUNNING")

    def test_it_is_if_all_three_run_and_answer(self, run: Any):
        with served(200, 200, 200) as ports:
            assert run(self.RUNNING, ports) == 0

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_it_names_the_one_that_does_not_run_or_not_answer(
        self, run: Any, index: int, capsys: pytest.CaptureFixture[str]
    ):
        name = options.PROGRAMS[index]
        with served(*(500 if one == index else 200 for one in range(3))) as ports:
            assert run(self.RUNNING, ports) == 1
            assert f"{name} answers 500" in capsys.readouterr().out
            assert run({**self.RUNNING, name: "FATAL"}, ports) == 1
            assert capsys.readouterr().out == f"{name} is FATAL\n"
        assert run(self.RUNNING, ports) == 1
        assert f"{name} does not answer" in capsys.readouterr().out

    def test_an_llm_that_the_page_stopped_is_fine(self, run: Any, tmp_path: Path):
        with served(200, 200, 200) as ports:
            states = {**self.RUNNING, options.LLM: "STOPPED"}
            assert run(states, ports) == 1
            (tmp_path / "llm-service.stopped-by-page").touch()
            assert run(states, ports) == 0
            assert run({**states, options.LLM: "BACKOFF"}, ports) == 1

    def test_a_program_of_a_users_counts_if_supervisord_gave_up_on_it(self, run: Any):
        with served(200, 200, 200) as ports:
            assert run({**self.RUNNING, "own": "EXITED"}, ports) == 0
            assert run({**self.RUNNING, "own": "FATAL"}, ports) == 1

    def test_it_is_quick(self, run: Any):
        with served(200, 200, 200) as ports:
            began = time.monotonic()
            run(self.RUNNING, ports)
            assert time.monotonic() - began < 5


class TestModel:
    """The LLM's model, before anything is loaded."""

    @pytest.mark.parametrize(
        ("name", "says"), [("", "LLM_MODEL is empty"), ("/nonexistent", "has no config.json")]
    )
    def test_one_that_is_missing_is_told(self, name: str, says: str):
        with pytest.raises(llm_model.ModelError, match=says):
            llm_model.load(name)
