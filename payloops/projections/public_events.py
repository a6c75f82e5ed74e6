"""Read table ``public_events``: what merchants are told, as it was at that very event; and the bytes that tell it.

A row keeps the wire form of the order with its personal data and client secrets still sealed. They are opened when the
body is made, so that an erased customer is erased here too; apart from that every making gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.db import Database, load_sql
from payloops.events import order as e
from payloops.events.base import Event, Sealed
from payloops.events.order_state import Captured, Dispute, Existing, OrderState, Refund
from payloops.events.public_events import last_published, public_event_id
from payloops.projections import orders
from payloops.projections.base import InlineProjection, Row
from payloops.projections.order_wire import Opener, wire_order, wire_time
from payloops.projections.personal_data import (
    CLIENT_SECRET,
    CUSTOMER_EMAIL,
    REDIRECT_URL,
    MerchantKey,
    PersonalData,
)
from payloops.projections.reading import Columns, fetch

PUBLISHED_PAYLOAD: Final = "public_events.payload"
"""What an external worker wants to stand beside the order: bound to that order."""

COLUMNS: Final = (
    "id",
    "merchant_id",
    "stream_id",
    "stream_version",
    "order_id",
    "sequence",
    "type",
    "state",
    "correlation_id",
    "traceparent",
    "created_at",
)

_POSITION_MAX: Final = 2**63 - 1

Json = dict[str, Any]


def rows(before: OrderState, event: e.OrderEvent, after: Existing) -> list[Row]:
    """The public event that the order's event makes, if any."""
    published = last_published(before, after)
    if published is None:
        return []
    facts = after.facts
    beside = _beside(event, after)
    return [
        public_event_row(
            event,
            merchant_id=facts.merchant_id,
            order_id=facts.order_id,
            event_type=published.type,
            sequence=published.sequence,
            order=wire_order(orders.row(after), _UNOPENED),
            beside=beside,
            sealed_payload=event.sealed_payload if isinstance(event, e.ExternalEventPublished) else None,
        )
    ]


def public_event_row(
    event: Event,
    *,
    merchant_id: UUID,
    order_id: UUID | None,
    event_type: str,
    sequence: int,
    order: Mapping[str, Any] | None,
    beside: Mapping[str, Any],
    sealed_payload: Sealed | None = None,
) -> Row:
    """The row of a public event that ``event``, of an order or of a checkout session without one, makes.

    ``beside`` is what stands beside the order (``{"session": {…}}``), in its wire form and without personal data.
    """
    return {
        "id": public_event_id(event.originator_id, event.originator_version),
        "merchant_id": merchant_id,
        "stream_id": event.originator_id,
        "stream_version": event.originator_version,
        "order_id": order_id,
        "sequence": sequence,
        "type": event_type,
        "state": {"order": order, "beside": beside, "sealedPayload": sealed_payload},
        "correlation_id": event.meta.correlation_id,
        "traceparent": event.meta.traceparent,
        "created_at": event.timestamp,
    }


def _beside(event: e.OrderEvent, after: Existing) -> Mapping[str, Any]:
    if isinstance(event, e.ExternalEventPublished):
        return event.payload or {}
    if not isinstance(after, Captured):
        return {}
    if isinstance(event, e.RefundRequested | e.RefundDiscovered | e.RefundSucceeded | e.RefundFailed):
        refund = after.refunds.get(event.refund_id)
        return {} if refund is None else {"refund": _wire_refund(after, refund)}
    if isinstance(event, e.DisputeOpened | e.DisputeWon | e.DisputeLost):
        dispute = after.dispute(event.dispute_id)
        return {} if dispute is None else {"dispute": _wire_dispute(after, dispute)}
    return {}


def _wire_refund(state: Captured, refund: Refund) -> Json:
    return {
        "refundId": refund.refund_id,
        "orderId": state.facts.order_id,
        "amount": refund.amount,
        "currency": state.facts.currency,
        "status": refund.status,
        "reason": refund.reason,
        "processorRefundId": refund.processor_refund_id,
        "errorCode": refund.error_code,
        "errorMessage": refund.error_message,
        "createdAt": wire_time(refund.created_at),
    }


def _wire_dispute(state: Captured, dispute: Dispute) -> Json:
    return {
        "disputeId": dispute.dispute_id,
        "orderId": state.facts.order_id,
        "amount": dispute.amount,
        "currency": state.facts.currency,
        "status": dispute.status,
        "reason": dispute.reason,
        "processorDisputeId": dispute.processor_dispute_id,
        "createdAt": wire_time(dispute.created_at),
    }


class _Unopened:
    """Leaves sealed what is sealed."""

    def open(self, _field: str, _row_id: UUID | str, sealed: str | None) -> str | None:
        return sealed


_UNOPENED: Final = _Unopened()

PUBLIC_EVENTS: Final = InlineProjection("public_events", "id", COLUMNS, rows, silent=(e.OrderCreated,))


def seal_payload(key: MerchantKey, order_id: UUID, payload: Mapping[str, Any]) -> Sealed:
    """An external worker's payload for ``PublishEvent``: nobody knows what is in it, so none of it is in clear.

    Raises RuleViolation when the merchant's key was destroyed, TypeError for what is no JSON.
    """
    return key.seal(PUBLISHED_PAYLOAD, order_id, orjson.dumps(dict(payload)).decode())


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """A public event. ``position`` is its place in the log, ``sequence`` its place among the order's."""

    id: UUID
    merchant_id: UUID
    order_id: UUID | None
    sequence: int
    type: str
    position: int
    created_at: datetime
    correlation_id: str
    traceparent: str | None
    body: bytes = field(repr=False)
    """What every receiver gets, byte for byte."""


class PublicEvents:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database, personal: PersonalData) -> None:
        self._database = database
        self._personal = personal

    async def get(self, event_id: UUID) -> PublicEvent | None:
        """The event, for those who deliver it. Raises DecryptionError when what it seals was damaged."""
        found = await fetch(self._database, _compose("by_id"), (event_id,))
        if not found:
            return None
        return _event(found[0], await self._personal.key_for(found[0][1]))

    async def after(
        self,
        merchant_id: UUID,
        position: int,
        *,
        types: Sequence[str] | None = None,
        until: int = _POSITION_MAX,
        limit: int,
    ) -> list[PublicEvent]:
        """The merchant's events that come after that position, up to ``until``, the first first."""
        parameters = {
            "merchant": merchant_id,
            "after": position,
            "until": until,
            "types": None if types is None else list(types),
            "limit": limit,
        }
        found = await fetch(self._database, _compose("after_position"), parameters)
        key = await self._personal.key_for(merchant_id)
        return [_event(columns, key) for columns in found]


@cache
def _compose(block: str) -> str:
    blocks = load_sql("payloops.projections", "public_events")
    return blocks[block].replace("{columns}", blocks["columns"])


def _event(columns: Columns, key: Opener) -> PublicEvent:
    event_id, merchant_id, order_id, sequence, event_type, position, _, correlation_id, traceparent, created_at = (
        columns
    )
    return PublicEvent(
        id=event_id,
        merchant_id=merchant_id,
        order_id=order_id,
        sequence=sequence,
        type=event_type,
        position=position,
        created_at=created_at,
        correlation_id=correlation_id,
        traceparent=traceparent,
        body=orjson.dumps(_document(columns, key)),
    )


def _document(columns: Columns, key: Opener) -> Json:
    """The body of the wire contract ("Outbound webhooks"), for orjson."""
    event_id, _, order_id, sequence, event_type, _, text, _, _, created_at = columns
    state = orjson.loads(text)
    order, beside = state["order"], state["beside"]
    payload = {**_opened_payload(state["sealedPayload"], order_id, key), **_opened_order(order, key), **beside}
    # Of a checkout that nobody paid there is no order; what it was about is known all the same.
    head = order if order is not None else beside.get("session") or {}
    return {
        "id": event_id,
        "eventType": event_type,
        "type": event_type,
        "createdAt": wire_time(created_at),
        "sequence": sequence,
        "orderId": order_id,
        "externalId": head.get("externalId"),
        "amount": head.get("amount"),
        "currency": head.get("currency"),
        "status": None if order is None else order["status"],
        "processor": head.get("processor"),
        "payload": payload,
        "data": payload,
    }


def _opened_order(order: Json | None, key: Opener) -> Json:
    """The order with what is sealed in it as ``key`` shows it."""
    if order is None:
        return {}
    order_id, action = order["id"], order["nextAction"]
    opened = {**order, "customerEmail": key.open(CUSTOMER_EMAIL, order_id, order["customerEmail"])}
    if action is not None:
        opened["nextAction"] = {
            **action,
            "redirectUrl": key.open(REDIRECT_URL, order_id, action["redirectUrl"]),
            "clientSecret": key.open(CLIENT_SECRET, order_id, action["clientSecret"]),
        }
    return opened


def _opened_payload(sealed: str | None, order_id: UUID | None, key: Opener) -> Json:
    """Nothing when there is none, and when its key was destroyed."""
    if sealed is None or order_id is None:
        return {}
    text = key.open(PUBLISHED_PAYLOAD, order_id, sealed)
    return {} if text is None else orjson.loads(text)
