"""A worker: upstream's for MODEL_NAME, corrected."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from types import FrameType
from typing import Any

import corrections
from corrections import corrects
from models import MODELS


def model_problem(environment: Mapping[str, str]) -> str:
    """Return why a worker cannot start with this environment; empty if it can."""
    name = environment.get("MODEL_NAME", "")
    if name in MODELS:
        return ""
    return f"MODEL_NAME is '{name}': set it to one of {', '.join(MODELS)}."


def main() -> int:
    """Work until told to stop; return the exit status. The environment is prepared."""
    if problem := model_problem(os.environ):
        print(problem, file=sys.stderr)
        return 2
    settings = corrections.correct_settings()
    corrections.correct_channels()
    corrections.correct_uploads()
    corrections.correct_states()
    corrections.correct_triton()

    from src.workers import triton_worker

    worker = make(triton_worker, os.environ)
    from delivery import Delivery
    from states import States
    from topics import Topics, ensure_bucket

    states = States(worker.job_service)
    topics = Topics(settings.google_cloud_project, os.environ, states)
    stop = threading.Event()
    queue = Delivery(topics, states, lambda: worker.triton.is_model_ready(worker.model_name), stop)
    worker.queue = queue
    sentences(worker.job_service, queue, triton_worker.JobStatus.FAILED)
    depth(worker, states)
    pass_on(worker.storage, worker.triton)
    with_bucket(worker.storage, lambda: ensure_bucket(worker.storage.client, settings.gcs_bucket))
    end_on_signal(stop, queue)
    try:
        worker.run()
    except RuntimeError as error:
        print(f"{error}; TRITON_URL is {os.environ.get('TRITON_URL', '')}.", file=sys.stderr)
        return 1
    finally:
        from src.core.telemetry import shutdown_telemetry

        shutdown_telemetry()
    return 0


@corrects("worker-start", "subscription-names", "metrics-port", "large-results")
def make(module: Any, environment: Mapping[str, str]) -> Any:
    """Return upstream's worker for MODEL_NAME, with the names and the port of the environment.

    + module: upstream's ``triton_worker``
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    model = MODELS[environment["MODEL_NAME"]]
    kinds = (kind for kind in module.WORKER_CLASSES.values() if kind.model_name == model.name)
    kind = next(kinds)
    subclass = type(
        kind.__name__,
        (kind,),
        {
            "subscription_name": model.subscription(environment),
            "METRICS_PORT": int(environment.get("METRICS_PORT") or kind.METRICS_PORT),
        },
    )
    return subclass()


@corrects("again", "once", "reasons", "delivery-attempt")
def sentences(job_service: Any, queue: Any, failed: Any) -> None:
    """Make a job's failure a sentence, or a reason to try again (``Delivery.noted_failure``).

    + failed: upstream's status of jobs that failed
    """
    original = job_service.update_status

    def update(job_id: str, status: Any, *arguments: Any, **options: Any) -> None:
        if status == failed:
            options["error"] = queue.noted_failure(options.get("error"))
        original(job_id, status, *arguments, **options)

    job_service.update_status = update


@corrects("encoded-twice")
def pass_on(storage: Any, client: Any) -> None:
    """Make pictures from the store and from Triton be saved as the PNG that they were read from.

    + client: upstream's client of Triton
    """
    for owner, name in ((storage, "download_image"), (client, "_bytes_to_image")):
        if hasattr(owner, name):
            setattr(owner, name, _with_its_file(getattr(owner, name)))


def _with_its_file(read: Callable[..., Any]) -> Callable[..., Any]:
    def opened(*arguments: Any) -> Any:
        image = read(*arguments)
        file, save = getattr(image, "fp", None), image.save
        if image.format != "PNG" or not isinstance(file, BytesIO):
            return image

        def save_unchanged(
            target: Any,
            format: str | None = None,  # noqa: A002 # as Pillow names it
            **options: Any,
        ) -> None:
            if format == "PNG" and not options:
                target.write(file.getvalue())
            else:
                save(target, format, **options)

        image.save = save_unchanged
        return image

    return opened


@corrects("queue-depth")
def depth(worker: Any, states: Any) -> None:
    """Count waiting jobs in Firestore, where Pub/Sub is an emulator."""
    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        worker._get_queue_depth = lambda: states.queued(worker.job_type)


@corrects("topics")
def with_bucket(storage: Any, ensure: Callable[[], bool]) -> None:
    """Create the bucket, if it is gone, when a result is stored."""
    from failures import has

    original = storage.upload_image

    def upload(*arguments: Any, **options: Any) -> Any:
        try:
            return original(*arguments, **options)
        except Exception as error:
            if not has(error, "NotFound") or not ensure():
                raise
            return original(*arguments, **options)

    storage.upload_image = upload


@corrects("worker-end")
def end_on_signal(stop: threading.Event, queue: Any) -> None:
    """On SIGTERM, end after the current job, or at once if there is none yet."""

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()
        if not queue.listening:
            raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
