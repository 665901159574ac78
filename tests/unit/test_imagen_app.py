"""The programs of imagen's API and workers, as far as they need no package and no server."""

from __future__ import annotations

import ast
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "templates/stacks/imagen/app"


def load(*names: str) -> list[Any]:
    """Import programs of the image by their own names, and forget these again.

    Bytecode next to them would become part of the image, and change its tag.
    """
    sys.path.insert(0, str(FOLDER))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.dont_write_bytecode = before
        sys.path.remove(str(FOLDER))
        for path in FOLDER.glob("*.py"):
            sys.modules.pop(path.stem, None)


models, failures, pictures, states, corrections, verdicts, start = load(
    "models", "failures", "pictures", "states", "corrections", "verdicts", "start"
)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class TestEnvironment:
    """What upstream is given."""

    def test_the_key_becomes_an_enterprise_key_and_a_secret_derived_from_it(self):
        values = models.environment({}, "s3cret", "imagen-api")
        assert json.loads(values["API_KEYS"]) == [
            {"key": "s3cret", "name": "imagen", "tier": "enterprise"}
        ]
        assert len(values["JWT_SECRET"]) == 64
        assert "s3cret" not in values["JWT_SECRET"]
        assert values["JWT_SECRET"] == models.environment({}, "s3cret", "")["JWT_SECRET"]

    def test_a_key_with_umlauts_is_known_in_both_forms_of_a_header(self):
        keys = json.loads(models.environment({}, " ü ", "")["API_KEYS"])
        assert [one["key"] for one in keys] == ["ü", "Ã¼"]

    def test_without_a_key_there_is_none_and_the_secret_is_random(self):
        first, second = (models.environment({}, "", "") for _ in range(2))
        assert json.loads(first["API_KEYS"]) == []
        assert first["JWT_SECRET"] != second["JWT_SECRET"]

    def test_keys_from_the_environment_stay_if_there_is_no_file(self):
        assert "API_KEYS" not in models.environment({"API_KEYS": "[]"}, "", "")
        assert "API_KEYS" in models.environment({"API_KEYS": "[]"}, "key", "")

    @pytest.mark.parametrize(
        ("given", "origins"),
        [
            ('["https://a", "https://b"]', "https://a,https://b"),
            ("https://a,https://b", "https://a,https://b"),
            ("[]", models._ORIGINS),
            ("", models._ORIGINS),
        ],
    )
    def test_origins_are_read_as_json_or_separated_by_commas(self, given: str, origins: str):
        """Without any, upstream does not start."""
        assert models.environment({"CORS_ORIGINS": given}, "", "")["CORS_ORIGINS"] == origins

    def test_upstream_never_gets_debug(self):
        """It would look for jobs where none are kept."""
        assert models.environment({"DEBUG": "true"}, "", "")["DEBUG"] == "false"

    def test_topics_and_subscriptions_can_be_renamed(self):
        comic = models.MODELS["style_comic"]
        assert comic.topic({}) == "style-comic-jobs"
        assert comic.subscription({}) == "style-comic-jobs-sub"
        renamed = {"PUBSUB_TOPIC_COMIC": "t", "PUBSUB_SUBSCRIPTION_COMIC": "s"}
        assert (comic.topic(renamed), comic.subscription(renamed)) == ("t", "s")


class TestVerdict:
    """What a worker does with a job that is delivered to it."""

    @pytest.mark.parametrize(
        ("job", "expected"),
        [
            (None, "unknown"),
            ({"status": "completed"}, "done"),
            ({"status": "failed", "attempts": 5}, "done"),
            ({"status": "queued"}, "free"),
            ({"status": "processing", "lease_until": NOW - timedelta(seconds=1)}, "free"),
            ({"status": "processing", "lease_until": NOW + timedelta(seconds=1)}, "taken"),
            ({"status": "queued", "attempts": 4, "lease_until": None}, "free"),
            ({"status": "queued", "attempts": 5}, "exhausted"),
            ({"status": "processing", "attempts": 5, "lease_until": NOW + timedelta(1)}, "taken"),
        ],
    )
    def test_each_state(self, job: dict[str, Any] | None, expected: str):
        assert states.verdict(job, NOW) == expected

    def test_a_dead_worker_loses_its_job_before_the_message_returns(self):
        """Otherwise the next worker would only wait."""
        assert states.HEARTBEAT * 2 < states.CLAIM < models.LEASE

    def test_a_job_that_was_given_up_says_why(self):
        assert states.given_up("Triton cannot be reached.").endswith(
            "5 tries. Triton cannot be reached."
        )
        assert "memory" in states.given_up(None)


class TestLoss:
    """Which jobs are not in the queue."""

    @staticmethod
    def found(created: datetime | None = None, **job: Any) -> str:
        given = {"created_at": NOW - timedelta(minutes=5), "published_at": None, **job}
        answer: str = states.loss(given, created, NOW)
        return answer

    def test_one_published_before_pubsub_started_again_is_published(self):
        before, after = NOW - timedelta(minutes=4), NOW - timedelta(minutes=2)
        assert self.found(published_at=before, created=after) == "publish"
        assert self.found(published_at=after, created=before) == ""
        assert self.found(published_at=before, created=None) == ""

    def test_one_that_a_worker_is_at_is_left_to_it(self):
        before, after = NOW - timedelta(minutes=4), NOW - timedelta(minutes=2)
        until = NOW + timedelta(seconds=5)
        assert self.found(published_at=before, created=after, lease_until=until) == ""

    def test_one_that_was_never_published_is_after_a_minute(self):
        assert self.found() == "publish"
        assert self.found(created_at=NOW - timedelta(seconds=30)) == ""

    def test_one_that_waited_for_a_day_fails(self):
        old = NOW - timedelta(hours=25)
        assert self.found(created_at=old, published_at=old) == "expire"


def raised(name: str, text: str, cause: BaseException | None = None, **fields: Any) -> Exception:
    """Return an exception of a class that is called so."""
    error: Exception = type(name, (Exception,), fields)(text)
    error.__cause__ = cause
    return error


def triton(status: str, text: str) -> Exception:
    return raised("InferenceServerException", text, status=lambda self: f"StatusCode.{status}")


class TestFailures:
    """What an error means for a job."""

    @pytest.mark.parametrize(
        ("error", "passing", "says"),
        [
            (triton("UNAVAILABLE", "failed to connect"), True, "Triton cannot be reached."),
            (triton("DEADLINE_EXCEEDED", "Deadline"), True, "Triton cannot be reached."),
            (triton("NOT_FOUND", "Request for unknown model: 'x'"), True, "is not ready"),
            (triton("INTERNAL", "Stub process 'x' is not healthy."), True, "is not ready"),
            (triton("INTERNAL", "CUDA out of memory. Tried"), False, "too little memory"),
            (triton("INTERNAL", "boom"), False, "The model failed: boom."),
            (triton("INVALID_ARGUMENT", "shape"), False, "The model failed: shape."),
            (
                raised("StorageError", "upload", raised("ConnectionError", "refused")),
                True,
                "The object store cannot be reached.",
            ),
            (
                raised("StorageError", "download", raised("NotFound", "404 GET")),
                False,
                "no longer in the object store",
            ),
            (raised("ServiceUnavailable", "503"), True, "(Firestore) cannot be reached"),
            (raised("KeyError", "a\nb"), False, "KeyError: a b."),
        ],
    )
    def test_each_error(self, error: Exception, passing: bool, says: str):
        found = failures.judged(error)
        assert found.passing == passing
        assert says in found.sentence

    def test_a_full_store_is_told_whatever_hides_it(self):
        """fake-gcs-server: 500 with the error of the write."""
        inner = raised("InternalServerError", "write /storage/x: no space left on device")
        found = failures.judged(raised("StorageError", "Failed", inner))
        assert found == failures.Failure(failures.FULL, full=True)

    def test_an_error_that_causes_itself_is_judged_once(self):
        error = raised("KeyError", "x")
        error.__cause__ = error
        assert failures.judged(error).sentence == "KeyError: x."


class TestPictures:
    """What is refused before a picture is decoded."""

    limits = pictures.Limits(
        pixels=16_000_000, shortest=32, longest=8192, size=1000, types={"image/png", "image/jpeg"}
    )

    @pytest.mark.parametrize(
        ("size", "kind", "status"),
        [(0, "image/png", 400), (1001, "image/png", 413), (9, "text/plain", 415), (9, None, 415)],
    )
    def test_what_the_client_declares(self, size: int, kind: str | None, status: int):
        with pytest.raises(pictures.RefusedError) as caught:
            pictures.check_declared(size, kind, self.limits)
        assert caught.value.status == status
        assert caught.value.sentence.endswith(".")

    @pytest.mark.parametrize(
        ("width", "height", "status"),
        [(8000, 8000, 413), (8193, 100, 413), (31, 100, 400), (100, 31, 400)],
    )
    def test_what_the_header_says(self, width: int, height: int, status: int):
        with pytest.raises(pictures.RefusedError) as caught:
            pictures.check_dimensions(width, height, self.limits)
        assert caught.value.status == status
        assert f"{width} x {height}" in caught.value.sentence

    def test_what_fits_passes(self):
        pictures.check_declared(1000, "image/png", self.limits)
        pictures.check_dimensions(4000, 4000, self.limits)
        pictures.check_dimensions(32, 8192, self.limits)

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("../../etc/passwd", "passwd"),
            ("C:\\pictures\\my cat.PNG", "my_cat.PNG"),
            ("..", "picture"),
            ("", "picture"),
            (None, "picture"),
            ("ä" * 200 + ".png", "png"),
            ("a" * 200 + ".png", "a" * 76 + ".png"),
        ],
    )
    def test_a_name_is_part_of_no_path(self, given: str | None, name: str):
        assert pictures.safe_name(given) == name


class TestExpected:
    """What the check expects."""

    def test_a_trace_has_its_parts_by_names_and_services(self):
        trace = {
            "processes": {
                "p1": {"serviceName": "imagen-api"},
                "p2": {"serviceName": "imagen-worker-upscale"},
            },
            "spans": [
                {"operationName": "triton.infer", "processID": "p2"},
                {"operationName": "process_job.upscale", "processID": "p2"},
                {"operationName": "POST /api/v1/images/upscale", "processID": "p1"},
                {"operationName": "queue.publish upscale-jobs", "processID": "p1"},
            ],
        }
        assert verdicts.parts(trace) == ["api", "queue", "worker", "triton"]
        trace["spans"] = [{"operationName": "storage.upload", "processID": "p2"}]
        assert verdicts.parts(trace) == []

    @pytest.mark.parametrize(
        ("model", "size", "mode", "kind", "problem"),
        [
            ("upscale", (1024, 1024), "RGB", "PNG", ""),
            ("upscale", (256, 256), "RGB", "PNG", "not four times"),
            ("enhance", (256, 256), "RGB", "PNG", ""),
            ("enhance", (256, 256), "RGB", "JPEG", "not a PNG"),
            ("background_remove", (256, 256), "RGBA", "PNG", ""),
            ("background_remove", (256, 256), "RGB", "PNG", "without transparency"),
            ("style_aged", (1, 1), "RGB", "PNG", "only 1x1"),
        ],
    )
    def test_a_result_is_of_the_right_kind(
        self, model: str, size: tuple[int, int], mode: str, kind: str, problem: str
    ):
        found = verdicts.wrong(model, size, mode, kind)
        assert problem in found
        assert bool(found) == bool(problem)


class TestStart:
    """The program's commands."""

    def test_the_key_is_read_from_its_file_without_the_line_break(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("IMAGEN_API_KEY_FILE", str(tmp_path / "key"))
        assert start.api_key() == ""
        (tmp_path / "key").write_text("a b$\n")
        assert start.api_key() == "a b$"
        (tmp_path / "key").write_bytes(b"secret \xff")
        with pytest.raises(SystemExit, match="cannot be read: UnicodeDecodeError: /") as caught:
            start.api_key()
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("arguments", [[], ["apis"], ["api", "x"]])
    def test_an_unknown_command_is_told_those_that_are(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ):
        assert start.main(arguments) == 2
        assert "start.py worker" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("metrics", "status"),
        [
            ('imagen_worker_info{model_name="x"} 1.0\nimagen_worker_listening 1.0\n', 0),
            ('imagen_worker_info{model_name="x"} 1.0\nimagen_worker_listening 0.0\n', 1),
            ("python_info 1.0\n", 1),
        ],
    )
    def test_a_worker_is_healthy_if_it_can_take_jobs(
        self, metrics: str, status: int, monkeypatch: pytest.MonkeyPatch
    ):
        with served(metrics) as port:
            monkeypatch.setenv("METRICS_PORT", str(port))
            assert start.main(["healthy"]) == status
        assert start.main(["healthy"]) == 1


@contextmanager
def served(text: str) -> Iterator[int]:
    """Serve a text on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_every_correction_is_carried_out_by_a_function_and_has_its_reason():
    """Documents list what CORRECTIONS has."""
    used = {
        argument.value
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "corrects"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert used == set(corrections.CORRECTIONS)
    for wrong, cure in corrections.CORRECTIONS.values():
        assert len(wrong) > 20
        assert len(cure) > 8


def test_the_page_lists_every_correction():
    """In its table, with the words of the list."""
    text = (FOLDER.parents[3] / "docs/imagen.md").read_text()
    for name, (wrong, done) in corrections.CORRECTIONS.items():
        assert f"| {name} | {wrong} | {done} |" in text
