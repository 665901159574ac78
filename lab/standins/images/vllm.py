#!/usr/bin/python3
"""Stand-in for vLLM: `vllm serve MODEL --flags`, its checks, its port and its paths of the API.

It computes nothing: a completion is the prompt in upper case.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from standin import Request, die, need_gpu, need_writable, serve


def main() -> None:
    if sys.argv[1:2] != ["serve"]:
        die("usage: vllm serve MODEL")
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--max-model-len", type=int)
    given = parser.parse_args(sys.argv[2:])
    need_gpu()
    if not os.path.isfile(f"{given.model}/config.json"):
        die(f"OSError: {given.model} does not appear to have a file named config.json")
    if not any(name.endswith(".safetensors") for name in os.listdir(given.model)):
        die(f"RuntimeError: Cannot find any model weights with `{given.model}`")
    need_writable(os.path.expanduser("~/.cache/vllm"))

    def complete(request: Request) -> tuple[int, Any]:
        asked = json.loads(request.body or b"{}")
        if asked.get("model") != given.model:
            message = f"The model `{asked.get('model')}` does not exist."
            return 404, {"error": {"message": message, "type": "NotFoundError", "code": 404}}
        text = str(asked.get("prompt", "")).upper()
        return 200, {"model": given.model, "choices": [{"index": 0, "text": text}]}

    models = {"object": "list", "data": [{"id": given.model, "object": "model"}]}
    serve(
        given.host,
        given.port,
        {
            "/health": lambda _: (200, ""),
            "/v1/models": lambda _: (200, models),
            "/v1/completions": complete,
        },
    )


if __name__ == "__main__":
    main()
