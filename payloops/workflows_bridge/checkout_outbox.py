"""What a checkout session's event causes outside of it: outbox rows, written in the event's own transaction. Pure."""

from __future__ import annotations

from typing import Any, Final, assert_never
from uuid import UUID

from payloops.events import checkout_session as e
from payloops.events.checkout_session_state import CheckoutSessionState, Existing
from payloops.projections.base import InlineProjection, Row
from payloops.workflows_bridge.contracts import Kind, Signal, SignalWorkflow
from payloops.workflows_bridge.outbox import COLUMNS, checkout_row, effect_id, lane_of

__all__ = ["CHECKOUT_OUTBOX", "intents"]


def intents(_before: CheckoutSessionState, event: e.CheckoutSessionEvent, after: Existing) -> list[Row]:
    """The effects of the event."""
    match event:
        case e.CheckoutSessionCreated():
            return [{**checkout_row(event, event.originator_id, event.merchant_id), "due_at": event.expires_at}]
        case e.CheckoutCustomerReturned():
            return [_ask_about_payment(event, after.facts.merchant_id)]
        case e.CheckoutSessionExpired() if event.order_id is not None:
            return [checkout_row(event, event.originator_id, after.facts.merchant_id)]
        case (
            e.CheckoutSessionExpired()
            | e.CheckoutOrderPlaced()
            | e.CheckoutPaymentStarted()
            | e.CheckoutSessionCompleted()
        ):
            return []
        case _:
            assert_never(event)


def _ask_about_payment(event: e.CheckoutCustomerReturned, merchant_id: UUID) -> dict[str, Any]:
    signal = SignalWorkflow(
        workflow_id=event.workflow_id,
        signal=Signal.CUSTOMER_RETURNED.value,
        payload={},
        merchant_id=str(merchant_id),
        order_id=str(event.order_id),
        attempt=event.attempt,
    )
    return {
        "id": effect_id(event.originator_id, event.originator_version, Kind.SIGNAL),
        "key": event.workflow_id,
        "lane": lane_of(event.processor, merchant_id),
        "kind": Kind.SIGNAL.value,
        "payload": signal.to_json(),
        "correlation_id": event.meta.correlation_id,
        "traceparent": event.meta.traceparent,
    }


CHECKOUT_OUTBOX: Final = InlineProjection("outbox", "id", (*COLUMNS, "due_at"), intents)
"""Give it to the aggregate of checkout sessions beside its read table. It is never rebuilt."""
