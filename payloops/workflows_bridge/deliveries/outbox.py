"""What a delivery's events cause: its workflow's start, and word to it. Pure, as the orders' own outbox."""

from __future__ import annotations

from typing import Final, assert_never
from uuid import UUID

from payloops.events import webhook_delivery as e
from payloops.events.webhook_delivery_state import DeliveryFacts, Existing, WebhookDeliveryState
from payloops.projections.base import InlineProjection, Row
from payloops.workflows_bridge.contracts import (
    BACKEND_QUEUE,
    Kind,
    Signal,
    SignalWorkflow,
    StartWorkflow,
    WebhookDeliveryInput,
    WorkflowType,
)
from payloops.workflows_bridge.outbox import COLUMNS, effect_id

_WORKFLOW_PREFIX: Final = "webhook-"
_UUID_CHARS: Final = 36


def intents(_before: WebhookDeliveryState, event: e.WebhookDeliveryEvent, after: Existing) -> list[Row]:
    """The effects of the event."""
    match event:
        case e.DeliveryScheduled():
            return [_start(event, after.facts)]
        case e.DeliveryRetried():
            return [_retry_now(event, after.facts) if event.signal else _start(event, after.facts)]
        case e.DeliveryAttempted() | e.DeliveryGivenUp():
            return []
        case _:
            assert_never(event)


def lane(merchant_id: UUID, endpoint_id: UUID) -> str:
    """What is slow together: one endpoint. The migration that passes turns on writes the same."""
    return f"deliver:{merchant_id}:{endpoint_id}"


def delivery_of(workflow_id: str) -> UUID | None:
    """The delivery whose workflow is called so; None for a name that somebody else gave."""
    name = workflow_id.removeprefix(_WORKFLOW_PREFIX)
    try:
        return UUID(name[:_UUID_CHARS]) if name != workflow_id else None
    except ValueError:
        return None


def _start(event: e.DeliveryScheduled | e.DeliveryRetried, facts: DeliveryFacts) -> Row:
    """The body is read when it is sent; a workflow's history holds only what names the event."""
    order_id = None if facts.order_id is None else str(facts.order_id)
    told = WebhookDeliveryInput(
        webhook_event_id=str(facts.event_id),
        merchant_id=str(facts.merchant_id),
        webhook_url=facts.url,
        payload={
            "id": str(facts.event_id),
            "eventType": facts.event_type,
            "type": facts.event_type,
            "sequence": facts.sequence,
            "orderId": order_id,
        },
        delivery_id=str(facts.delivery_id),
    )
    start = StartWorkflow(
        type=WorkflowType.WEBHOOK_DELIVERY.value,
        workflow_id=facts.workflow_id,
        task_queue=BACKEND_QUEUE,
        input=told.to_json(),
        merchant_id=str(facts.merchant_id),
        order_id=order_id,
    )
    return _row(event, Kind.START, facts, start)


def _retry_now(event: e.DeliveryRetried, facts: DeliveryFacts) -> Row:
    signal = SignalWorkflow(
        workflow_id=facts.workflow_id,
        signal=Signal.RETRY_NOW.value,
        payload={},
        merchant_id=str(facts.merchant_id),
        order_id=None if facts.order_id is None else str(facts.order_id),
        attempt=facts.attempts,
    )
    return _row(event, Kind.SIGNAL, facts, signal)


def _row(
    event: e.DeliveryScheduled | e.DeliveryRetried,
    kind: Kind,
    facts: DeliveryFacts,
    payload: StartWorkflow | SignalWorkflow,
) -> Row:
    return {
        "id": effect_id(event.originator_id, event.originator_version, kind),
        "key": facts.workflow_id,
        "lane": lane(facts.merchant_id, facts.endpoint_id),
        "kind": kind.value,
        "payload": payload.to_json(),
        "correlation_id": event.meta.correlation_id,
        "traceparent": event.meta.traceparent,
    }


DELIVERY_OUTBOX: Final = InlineProjection(
    "outbox", "id", COLUMNS, intents, silent=(e.DeliveryAttempted, e.DeliveryGivenUp)
)
"""Give it to the deliveries aggregate beside its read tables. It is never rebuilt: a replay fires no effect again."""
