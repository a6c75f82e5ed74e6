"""Razorpay's webhook events: ``{entity, account_id, event, contains, payload, created_at}``."""

from __future__ import annotations

from payloops.sandbox.engine import Work
from payloops.sandbox.ids import account_number, razorpay_id
from payloops.sandbox.signatures import razorpay_signature
from payloops.sandbox.store import StoredDocument
from payloops.sandbox.wire import Document


def emit(work: Work, event_type: str, **entities: Document) -> None:
    """Publish ``event_type`` with the entities that it contains, in the order given."""
    event = {
        "entity": "event",
        "account_id": account_number("acc", work.account.key),
        "event": event_type,
        "contains": list(entities),
        "payload": {name: {"entity": entity} for name, entity in entities.items()},
        "created_at": work.now_s,
    }
    # The event's id is no part of the body: it travels in a header that the signature does not cover.
    work.emit(razorpay_id("event"), event_type, event)


def webhook_headers(event: StoredDocument, endpoint: StoredDocument, body: bytes, _: int) -> dict[str, str]:
    """The headers under which an event's body goes out."""
    return {
        "User-Agent": "Razorpay-Webhook/v1",
        "X-Razorpay-Event-Id": event.id,
        "X-Razorpay-Signature": razorpay_signature(endpoint.hidden["secret"], body),
    }
