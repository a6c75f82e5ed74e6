"""What an endpoint is sent to try it: a body as any other, of an order that does not exist."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from payloops.events.webhook_event_types import SAMPLE_TYPE
from payloops.projections.order_wire import wire_order, wire_time
from payloops.projections.personal_data import MerchantKey


def sample_body(event_id: UUID, endpoint_id: UUID, now: datetime) -> dict[str, Any]:
    """The body, of plain JSON values. That it is a sample is said by its type and in the order's ``metadata``."""
    order_id = str(uuid5(endpoint_id, "sample-order"))
    row = {
        "id": order_id,
        "version": 3,
        "external_id": "sample",
        "amount": 2599,
        "currency": "USD",
        "status": "captured",
        "amount_captured": 2599,
        "amount_refunded": 0,
        "processor": "stripe",
        "processor_order_id": "pi_sample",
        "customer_id": None,
        "customer_email": None,
        "description": "A sample: this order does not exist.",
        "metadata": {"sample": True},
        "return_url": None,
        "cancel_url": None,
        "capture_method": "automatic",
        "next_action": None,
        "failure": None,
        "outcome_unknown": False,
        "dispute_status": None,
        "created_at": now,
        "updated_at": now,
    }
    order = wire_order(row, MerchantKey(endpoint_id, None))
    return {
        "id": str(event_id),
        "eventType": SAMPLE_TYPE,
        "type": SAMPLE_TYPE,
        "createdAt": wire_time(now),
        "sequence": 1,
        "orderId": order_id,
        "externalId": order["externalId"],
        "amount": order["amount"],
        "currency": order["currency"],
        "status": order["status"],
        "processor": order["processor"],
        "payload": order,
        "data": order,
    }
