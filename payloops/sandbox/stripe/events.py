"""Stripe's events: a snapshot of the object with what changed, sent to webhook endpoints and listed by the API."""

from __future__ import annotations

from payloops.sandbox.engine import Work
from payloops.sandbox.ids import stripe_id
from payloops.sandbox.signatures import stripe_signature
from payloops.sandbox.store import StoredDocument
from payloops.sandbox.stripe.objects import API_VERSION
from payloops.sandbox.wire import Document


def emit(work: Work, event_type: str, body: Document, previous: Document | None = None) -> None:
    """Publish ``event_type`` about an object; ``previous`` holds the old values of what changed."""
    data: Document = {"object": body}
    if previous is not None:
        data["previous_attributes"] = previous
    event_id = stripe_id("evt")
    event = {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": work.now_s,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(work.endpoints()),
        "request": {"id": work.request_id, "idempotency_key": work.idempotency_key},
        "type": event_type,
    }
    work.emit(event_id, event_type, event)


def webhook_headers(_: StoredDocument, endpoint: StoredDocument, body: bytes, now_s: int) -> dict[str, str]:
    """The headers under which an event's body goes out; each attempt is signed with its own time."""
    return {
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": stripe_signature(endpoint.hidden["secret"], body, now_s),
    }
