"""P6's writer: outbox rows at a steady pace, each appended with an event, as a payment's start is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from eventsourcing.persistence import StoredEvent

from bench import pacing, sample_order, worker
from bench.samples import Window
from payloops.db import Database
from payloops.events.store import Append, EventStore
from payloops.values import new_id
from payloops.workflows_bridge.contracts import Kind, PaymentInput, StartWorkflow, WorkflowType, processor_queue

PROCESSOR: Final = "stripe"


@asynccontextmanager
async def open_writer(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    database = Database(config["dsn"], application_name="payloops-bench-writer")
    await database.open(wait_s=5.0)
    store = EventStore(database)
    await store.open(listen=False)
    topic, state = sample_order.stored_state()
    merchant_id = str(new_id())

    async def write() -> str:
        order_id = new_id()
        row = _outbox_row(str(order_id), merchant_id)
        await store.append(Append([StoredEvent(order_id, 1, topic, state)], {"outbox": [row]}))
        return str(row["key"])

    async def measure(window: Window) -> Mapping[str, Any]:
        marks, begin_s = await pacing.run(write, config["per_s"], window)
        return {"marks": marks, "begin_s": begin_s}

    try:
        yield measure
    finally:
        await store.close()
        await database.close()


def _outbox_row(order_id: str, merchant_id: str) -> dict[str, Any]:
    workflow_id = f"payment-{order_id}"
    payment = PaymentInput(
        order_id=order_id,
        merchant_id=merchant_id,
        amount=sample_order.AMOUNT,
        currency=sample_order.CURRENCY,
        capture_method="automatic",
        return_url=None,
        processor=PROCESSOR,
        payment_method=None,
        attempt=1,
    )
    start = StartWorkflow(
        type=WorkflowType.PAYMENT.value,
        workflow_id=workflow_id,
        task_queue=processor_queue(PROCESSOR),
        input=payment.to_json(),
        merchant_id=merchant_id,
        order_id=order_id,
    )
    return {
        "id": new_id(),
        "key": workflow_id,
        "lane": f"{PROCESSOR}:{merchant_id}",
        "kind": Kind.START.value,
        "payload": start.to_json(),
        "correlation_id": order_id,
        "traceparent": None,
    }


if __name__ == "__main__":
    worker.serve(open_writer)
