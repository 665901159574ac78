#!/usr/bin/env python3
"""llama-cpp-python's server, with what it lacks: /health, MODEL_PATH, and reasons not to start.

MODEL_PATH names the model; the server's own name for it is MODEL. N_CTX, N_GPU_LAYERS, HOST, PORT
and every other setting of ``llama_cpp.server`` go by their own names. /health answers once the
model is loaded, and also while an answer is being made: /v1/models waits for that.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# What /proc/cpuinfo calls what each level of x86-64's ABI adds, as far as GGML uses it.
_ADDED = {
    "x86-64-v1": "",
    "x86-64-v2": "sse4_2",
    "x86-64-v3": "avx avx2 bmi2 f16c fma",
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl",
}


def model_problem(path: Path) -> str:
    """Return why there is no model to load at ``path``, and what to do; empty if there is one."""
    if not path.is_file():
        others = ", ".join(str(found) for found in sorted(path.parent.glob("*.gguf")))
        return f"{path} is not there: set MODEL_PATH to a GGUF file ({others or 'none is there'})."
    # github.com/ggml-org/ggml, docs/gguf.md: a file begins with these four bytes.
    with path.open("rb") as file:
        begins = file.read(4)
    if begins != b"GGUF":
        return f"{path} is no GGUF file: llama.cpp reads no other."
    return ""


def processor_problem(level: str, cpuinfo: str) -> str:
    """Return what the processor lacks, which would end this program without a word."""
    flags = next((line.split(":")[1] for line in cpuinfo.splitlines() if line[:5] == "flags"), "")
    levels = list(_ADDED)
    needed = " ".join(_ADDED[name] for name in levels[: levels.index(level) + 1]).split()
    lacking = [name for name in needed if name not in flags.split()]
    if not lacking:
        return ""
    names = ", ".join(lacking)
    return f"This image is built for {level}, and the processor has no {names}: set cpu."


def gpu_problem(layers: str, offloads: bool) -> str:
    """Return why no layer can be put on a GPU; llama.cpp itself would go on without."""
    if layers.strip() in ("", "0") or offloads:
        return ""
    return f"N_GPU_LAYERS is {layers}, and there is no GPU: set it to 0."


def main(environment: Mapping[str, str]) -> str:
    """Serve until told to stop; return why that is not possible."""
    model = environment.get("MODEL_PATH") or environment.get("MODEL") or "/models/model.gguf"
    problem = processor_problem(environment["LLAMA_CPU"], Path("/proc/cpuinfo").read_text())
    problem = problem or model_problem(Path(model))
    if problem:
        return problem
    os.environ["MODEL"] = model

    import llama_cpp
    import uvicorn
    from llama_cpp.server.app import create_app

    offloads = llama_cpp.llama_supports_gpu_offload()
    if problem := gpu_problem(environment.get("N_GPU_LAYERS", ""), offloads):
        return problem
    app = create_app()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    uvicorn.run(
        app,
        host=environment.get("HOST", "0.0.0.0"),
        port=int(environment.get("PORT", "8000")),
        # An answer that is being streamed would hold up the end for as long as it takes.
        timeout_graceful_shutdown=5,
    )
    return ""


if __name__ == "__main__":
    sys.exit(main(os.environ) or 0)
