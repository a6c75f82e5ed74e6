"""Traces through Temporal: the SDK's own OpenTelemetry interceptor, joined to the traces of this service.

A trace goes from the request through the outbox (its row has the ``traceparent``) into the client's span, with a header
into the workflow and its activities, and ends at the processor's request. The header is the one that the SDKs of all
languages agree on, so workers of others that use their interceptor continue our traces, and we continue theirs.
Without a collector there are no spans; the memo's ``traceContext`` then carries the trace (causes.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from temporalio import client, worker
from temporalio.converter import PayloadConverter
from temporalio.exceptions import TemporalError

from payloops.telemetry import tracer

HEADER: Final = "_tracer-data"
"""Of every SDK's OpenTelemetry interceptor: a JSON object as W3C headers."""

called_from: Final[ContextVar[str | None]] = ContextVar("called_from", default=None)
"""The ``traceparent`` of the step that called the present activity; None where its caller records none."""


def interceptors() -> list[client.Interceptor]:
    """Of a client, and of the workers that it serves: none where no collector is configured."""
    recorder = tracer()
    if recorder is None:
        return []
    from payloops.workflows_bridge.temporal.spans import Spans  # noqa: PLC0415 - only where a collector is configured

    return [Spans(recorder)]


class CalledFrom(worker.Interceptor):
    """Reads who called an activity, with a collector or without."""

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002 - the SDK's
    ) -> worker.ActivityInboundInterceptor:
        """See worker.Interceptor."""
        return _Reader(next)


class _Reader(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's
        called_from.set(traceparent_of(input.headers))
        return await self.next.execute_activity(input)


def traceparent_of(headers: Mapping[str, Any]) -> str | None:
    """What a call's headers say of its caller; None where that is nothing, or not readable."""
    payload = headers.get(HEADER)
    if payload is None:
        return None
    try:
        (carrier,) = PayloadConverter.default.from_payloads([payload])
    except (TemporalError, ValueError, KeyError, RuntimeError):
        # Nothing depends on it; a strange header is none.
        return None
    found = carrier.get("traceparent") if isinstance(carrier, Mapping) else None
    return found if isinstance(found, str) else None
