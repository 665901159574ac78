"""The stack knowledge-center: Redis and a server for language models. docs/knowledge-center.md

Each entry that is text or a number can be given in .env too, as KNOWLEDGE_CENTER_ and its name in
upper case: KNOWLEDGE_CENTER_LLM_BACKEND=vllm. The password of Redis is REDIS_PASSWORD, there alone.
"""

knowledge_center = {
    # llamacpp, vllm or none. Whichever it is answers on the same address.
    "llm_backend": "llamacpp",
    # On the host's loopback.
    "llm_port": 8000,
    "redis_port": 6379,
    # llama.cpp: a file of models_path/gguf, which the container sees as /models.
    "model_path": "/models/model.gguf",
    # Tokens that prompt and answer may take together.
    "n_ctx": 4096,
    # Layers on the GPU: 0 none, -1 all.
    "n_gpu_layers": 0,
    # What the processor must have: x86-64-v1 (any), -v2, -v3 (AVX2: since 2013) or -v4 (AVX-512).
    "cpu": "x86-64-v3",
    # vLLM: a folder of models_path/hf, which the container sees as /models.
    "model_name": "/models/model",
    # Cards that share one model.
    "tensor_parallel_size": 1,
    "gpu_memory_utilization": 0.9,
    "max_model_len": 4096,
    # What a container may take of the machine: docs/hardening.md. Redis holds what nobody else
    # does, so the kernel ends the model server first.
    "limits": {
        "default": {"pids_limit": 8192, "oom_score_adj": 500},
        "redis": {"pids_limit": 1024, "oom_score_adj": 0},
    },
    # The Celery worker on the host: where its code is ("" for none), the full commit id, the folder
    # in the repository, and the app. Its packages stand in requirements.txt in that folder.
    "worker_repository": "",
    "worker_commit": "",
    "worker_folder": ".",
    "worker_app": "celery_app.celery",
    # Seconds that the worker gives the model server for one answer.
    "llm_timeout": 120,
}
