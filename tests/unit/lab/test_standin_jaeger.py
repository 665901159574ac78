"""The stand-in for Jaeger shows spans in the form of Jaeger's query API."""

from __future__ import annotations

from types import SimpleNamespace as Thing
from typing import Any

import pytest

from tests.unit.lab.test_standin_pubsub import load

TRACE, ROOT, CHILD = bytes(8) + b"\x01" * 8, b"\x02" * 8, b"\x03" * 8


class Value:
    """A value of OpenTelemetry's protocol: one of several fields is set."""

    def __init__(self, kind: str, content: Any) -> None:
        self._kind = f"{kind}_value"
        setattr(self, self._kind, content)

    def WhichOneof(self, _: str) -> str:  # noqa: N802 (protobuf's name)
        return self._kind


def attributes(**content: Any) -> list[Thing]:
    kinds = {bool: "bool", int: "int", float: "double", str: "string"}
    return [
        Thing(key=key.replace("_", "."), value=Value(kinds[type(one)], one))
        for key, one in content.items()
    ]


def sent(service: str, name: str, span_id: bytes, parent: bytes = b"", **more: Any) -> list[Thing]:
    """Return what a service sends: one span."""
    span = Thing(
        trace_id=TRACE,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        kind=more.get("kind", 1),
        start_time_unix_nano=more.get("start", 5_000_000),
        end_time_unix_nano=more.get("start", 5_000_000) + 2_000_000,
        status=Thing(code=2 if more.get("error") else 0, message=more.get("error", "")),
        attributes=attributes(**more.get("attributes", {})),
        events=[],
    )
    scope = Thing(scope=Thing(name="s", version=""), spans=[span])
    resource = Thing(attributes=attributes(service_name=service, host="h"))
    return [Thing(resource=resource, scope_spans=[scope])]


@pytest.fixture
def traces() -> Any:
    """A trace through two services."""
    made = load("spans").Traces(most=1)
    made.add(sent("api", "POST", ROOT, kind=2))
    made.add(sent("worker", "job", CHILD, ROOT, error="bad", attributes={"job_id": "7", "n": 2}))
    return made


def test_a_trace_has_its_spans_with_parents_and_services(traces: Any):
    """By its id, also without leading zeros; times in microseconds."""
    found = traces.get("01" * 8)
    assert found == traces.get(TRACE.hex())
    root, child = found["spans"]
    assert (root["operationName"], root["references"]) == ("POST", [])
    assert (root["startTime"], root["duration"]) == (5000, 2000)
    reference = {"refType": "CHILD_OF", "traceID": TRACE.hex(), "spanID": ROOT.hex()}
    assert child["references"] == [reference]
    names = [found["processes"][span["processID"]]["serviceName"] for span in (root, child)]
    assert names == ["api", "worker"]
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in child["tags"]}
    assert tags["job.id"] == ("string", "7")
    assert tags["n"] == ("int64", 2)
    assert tags["error"] == ("bool", True)
    assert tags["otel.status_description"] == ("string", "bad")


def test_traces_are_found_by_service_span_and_tag(traces: Any):
    """Any span that has all of them is enough."""
    assert traces.services() == ["api", "worker"]
    assert traces.operations("worker") == ["job"]
    assert len(traces.find("worker", operation="job", tags={"job.id": "7", "error": "true"})) == 1
    assert traces.find("worker", tags={"job.id": "8"}) == []
    assert traces.find("api", operation="job") == []
    assert traces.find("api", start=5001) == []
    assert traces.find("api", limit=0) == []
    assert traces.get("ff") is None


def test_the_oldest_trace_makes_room(traces: Any):
    """Memory is limited, as in Jaeger's own configuration."""
    for one in (group := sent("late", "x", ROOT))[0].scope_spans[0].spans:
        one.trace_id = b"\x09" * 16
    traces.add(group)
    assert traces.services() == ["late"]
