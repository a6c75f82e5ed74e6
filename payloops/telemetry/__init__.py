"""What the service says about itself: structured logs, correlation ids, traces; all without secrets.

Call :func:`start` once in a process, :meth:`Telemetry.stop` at its end.
"""

from payloops.telemetry.correlation import accept_correlation_id, correlation_id, correlation_scope
from payloops.telemetry.process import Telemetry, start
from payloops.telemetry.redaction import contains_card_number, redact, redact_text
from payloops.telemetry.tracing import (
    Span,
    TraceContext,
    current_trace,
    lent_to_opentelemetry,
    span,
    trace_scope,
    traceparent,
    tracer,
)

__all__ = [
    "Span",
    "Telemetry",
    "TraceContext",
    "accept_correlation_id",
    "contains_card_number",
    "correlation_id",
    "correlation_scope",
    "current_trace",
    "lent_to_opentelemetry",
    "redact",
    "redact_text",
    "span",
    "start",
    "trace_scope",
    "traceparent",
    "tracer",
]
