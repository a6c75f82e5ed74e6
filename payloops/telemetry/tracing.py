"""Traces: the W3C trace context that every request has, and OpenTelemetry spans where a collector is configured.

Without a collector :func:`span` costs a comparison, and the trace context still goes from request to log line,
workflow and outbound call.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from payloops.telemetry.redaction import redact_text

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as RecordedSpan
    from opentelemetry.trace import Tracer

Attribute: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]

_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
_FLUSH_TIMEOUT_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where we are in a trace: W3C Trace Context, section 3.2 ("traceparent")."""

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def parse(cls, header: str | None) -> TraceContext | None:
        """The context that a ``traceparent`` header names; None when there is none or it breaks the grammar."""
        match = _TRACEPARENT.fullmatch(header.strip()) if header is not None and len(header) <= 512 else None  # noqa: PLR2004 - a header's bound
        if match is None or match["version"] == "ff" or (match["version"] == "00" and match["rest"]):
            return None
        if not int(match["trace"], 16) or not int(match["span"], 16):
            return None
        return cls(match["trace"], match["span"], sampled=bool(int(match["flags"], 16) & 1))

    @classmethod
    def new(cls) -> TraceContext:
        """The beginning of a trace that nobody records."""
        return cls(os.urandom(16).hex(), os.urandom(8).hex(), sampled=False)

    @property
    def header(self) -> str:
        """The ``traceparent`` header for what we call."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


_current: Final[ContextVar[TraceContext | None]] = ContextVar("trace_context", default=None)
_tracer: Tracer | None = None


def current_trace() -> TraceContext | None:
    """Where this task is in its trace."""
    return _current.get()


def traceparent() -> str | None:
    """The header to send along with a call, if this task is part of a trace."""
    context = _current.get()
    return None if context is None else context.header


@contextlib.contextmanager
def trace_scope(context: TraceContext | None) -> Iterator[TraceContext | None]:
    """The block belongs to ``context``; None begins a new trace where nothing records, else leaves that to the span."""
    chosen = TraceContext.new() if context is None and _tracer is None else context
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


class Span:
    """One timed step. This class is the step that nobody records; it does nothing."""

    __slots__ = ()

    def set(self, name: str, value: Attribute) -> None:
        """Add an attribute; text is redacted."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _RecordedSpan(Span):
    __slots__ = ("_span", "_token")

    def __init__(self, recorded: RecordedSpan) -> None:
        self._span = recorded
        self._token: Token[TraceContext | None] | None = None

    def set(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, _redacted(value))

    def __enter__(self) -> Self:
        context = self._span.get_span_context()
        self._token = _current.set(
            TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled=context.trace_flags.sampled)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - only where a collector is configured

        if self._token is not None:
            _current.reset(self._token)
        if isinstance(problem, Exception):
            self._span.set_status(Status(StatusCode.ERROR, redact_text(str(problem))[:200]))
            self._span.set_attribute("error.type", type(problem).__name__)
        self._span.end()


_NOTHING: Final = Span()


def span(name: str, *, kind: Kind = "internal", attributes: Mapping[str, Attribute] | None = None) -> Span:
    """A step of the current trace, timed for the length of a ``with`` block."""
    if _tracer is None:
        return _NOTHING
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - only where a collector is configured

    return _RecordedSpan(
        _tracer.start_span(
            name,
            context=_parent(_current.get()),
            kind=SpanKind[kind.upper()],
            attributes={key: _redacted(value) for key, value in (attributes or {}).items()},
        )
    )


def tracer() -> Tracer | None:
    """What records spans, for a library that makes its own; None where no collector is configured."""
    return _tracer


@contextlib.contextmanager
def lent_to_opentelemetry() -> Iterator[None]:
    """Spans that a library records in the block are children of where this task is in its trace."""
    from opentelemetry import context  # noqa: PLC0415 - only where a collector is configured

    token = context.attach(_parent(_current.get()))
    try:
        yield
    finally:
        context.detach(token)


def record_spans(endpoint: str, *, service: str, part: str) -> TracerProvider:
    """From now on spans are recorded and sent to ``endpoint``/v1/traces (OTLP over HTTP), from a bounded queue."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only where a collector is configured
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    global _tracer  # noqa: PLW0603 - one process has one tracer, as it has one logging configuration
    resource = Resource.create({"service.name": service, "payloops.part": part})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=5)))
    _tracer = provider.get_tracer("payloops")
    return provider


def stop_recording(provider: TracerProvider) -> None:
    """Send what is queued, for at most two seconds, and record no more."""
    global _tracer  # noqa: PLW0603 - see record_spans
    _tracer = None
    provider.force_flush(_FLUSH_TIMEOUT_MS)
    provider.shutdown()


def _parent(context: TraceContext | None) -> Context:
    from opentelemetry import trace  # noqa: PLC0415 - only where a collector is configured
    from opentelemetry.context import Context  # noqa: PLC0415

    if context is None:
        return Context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT)
    remote = trace.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _redacted(value: Attribute) -> Attribute:
    return redact_text(value) if isinstance(value, str) else value
