"""What has to be known of a processor's event before it is stored: which one it is, and whose. Pure; nothing raises.

The body is JSON of anybody until its signature holds, so every step down looks at what it finds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from payloops.projections.views import as_uuid

UNKNOWN_TYPE: Final = "unknown"

_ID: Final = re.compile(r"[!-~]{1,255}")
_TYPE: Final = re.compile(r"[A-Za-z0-9_.]{1,255}")
_RAZORPAY_ENTITIES: Final = ("payment", "order", "refund", "dispute")


@dataclass(frozen=True, slots=True)
class Envelope:
    """``event_id`` is None where the processor named none. The ids are what the event says, not what is so."""

    event_id: str | None
    type: str
    merchant_id: UUID | None
    order_id: UUID | None


def stripe_envelope(document: Mapping[str, Any], _header_id: str | None) -> Envelope:
    """Of a Stripe event: metadata of the object that it is about."""
    thing = _object(_object(document.get("data")).get("object"))
    return _envelope(document.get("id"), document.get("type"), iter((_object(thing.get("metadata")),)))


def razorpay_envelope(document: Mapping[str, Any], header_id: str | None) -> Envelope:
    """Of a Razorpay event: notes of what it contains; its id stands in a header."""
    payload = _object(document.get("payload"))
    entities = (_object(_object(payload.get(name)).get("entity")) for name in _RAZORPAY_ENTITIES)
    return _envelope(header_id, document.get("event"), (_object(entity.get("notes")) for entity in entities))


ENVELOPES: Final[dict[str, Callable[[Mapping[str, Any], str | None], Envelope]]] = {
    "stripe": stripe_envelope,
    "razorpay": razorpay_envelope,
}


def body_id(body: bytes) -> str:
    """An id of an event that has none, and its natural key: the same body is the same event."""
    return f"sha256-{hashlib.sha256(body).hexdigest()}"


def _envelope(event_id: object, event_type: object, labels: Iterator[Mapping[str, Any]]) -> Envelope:
    merchant_id, order_id = None, None
    for found in labels:
        merchant_id = merchant_id or _uuid(found.get("merchant_id"))
        order_id = order_id or _uuid(found.get("order_id"))
    return Envelope(
        event_id if isinstance(event_id, str) and _ID.fullmatch(event_id) else None,
        event_type if isinstance(event_type, str) and _TYPE.fullmatch(event_type) else UNKNOWN_TYPE,
        merchant_id,
        order_id,
    )


def _object(thing: object) -> Mapping[str, Any]:
    return thing if isinstance(thing, dict) else {}


def _uuid(text: object) -> UUID | None:
    return as_uuid(text) if isinstance(text, str) else None
