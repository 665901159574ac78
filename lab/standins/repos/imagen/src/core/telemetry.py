"""Traces, sent to an OTLP receiver."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_providers: list[TracerProvider] = []


def get_tracer(name: str = "imagen"):
    return trace.get_tracer(name)


def setup_telemetry(service_name, environment="development", endpoint=None, **_):
    names = {"service.name": service_name, "deployment.environment": environment}
    made = TracerProvider(resource=Resource.create(names))
    if endpoint:
        made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=True)))
    trace.set_tracer_provider(made)
    _providers.append(made)
    return made


def setup_auto_instrumentation():
    for kind in (HTTPXClientInstrumentor, RedisInstrumentor, LoggingInstrumentor):
        kind().instrument()


def shutdown_telemetry():
    while _providers:
        _providers.pop().shutdown()
