"""imagen's start program with upstream's source: what users see when parts fail.

Needs PyPI, npm, Node.js and the source (``imagen.source``). Ten minutes at most.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.upstream.imagen import KEY, Pipeline, until

GRADIENT = 'Image.radial_gradient("L").resize((64, 64))'


def header_alone(width: int, height: int) -> bytes:
    """Return a PNG that says how large it is, and has no more."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    says = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", says), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path_factory.mktemp("imagen"))
    pipeline.install()
    pipeline.start("pubsub", "firestore", "storage", "jaeger", "triton", "api", "worker")
    yield pipeline
    pipeline.end_all()


@pytest.fixture
def pipeline(installed: Pipeline) -> Pipeline:
    installed.slow(0)
    until(lambda: installed.healthy("worker"), "the worker can take jobs")
    until(lambda: serves(installed), "the API answers")
    return installed


def serves(pipeline: Pipeline) -> bool:
    try:
        return requests.get(pipeline.address.replace("/api/v1", "/health"), timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def picture(installed: Pipeline) -> bytes:
    return installed.made_by(f'{GRADIENT}.convert("RGB").save(out, "PNG")')


def message(answer: requests.Response) -> str:
    said: str = answer.json()["error"]["message"]
    return said


def test_a_picture_goes_through_in_one_trace_and_nothing_of_it_is_left(pipeline: Pipeline):
    done = pipeline.tool("check", "upscale")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert (found["name"], found["ok"], found["fix"]) == ("imagen: upscale", True, ""), found
    assert "256x256 PNG -> 1024x1024 PNG" in found["evidence"]
    assert found["evidence"].endswith("with api, queue, worker, triton")
    assert done.returncode == 0
    assert pipeline.stored() == set()


def test_a_model_without_a_worker_is_told_with_what_to_look_at(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        pipeline, "_environment", lambda own=pipeline._environment: {**own(), "CHECK_TIMEOUT": "3"}
    )
    done = pipeline.tool("check", "enhance")
    found = json.loads(done.stdout)
    assert "the job is queued after 3 s" in found["evidence"]
    assert "docker compose logs enhance-worker" in found["fix"]
    assert done.returncode == 1


def test_without_a_key_a_request_is_anonymous_unless_a_proxy_or_a_page_sent_it(
    pipeline: Pipeline, picture: bytes
):
    before = pipeline.stored()
    assert pipeline.send(picture, key="").status_code == 200
    assert len(pipeline.stored()) > len(before)
    assert pipeline.send(picture, key="wrong").status_code == 401
    for name, value in (("X-Forwarded-For", "192.0.2.1"), ("Origin", "http://elsewhere.example")):
        refused = requests.post(
            f"{pipeline.address}/images/upscale",
            files={"file": ("a.png", picture, "image/png")},
            headers={name: value},
            timeout=60,
        )
        assert refused.status_code == 401, name
    answers = [pipeline.send(picture, key="").status_code for _ in range(6)]
    assert answers[-1] == 429


@pytest.mark.parametrize(
    ("contents", "kind", "status", "says"),
    [
        (b"no picture", "image/png", 400, "not a picture"),
        (b"", "image/png", 400, "empty"),
        (header_alone(10_000, 10_000), "image/png", 413, "100,000,000 pixels"),
        (header_alone(100, 100), "image/png", 400, "damaged"),
        (header_alone(100, 100), "text/plain", 415, "text/plain"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence_and_not_queued(
    pipeline: Pipeline, contents: bytes, kind: str, status: int, says: str
):
    def sent() -> set[Path]:
        # Without results: jobs of an earlier test may still be at work.
        return {one for one in pipeline.stored() if "inputs" in one.parts}

    before = sent()
    answer = pipeline.send(contents, kind)
    assert (answer.status_code, says in message(answer)) == (status, True), answer.text
    # A job is created after its picture was stored, and queued after that.
    assert sent() == before


def test_a_photo_of_a_phone_is_turned_upright_and_cmyk_is_no_error(pipeline: Pipeline):
    photo = pipeline.made_by(
        'image = Image.new("CMYK", (64, 128), (9, 9, 9, 9)); exif = image.getexif();'
        ' exif[0x112] = 6; image.save(out, "JPEG", exif=exif)'
    )
    sent = pipeline.send(photo, "image/jpeg", "../../x y.jpg").json()["job_id"]
    assert pipeline.states([sent]) == ["completed"]
    assert pipeline.job(sent).json()["input_path"] == f"inputs/{sent}/x_y.jpg"
    result = pipeline.result(sent)
    assert struct.unpack(">II", result.content[16:24]) == (512, 256)


def test_a_worker_that_is_killed_loses_no_job(pipeline: Pipeline, picture: bytes):
    pipeline.slow(3)
    sent = pipeline.send(picture).json()["job_id"]
    until(lambda: pipeline.job(sent).json()["status"] == "processing", "a worker is at it")
    pipeline.end("worker")
    pipeline.slow(0)
    pipeline.start("worker")
    assert pipeline.states([sent]) == ["completed"]
    until(lambda: pipeline.healthy("worker"), "the worker can take jobs")
    assert pipeline.done_by("worker") == 1


def test_a_worker_that_is_told_to_end_finishes_its_job(pipeline: Pipeline, picture: bytes):
    pipeline.slow(3)
    sent = pipeline.send(picture).json()["job_id"]
    until(lambda: pipeline.job(sent).json()["status"] == "processing", "a worker is at it")
    pipeline.end("worker", hard=False)
    assert pipeline.job(sent).json()["status"] == "completed"
    pipeline.start("worker")


def test_two_workers_of_a_model_share_its_jobs(pipeline: Pipeline, picture: bytes):
    pipeline.start("second")
    until(lambda: pipeline.healthy("second"), "the second worker can take jobs")
    before = pipeline.done_by("worker"), pipeline.done_by("second")
    pipeline.slow(0.3)
    sent = [pipeline.send(picture).json()["job_id"] for _ in range(20)]
    assert Counter(pipeline.states(sent)) == {"completed": 20}
    done = pipeline.done_by("worker") - before[0], pipeline.done_by("second") - before[1]
    assert sum(done) == 20
    assert min(done) >= 5, done
    pipeline.end("second", hard=False)


def test_while_triton_is_away_jobs_wait(pipeline: Pipeline, picture: bytes):
    pipeline.end("triton")
    sent = pipeline.send(picture).json()["job_id"]
    until(lambda: "try 1 of 5" in pipeline.log_of("worker").read_text(), "the worker has tried")
    assert pipeline.job(sent).json()["status"] == "queued"
    pipeline.start("triton")
    assert pipeline.states([sent]) == ["completed"]


def test_a_pubsub_that_has_forgotten_everything_loses_no_job(pipeline: Pipeline, picture: bytes):
    pipeline.end("worker", hard=False)
    sent = [pipeline.send(picture).json()["job_id"] for _ in range(3)]
    pipeline.end("pubsub")
    late = pipeline.send(picture).json()
    assert "as soon as it can be" in late["message"]
    pipeline.start("pubsub", "worker")
    assert Counter(pipeline.states([*sent, late["job_id"]])) == {"completed": 4}


def test_a_firestore_that_has_forgotten_everything_leaves_nothing_that_is_tried_for_ever(
    pipeline: Pipeline, picture: bytes
):
    pipeline.slow(5)
    sent = [pipeline.send(picture).json()["job_id"] for _ in range(2)]
    until(lambda: pipeline.job(sent[0]).json()["status"] == "processing", "a worker is at it")
    pipeline.end("firestore")
    assert pipeline.job(sent[0]).status_code == 503
    pipeline.slow(0)
    pipeline.start("firestore")
    until(lambda: pipeline.job(sent[0]).status_code == 404, "the job is unknown")
    assert "are lost when the Firestore emulator starts again" in message(pipeline.job(sent[0]))
    log = pipeline.log_of("worker")
    for job_id in sent:
        until(lambda job_id=job_id: f"{job_id} is dropped" in log.read_text(), "it is dropped")
    assert pipeline.states([pipeline.send(picture).json()["job_id"]]) == ["completed"]


def test_a_bucket_that_is_gone_is_created_again(pipeline: Pipeline, picture: bytes):
    pipeline.end("storage")
    (pipeline.folder / "storage").rename(pipeline.folder / "storage-of-before")
    pipeline.start("storage")
    assert pipeline.states([pipeline.send(picture).json()["job_id"]]) == ["completed"]


def test_the_key_is_in_no_log(pipeline: Pipeline):
    """However a log may write what follows its first words."""
    logs = list(pipeline.folder.glob("*.log"))
    assert "/api/v1/images/upscale" in pipeline.log_of("api").read_text()
    assert [log.name for log in logs if KEY[:11] in log.read_text()] == []


def test_what_queue_store_and_worker_add_is_measured(pipeline: Pipeline):
    """Beside Triton alone; nothing is left of the jobs."""
    before = pipeline.stored()
    done = pipeline.tool("measure", "upscale", "5")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "Triton alone" in done.stdout
    assert pipeline.stored() == before
    assert pipeline.tool("measure", "none").returncode == 2
