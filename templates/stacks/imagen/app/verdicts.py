"""What ``check`` expects of a picture and of its trace. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EDGE = 256
"""Edges of the picture that is sent, in pixels."""

PARTS = ("api", "queue", "worker", "triton")
"""What a trace must have."""


def parts(trace: Mapping[str, Any]) -> list[str]:
    """Return which of PARTS an entry of Jaeger's ``/api/traces/<id>`` has spans of."""
    services = {key: one["serviceName"] for key, one in trace["processes"].items()}
    found = set()
    for span in trace["spans"]:
        name, service = span["operationName"], services[span["processID"]]
        if name.startswith("queue."):
            found.add("queue")
        elif name.startswith("process_job."):
            found.add("worker")
        elif name.startswith("triton."):
            found.add("triton")
        elif "worker" not in service:
            found.add("api")
    return [part for part in PARTS if part in found]


def wrong(model: str, size: tuple[int, int], mode: str, kind: str | None) -> str:
    """Return what is wrong with a result for a picture with edges of EDGE; empty if nothing is.

    + size, mode, kind: of the result, in Pillow's terms
    """
    if kind != "PNG":
        return f"it is a {kind}, not a PNG"
    if model == "upscale" and size != (4 * EDGE, 4 * EDGE):
        return f"it has {size[0]}x{size[1]} pixels, not four times as many on each edge"
    if model == "background_remove" and "A" not in mode:
        return f"its mode is {mode}, without transparency"
    if min(size) < 64:
        return f"it has only {size[0]}x{size[1]} pixels"
    return ""
