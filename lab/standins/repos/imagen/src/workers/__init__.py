from src.workers.triton_worker import WORKER_CLASSES, TritonWorker

__all__ = ["WORKER_CLASSES", "TritonWorker"]
