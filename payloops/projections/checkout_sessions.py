"""Read table ``checkout_sessions``: one row a session, its state as merchants see it; and the queries on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.errors import NotFound
from payloops.events import checkout_session as e
from payloops.events.base import Event
from payloops.events.checkout_session_state import Complete, Existing, status
from payloops.projections import public_events
from payloops.projections.base import InlineProjection, Row
from payloops.projections.order_wire import wire_time
from payloops.projections.personal_data import MerchantKey
from payloops.projections.public_events import public_event_row
from payloops.projections.reading import fetch
from payloops.projections.views import Reader, not_valid

SESSION_EMAIL: Final = "checkout_sessions.customer_email"

COLUMNS: Final = (
    "id",
    "merchant_id",
    "version",
    "test_mode",
    "status",
    "amount",
    "currency",
    "url",
    "success_url",
    "cancel_url",
    "customer_id",
    "customer_email",
    "metadata",
    "line_items",
    "order_id",
    "expires_at",
    "completed_at",
    "created_at",
    "updated_at",
)

_SQL: Final = load_sql("payloops.projections", "checkout_sessions")


def row(state: Existing) -> Row:
    """The session's row in this state."""
    facts = state.facts
    return {
        "id": facts.session_id,
        "merchant_id": facts.merchant_id,
        "version": facts.version,
        "test_mode": facts.test_mode,
        "status": status(state),
        "amount": facts.amount,
        "currency": facts.currency,
        "url": facts.url,
        "success_url": facts.success_url,
        "cancel_url": facts.cancel_url,
        "customer_id": facts.customer_id,
        "customer_email": facts.customer_email,
        "metadata": facts.metadata,
        "line_items": facts.line_items,
        "order_id": facts.order_id,
        "expires_at": facts.expires_at,
        "completed_at": state.completed_at if isinstance(state, Complete) else None,
        "created_at": facts.created_at,
        "updated_at": facts.updated_at,
    }


def rows(_before: Any, _event: Event, after: Existing) -> list[Row]:
    """The session's row after the event."""
    return [row(after)]


def _public_rows(_before: Any, event: e.CheckoutSessionEvent, after: Existing) -> list[Row]:
    """A session that expires without an order has nobody else to tell of it; the order tells of all others."""
    if not isinstance(event, e.CheckoutSessionExpired) or event.order_id is not None:
        return []
    beside = {"session": told_session(row(after))}
    merchant_id, event_type = after.facts.merchant_id, "checkout.expired"
    return [
        public_event_row(
            event,
            merchant_id=merchant_id,
            order_id=None,
            event_type=event_type,
            sequence=1,
            order=None,
            beside=beside,
        )
    ]


CHECKOUT_SESSIONS: Final = InlineProjection("checkout_sessions", "id", COLUMNS, rows)
CHECKOUT_PUBLIC_EVENTS: Final = InlineProjection("public_events", "id", public_events.COLUMNS, _public_rows)


def wire_session(session: Row, key: MerchantKey) -> dict[str, Any]:
    """The session of the wire contract, for orjson. ``key`` opens its merchant's personal data."""
    return {**told_session(session), "customerEmail": key.open(SESSION_EMAIL, session["id"], session["customer_email"])}


def told_session(session: Row) -> dict[str, Any]:
    """The same as it may stand in an event and in a webhook: without personal data."""
    completed_at = session["completed_at"]
    return {
        "id": session["id"],
        "url": session["url"],
        "status": session["status"],
        "amount": session["amount"],
        "currency": session["currency"],
        "orderId": session["order_id"],
        "customerId": session["customer_id"],
        "metadata": session["metadata"],
        "lineItems": session["line_items"],
        "successUrl": session["success_url"],
        "cancelUrl": session["cancel_url"],
        "expiresAt": wire_time(session["expires_at"]),
        "completedAt": None if completed_at is None else wire_time(completed_at),
        "createdAt": wire_time(session["created_at"]),
    }


@dataclass(frozen=True, slots=True)
class PayOption:
    """A processor that a session's customer may choose; ``credentials`` are sealed."""

    processor: str
    priority: int
    credentials: str = field(repr=False)


class CheckoutViews:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def session(self, reader: Reader, session_id: UUID, *, test_mode: bool, now: datetime) -> Row:
        """A session's row, for ``wire_session``. One whose time is over reads as expired, also before it is told so.

        Raises InvalidApiKey, and NotFound for one that does not exist, or is another merchant's or of the other mode.
        """
        parameters = {
            "key": reader.api_key_id,
            "merchant": reader.merchant_id,
            "session": session_id,
            "test_mode": test_mode,
        }
        ((holds, *columns),) = await fetch(self._database, _SQL["session"], parameters)
        if not holds:
            raise not_valid()
        if columns[0] is None:
            raise NotFound("No such checkout session.")
        found = dict(zip(COLUMNS, columns, strict=True))
        if found["status"] == "open" and now >= found["expires_at"]:
            found["status"] = "expired"
        return found

    async def pay_options(self, merchant_id: UUID, *, test_mode: bool) -> list[PayOption]:
        """The processors that are enabled for payments of this mode."""
        found = await fetch(self._database, _SQL["pay_options"], {"merchant": merchant_id, "test_mode": test_mode})
        return [PayOption(processor, priority, credentials) for processor, priority, credentials in found]
