"""The workers: take a job from the queue, have Triton do it, store the result.

``python -m`` runs this module a second time, beside the one that the package has imported, and its
metrics cannot be registered twice.
"""

import threading
import time

from opentelemetry import trace
from prometheus_client import Counter, Gauge, Histogram, Info, start_http_server

from src.core.config import settings
from src.core.logging import logger
from src.services import JobStatus, get_job_service
from src.services.queue import get_queue_service
from src.services.storage import get_storage_service
from src.services.triton import get_triton_client
from src.workers.instrumentation import create_job_span, create_storage_span, create_triton_span

WORKER_INFO = Info("imagen_worker", "What this worker does")
JOBS_IN_PROGRESS = Gauge("imagen_jobs_in_progress", "Jobs at this moment", ["job_type"])
JOBS_COMPLETED = Counter("imagen_jobs_completed_total", "Jobs by end", ["job_type", "status"])
JOB_PROCESSING_TIME = Histogram("imagen_job_processing_seconds", "Of a job", ["job_type"])
TRITON_LATENCY = Histogram("imagen_triton_inference_seconds", "Of Triton", ["model_name"])
QUEUE_DEPTH = Gauge("imagen_queue_depth", "Jobs that wait", ["queue_name"])


class TritonWorker:
    METRICS_PORT = 8080
    QUEUE_DEPTH_UPDATE_INTERVAL = 30
    model_name = ""
    subscription_name = ""

    def __init__(self):
        self.storage, self.queue = get_storage_service(), get_queue_service()
        self.job_service, self.triton = get_job_service(), get_triton_client()
        self.job_type = self.model_name.replace("_", "-")
        self._running = False
        about = {"job_type": self.job_type, "model_name": self.model_name}
        WORKER_INFO.info({**about, "subscription": self.subscription_name})

    def process_with_triton(self, image, params):
        raise NotImplementedError

    def _get_queue_depth(self):
        """Ask Google's monitoring, also where the queue is an emulator."""
        try:
            from google.cloud import monitoring_v3

            end = int(time.time())
            span = {"start_time": {"seconds": end - 60}, "end_time": {"seconds": end}}
            request = {"name": f"projects/{settings.google_cloud_project}", "interval": span}
            request["filter"] = f'resource.labels.subscription_id="{self.subscription_name}"'
            for series in monitoring_v3.MetricServiceClient().list_time_series(request=request):
                return series.points[0].value.int64_value
        except Exception:
            return None
        return 0

    def _watch_the_queue(self):
        while self._running:
            if (depth := self._get_queue_depth()) is not None:
                QUEUE_DEPTH.labels(self.subscription_name).set(depth)
            time.sleep(self.QUEUE_DEPTH_UPDATE_INTERVAL)

    def process_message(self, data):
        job_id = data["job_id"]
        began = time.time()
        with (
            JOBS_IN_PROGRESS.labels(self.job_type).track_inprogress(),
            trace.use_span(
                create_job_span(job_id, self.job_type, self.model_name), end_on_exit=True
            ) as span,
        ):
            try:
                path = self._done(job_id, data)
                self.job_service.update_status(job_id, JobStatus.COMPLETED, output_path=path)
                JOBS_COMPLETED.labels(self.job_type, "success").inc()
            except Exception as error:
                # Whatever it is, the job is failed, and never tried again.
                JOBS_COMPLETED.labels(self.job_type, "failed").inc()
                span.record_exception(error)
                span.set_status(trace.StatusCode.ERROR, str(error))
                logger.exception("job %s: failed", job_id)
                self.job_service.update_status(job_id, JobStatus.FAILED, error=str(error))
        JOB_PROCESSING_TIME.labels(self.job_type).observe(time.time() - began)

    def _done(self, job_id, data):
        """Do a job; return the path of its result."""
        self.job_service.update_status(job_id, JobStatus.PROCESSING)
        source, target = data["input_path"], f"outputs/{job_id}/result.png"
        with trace.use_span(create_storage_span("download", source), end_on_exit=True):
            image = self.storage.download_image(source)
        with (
            trace.use_span(create_triton_span(self.model_name), end_on_exit=True),
            TRITON_LATENCY.labels(self.model_name).time(),
        ):
            made = self.process_with_triton(image, data.get("params") or {})
        with trace.use_span(create_storage_span("upload", target), end_on_exit=True):
            self.storage.upload_image(made, target)
        return target

    def run(self):
        self._running = True
        if settings.otel_enabled:
            from src.core.telemetry import setup_auto_instrumentation, setup_telemetry

            endpoint = settings.otel_exporter_otlp_endpoint
            setup_telemetry(f"imagen-worker-{self.job_type}", endpoint=endpoint)
            setup_auto_instrumentation()
        start_http_server(self.METRICS_PORT)
        threading.Thread(target=self._watch_the_queue, daemon=True).start()
        settings.validate_gcp_config()
        for _ in range(30):
            if self.triton.is_model_ready(self.model_name):
                break
            time.sleep(10)
        else:
            raise RuntimeError(f"Triton has no model {self.model_name}")
        self.queue.subscribe(
            subscription_name=self.subscription_name, callback=self.process_message
        )


class TritonUpscaleWorker(TritonWorker):
    model_name, subscription_name = "upscale", "upscale-jobs-sub"

    def process_with_triton(self, image, params):
        return self.triton.upscale(image, params.get("scale", 4.0))


class TritonEnhanceWorker(TritonWorker):
    model_name, subscription_name = "enhance", "enhance-jobs-sub"

    def process_with_triton(self, image, params):
        return self.triton.enhance(image, params.get("prompt"), params.get("strength", 0.3))


class TritonBackgroundRemoveWorker(TritonWorker):
    model_name, subscription_name = "background_remove", "background-remove-jobs-sub"

    def process_with_triton(self, image, params):
        return self.triton.remove_background(image)


class TritonStyleComicWorker(TritonWorker):
    model_name, subscription_name = "style_comic", "style-comic-jobs-sub"

    def process_with_triton(self, image, params):
        return self.triton.style_comic(image)


class TritonStyleAgedWorker(TritonWorker):
    model_name, subscription_name = "style_aged", "style-aged-jobs-sub"

    def process_with_triton(self, image, params):
        return self.triton.style_aged(image)


WORKER_CLASSES = {kind.__name__: kind for kind in TritonWorker.__subclasses__()}

if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == [] or sys.argv[1] not in WORKER_CLASSES:
        sys.exit(f"expected one of {', '.join(WORKER_CLASSES)}")
    WORKER_CLASSES[sys.argv[1]]().run()
