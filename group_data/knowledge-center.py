"""The stack knowledge-center: Redis and a language model server. docs/knowledge-center.md

You can also set any entry that is text or a number in .env, as KNOWLEDGE_CENTER_ and its name in
upper case: KNOWLEDGE_CENTER_LLM_BACKEND=vllm. Redis's password, REDIS_PASSWORD, goes only there.
"""

knowledge_center = {
    # llamacpp, vllm or none. Both servers answer at the same address.
    "llm_backend": "llamacpp",
    # Ports on the host's loopback.
    "llm_port": 8000,
    "redis_port": 6379,
    # llama.cpp: a file in models_path/gguf, which the container sees as /models.
    "model_path": "/models/model.gguf",
    # The number of tokens available for prompt and answer together.
    "n_ctx": 4096,
    # Layers on the GPU: 0 for none, -1 for all.
    "n_gpu_layers": 0,
    # What the processor must support: x86-64-v1 (any), -v2, -v3 (AVX2, since 2013), -v4 (AVX-512).
    "cpu": "x86-64-v3",
    # vLLM: a folder in models_path/hf, which the container sees as /models.
    "model_name": "/models/model",
    # The number of cards that share one model.
    "tensor_parallel_size": 1,
    "gpu_memory_utilization": 0.9,
    "max_model_len": 4096,
    # Limits on what a container may use of the machine: docs/hardening.md. Redis holds data that
    # exists nowhere else, so the kernel kills the model server first.
    "limits": {
        "default": {"pids_limit": 8192, "oom_score_adj": 500},
        "redis": {"pids_limit": 1024, "oom_score_adj": 0},
    },
    # The Celery worker on the host: its repository ("" for no worker), the full commit id, the
    # folder in the repository, and the app. requirements.txt in that folder lists its packages.
    "worker_repository": "",
    "worker_commit": "",
    "worker_folder": ".",
    "worker_app": "celery_app.celery",
    # How many seconds the worker waits for an answer from the model server.
    "llm_timeout": 120,
}
