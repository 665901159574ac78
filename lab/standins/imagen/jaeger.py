"""Stand-in for Jaeger 2: receives OpenTelemetry's traces over gRPC, and answers its query API.

Arguments as Jaeger's: ``--set=KEY=VALUE`` for the two addresses, other known keys are accepted
without effect, unknown ones are refused. Everything is in memory. The addresses, and the variable
JAEGER_LISTEN_HOST that is part of them, are those of its own configuration (jaegertracing/jaeger,
cmd/jaeger/internal/all-in-one.yaml); it has neither
the receivers of other protocols (OTLP over HTTP, Zipkin) nor the port of health checks.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent import futures
from typing import Any
from urllib.parse import unquote

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from spans import Traces
from standin import Answer, Request, Route, die, page, serve

GRPC, QUERY = "receivers.otlp.protocols.grpc.endpoint", "extensions.jaeger_query.http.endpoint"
_ROOTS = ("connectors", "exporters", "extensions", "processors", "receivers", "service")


def settings(arguments: list[str]) -> dict[str, str]:
    """Return the values of all ``--set``; exit with Jaeger's error if one is unknown."""
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        flag, _, value = rest.pop(0).partition("=")
        if flag not in ("--set", "--config", "--feature-gates"):
            die(f"Error: unknown flag: {flag}")
        value = value or (rest.pop(0) if rest else "")
        if flag == "--set":
            key, _, setting = value.partition("=")
            if key.split(".")[0] not in _ROOTS:
                die(
                    "Error: failed to get config: cannot unmarshal the configuration: decoding "
                    f"failed due to the following error(s):\n\n'' has invalid keys: {key}"
                )
            found[key] = setting
    return found


class Receiver(otlp_grpc.TraceServiceServicer):
    """OTLP over gRPC."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's name)
        self._traces.add(request.resource_spans)
        return otlp.ExportTraceServiceResponse()


def receive(traces: Traces, endpoint: str) -> Any:
    """Start the receiver and return it; exit if its port is in use."""
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        options=[("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=64,
    )
    otlp_grpc.add_TraceServiceServicer_to_server(Receiver(traces), server)
    try:
        server.add_insecure_port(endpoint)
    except RuntimeError as error:
        die(f"Error: cannot start pipelines: failed to start receiver: {error}")
    server.start()
    return server


def routes(traces: Traces) -> dict[str, Route]:
    """Return the query API of ``traces``."""

    def list_services(_: Request) -> Answer:
        return _found(traces.services())

    def of_service(request: Request) -> Answer:
        service, _, rest = request.path.removeprefix("/api/services/").partition("/")
        if rest != "operations":
            return _failed(404, "not found")
        return _found(traces.operations(unquote(service)))

    def search(request: Request) -> Answer:
        query = request.query
        if not query.get("service"):
            return _failed(400, "parameter 'service' is required")
        try:
            found = traces.find(
                query["service"],
                operation=query.get("operation", ""),
                tags=json.loads(query.get("tags") or "{}"),
                start=int(query.get("start") or 0),
                end=int(query.get("end") or 1 << 62),
                limit=int(query.get("limit") or 100),
            )
        except ValueError as error:
            return _failed(400, f"unable to parse a parameter: {error}")
        return _found(found)

    def one(request: Request) -> Answer:
        trace_id = request.path.removeprefix("/api/traces/")
        if not trace_id or set(trace_id.lower()) - set("0123456789abcdef") or len(trace_id) > 32:
            return _failed(
                400, f"strconv.ParseUint: parsing {json.dumps(trace_id)}: invalid syntax"
            )
        found = traces.get(trace_id)
        return _found([found]) if found else _failed(404, "trace not found")

    api: dict[str, Route] = {
        "/api/services": list_services,
        "/api/services/*": of_service,
        "/api/traces": search,
        "/api/traces/*": one,
    }
    return {"/": page("Jaeger UI"), **{path: _reading(route) for path, route in api.items()}}


def _reading(route: Route) -> Route:
    # Nothing can be deleted or changed.
    return lambda one: route(one) if one.method in ("GET", "HEAD") else _failed(405, "not allowed")


def _found(data: list[Any]) -> Answer:
    return 200, {"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": None}


def _failed(status: int, text: str) -> Answer:
    errors = [{"code": status, "msg": text}]
    return status, {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}


def main() -> None:
    """Serve until SIGTERM."""
    given = settings(sys.argv[1:])
    host = os.environ.get("JAEGER_LISTEN_HOST", "localhost")
    traces = Traces()
    receiver = receive(traces, given.get(GRPC, f"{host}:4317"))
    query_host, _, port = given.get(QUERY, f"{host}:16686").rpartition(":")
    serve(query_host, int(port), routes(traces))
    receiver.stop(None)


if __name__ == "__main__":
    main()
