from src.core.telemetry import get_tracer

tracer = get_tracer("imagen.worker")


def create_job_span(job_id, job_type, model_name):
    names = {"job.id": job_id, "job.type": job_type, "model.name": model_name}
    return tracer.start_span(f"process_job.{job_type}", attributes=names)


def create_triton_span(model_name, operation="infer"):
    return tracer.start_span(f"triton.{operation}", attributes={"triton.model": model_name})


def create_storage_span(operation, path):
    return tracer.start_span(f"storage.{operation}", attributes={"storage.path": path})
