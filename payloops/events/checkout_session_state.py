"""What a checkout session is, folded from its events. A history that no command could have written is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.events import checkout_session as e
from payloops.events.base import Sealed
from payloops.events.order_states import ImpossibleHistory
from payloops.values import value

TRIES_KEPT: Final = 10
"""Times of the last payments, for the rule of how many may begin in a minute."""
_RANDOM_BITS: Final = 80
_VERSION_AND_VARIANT: Final = 0xF000_C000_0000_0000_0000
_VERSION_7: Final = 0x7000_8000_0000_0000_0000


@value(frozen=True, slots=True)
class Facts:
    """What was asked for at creation, and what is counted over the session's whole life."""

    session_id: UUID
    version: int
    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    url: str
    success_url: str
    cancel_url: str
    customer_id: str | None
    customer_email: Sealed | None
    metadata: Mapping[str, Any]
    line_items: tuple[Mapping[str, Any], ...]
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    order_id: UUID | None = None
    tries: tuple[datetime, ...] = ()
    """When the last TRIES_KEPT payments began, the latest last."""
    returns: int = 0
    """How often the customer came back from elsewhere."""


@value(frozen=True, slots=True)
class Absent:
    """Nothing happened yet."""


@value(frozen=True, slots=True)
class Open:
    """Can be paid until ``facts.expires_at``."""

    facts: Facts


@value(frozen=True, slots=True)
class Complete:
    """Paid. ``late``: after it had expired."""

    facts: Facts
    completed_at: datetime
    late: bool


@value(frozen=True, slots=True)
class Expired:
    """Can't be paid any more; money that was on its way may still arrive, and then completes it."""

    facts: Facts
    reason: e.ExpiryReason


Existing = Open | Complete | Expired
CheckoutSessionState = Absent | Existing

INITIAL: Final = Absent()


def status(state: Existing) -> str:
    """The session's status on the wire."""
    match state:
        case Open():
            return "open"
        case Complete():
            return "complete"
        case Expired():
            return "expired"
        case _:
            assert_never(state)


def order_id_of(session_id: UUID) -> UUID:
    """The id of the one order that a session can have: the same for ever.

    A UUIDv7 (RFC 9562) of the session's own moment, its random bits hashed from the session's id: processors' adapters
    read an order's age from its id, so a plain name-based id would not do.
    """
    moment = session_id.int >> _RANDOM_BITS
    digest = hashlib.blake2b(session_id.bytes, digest_size=10, person=b"checkout-order").digest()
    rest = int.from_bytes(digest) & ~_VERSION_AND_VARIANT | _VERSION_7
    return UUID(int=moment << _RANDOM_BITS | rest)


def evolve(state: CheckoutSessionState, event: e.CheckoutSessionEvent) -> CheckoutSessionState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if isinstance(state, Absent):
        if not isinstance(event, e.CheckoutSessionCreated) or event.originator_version != 1:
            raise ImpossibleHistory(f"{event.TOPIC} begins a stream at version {event.originator_version}")
        return Open(_created(event))
    if event.originator_version != state.facts.version + 1:
        raise ImpossibleHistory(f"version {event.originator_version} follows version {state.facts.version}")
    return evolve_existing(state, event)


def evolve_existing(state: Existing, event: e.CheckoutSessionEvent) -> Existing:
    """As ``evolve``, of a session that has begun."""
    facts = state.facts
    match event:
        case e.CheckoutOrderPlaced() if isinstance(state, Open) and facts.order_id is None:
            return Open(_after(state, event, order_id=event.order_id))
        case e.CheckoutPaymentStarted() if isinstance(state, Open) and event.order_id == facts.order_id:
            return Open(_after(state, event, tries=(*facts.tries, event.timestamp)[-TRIES_KEPT:]))
        case e.CheckoutCustomerReturned() if event.order_id == facts.order_id:
            return replace(state, facts=_after(state, event, returns=facts.returns + 1))
        case e.CheckoutSessionCompleted() if not isinstance(state, Complete) and event.order_id == facts.order_id:
            return Complete(_after(state, event), event.timestamp, event.late)
        case e.CheckoutSessionExpired() if isinstance(state, Open):
            return Expired(_after(state, event), event.reason)
        case (
            e.CheckoutSessionCreated()
            | e.CheckoutOrderPlaced()
            | e.CheckoutPaymentStarted()
            | e.CheckoutCustomerReturned()
            | e.CheckoutSessionCompleted()
            | e.CheckoutSessionExpired()
        ):
            raise ImpossibleHistory(f"{event.TOPIC} when {status(state)}")
        case _:
            assert_never(event)


def _after(state: Existing, event: e.CheckoutSessionEvent, **changes: Any) -> Facts:
    return replace(state.facts, version=event.originator_version, updated_at=event.timestamp, **changes)


def _created(event: e.CheckoutSessionCreated) -> Facts:
    return Facts(
        session_id=event.originator_id,
        version=event.originator_version,
        merchant_id=event.merchant_id,
        test_mode=event.test_mode,
        amount=event.amount,
        currency=event.currency,
        url=event.url,
        success_url=event.success_url,
        cancel_url=event.cancel_url,
        customer_id=event.customer_id,
        customer_email=event.customer_email,
        metadata=event.metadata,
        line_items=event.line_items,
        expires_at=event.expires_at,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )
