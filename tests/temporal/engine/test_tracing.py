"""Traces that cross to workers of others and back: in the header that the interceptors of all SDKs share."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.converter import PayloadConverter
from temporalio.worker import Worker

from payloops.telemetry import TraceContext
from payloops.workflows_bridge.temporal.tracing import HEADER, interceptors, traceparent_of
from tests.temporal.engine.foreign_workflow import Foreign
from tests.temporal.engine.world import TemporalWorld

TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.mark.temporal
async def test_our_activities_continue_the_trace_of_a_worker_of_others(temporal: TemporalWorld) -> None:
    world, exporter = temporal.base, InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    theirs = await Client.connect(
        temporal.server.address,
        namespace=temporal.server.namespace,
        interceptors=[TracingInterceptor(provider.get_tracer("theirs"))],
    )
    queue = f"foreign-{uuid4()}"
    async with temporal.working(("backend-operations",)), Worker(theirs, task_queue=queue, workflows=[Foreign]):
        order_id = await world.paid("pm_card_visa")
        told = {"orderId": str(order_id), "status": "captured", "processorTransactionId": "pi_9"}
        handle = await theirs.start_workflow(
            "Foreign",
            args=["updateOrderStatus", told],
            id=f"foreign-{uuid4()}",
            task_queue=queue,
            memo={"traceContext": TRACEPARENT},
        )
        await asyncio.wait_for(handle.result(), 60)
    captured = (await world.store.load(order_id))[2]
    (step,) = [span for span in exporter.get_finished_spans() if span.name == "StartActivity:updateOrderStatus"]
    assert step.context is not None
    context = TraceContext.parse(captured.meta.traceparent)
    assert context is not None
    # Nearer than what the memo says of the whole workflow.
    assert (context.trace_id, context.span_id) == (f"{step.context.trace_id:032x}", f"{step.context.span_id:016x}")


def header(value: Any) -> dict[str, Payload]:
    return {HEADER: PayloadConverter.default.to_payloads([value])[0]}


@pytest.mark.parametrize(
    ("headers", "found"),
    (
        (header({"traceparent": TRACEPARENT}), TRACEPARENT),
        (header({"traceparent": 7}), None),
        (header({}), None),
        (header("x"), None),
        ({HEADER: Payload(data=b"{")}, None),
        ({HEADER: Payload(metadata={"encoding": b"json/plain"}, data=b"{")}, None),
        ({HEADER: Payload(metadata={"encoding": b"nobody/knows"}, data=b"{}")}, None),
        ({}, None),
    ),
)
def test_a_strange_header_is_none(headers: dict[str, Payload], found: str | None) -> None:
    assert traceparent_of(headers) == found


def test_without_a_collector_there_is_no_interceptor() -> None:
    assert interceptors() == []
