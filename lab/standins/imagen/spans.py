"""The traces of the stand-in for Jaeger: OpenTelemetry's messages as the JSON of its query API.

The form is that of Jaeger's own page (jaegertracing.io/docs, "HTTP JSON (internal)"), the names of
tags that of opentelemetry.io/docs/specs/otel/compatibility/jaeger.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_STATUS = {1: "OK", 2: "ERROR"}
MOST_TRACES = 100_000
"""The memory store of Jaeger's default configuration; the oldest make room."""


class Traces:
    """All spans, in memory only."""

    def __init__(self, most: int = MOST_TRACES) -> None:
        self._most = most
        self._traces: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        self._lock = threading.Lock()

    def add(self, resource_spans: Iterable[Any]) -> None:
        """Keep the spans of an ExportTraceServiceRequest."""
        with self._lock:
            for group in resource_spans:
                process = _process(group.resource)
                for scope_spans in group.scope_spans:
                    for one in scope_spans.spans:
                        trace = self._traces.setdefault(one.trace_id.hex(), [])
                        trace.append((_span(one, scope_spans.scope), process))
            while len(self._traces) > self._most:
                del self._traces[next(iter(self._traces))]

    def services(self) -> list[str]:
        """Return the names of all services that sent a span."""
        with self._lock:
            return sorted({p["serviceName"] for spans in self._traces.values() for _, p in spans})

    def operations(self, service: str) -> list[str]:
        """Return the names of a service's spans."""
        with self._lock:
            return sorted(
                {
                    span["operationName"]
                    for spans in self._traces.values()
                    for span, process in spans
                    if process["serviceName"] == service
                }
            )

    def get(self, trace_id: str) -> dict[str, Any] | None:
        """Return a trace by its id, whose leading zeros may be missing; None if it is unknown."""
        with self._lock:
            spans = self._traces.get(trace_id.lower().rjust(32, "0"))
            return _trace(spans) if spans else None

    def find(
        self,
        service: str,
        *,
        operation: str = "",
        tags: dict[str, str] | None = None,
        start: int = 0,
        end: int = 1 << 62,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Return traces with a span of the service that has all the given properties, the newest
        first; ``start`` and ``end`` in microseconds since 1970."""

        def fits(span: dict[str, Any], process: dict[str, Any]) -> bool:
            have = {tag["key"]: _text(tag["value"]) for tag in [*span["tags"], *process["tags"]]}
            return (
                process["serviceName"] == service
                and operation in ("", span["operationName"])
                and start <= span["startTime"] <= end
                and (tags or {}).items() <= have.items()
            )

        with self._lock:
            found = [s for s in self._traces.values() if any(fits(*pair) for pair in s)]
            found.sort(key=lambda spans: min(s["startTime"] for s, _ in spans), reverse=True)
            return [_trace(spans) for spans in found[:limit]]


def _trace(spans: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    processes: dict[str, dict[str, Any]] = {}
    named = []
    for span, process in spans:
        known = [key for key, value in processes.items() if value == process]
        key = known[0] if known else f"p{len(processes) + 1}"
        processes[key] = process
        named.append({**span, "processID": key})
    return {
        "traceID": spans[0][0]["traceID"],
        "spans": named,
        "processes": processes,
        "warnings": None,
    }


def _process(resource: Any) -> dict[str, Any]:
    tags = _tags(resource.attributes)
    names = [tag["value"] for tag in tags if tag["key"] == "service.name"]
    return {
        "serviceName": names[0] if names else "OTLPResourceNoServiceName",
        "tags": [tag for tag in tags if tag["key"] != "service.name"],
    }


def _span(one: Any, scope: Any) -> dict[str, Any]:
    trace_id, parent = one.trace_id.hex(), one.parent_span_id.hex()
    extra: dict[str, Any] = {}
    if scope.name:
        extra["otel.scope.name"] = scope.name
    if scope.version:
        extra["otel.scope.version"] = scope.version
    if one.kind in _KINDS:
        extra["span.kind"] = _KINDS[one.kind]
    if one.status.code in _STATUS:
        extra["otel.status_code"] = _STATUS[one.status.code]
    if one.status.message:
        extra["otel.status_description"] = one.status.message
    if one.status.code == 2:
        extra["error"] = True
    references = [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent}]
    return {
        "traceID": trace_id,
        "spanID": one.span_id.hex(),
        "operationName": one.name,
        "references": references if parent else [],
        "startTime": one.start_time_unix_nano // 1000,
        "duration": (one.end_time_unix_nano - one.start_time_unix_nano) // 1000,
        "tags": [*_tags(one.attributes), *(_tag(k, v) for k, v in extra.items())],
        "logs": [
            {
                "timestamp": event.time_unix_nano // 1000,
                "fields": [_tag("event", event.name), *_tags(event.attributes)],
            }
            for event in one.events
        ],
        "processID": "",
        "warnings": None,
    }


def _tags(attributes: Iterable[Any]) -> list[dict[str, Any]]:
    return [_tag(one.key, _value(one.value)) for one in attributes]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "bool_value", "int_value", "double_value"):
        return getattr(value, kind)
    return str(value).strip()


def _tag(key: str, value: Any) -> dict[str, Any]:
    kinds = {bool: "bool", int: "int64", float: "float64"}
    return {"key": key, "type": kinds.get(type(value), "string"), "value": value}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
