"""A checkout as a request finds it: its session, its order, and where both stand."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from payloops.commands.checkout_session import no_session
from payloops.errors import PayloopsError
from payloops.events.base import Actor, Meta
from payloops.events.checkout_session_state import Absent, Complete, Existing, Open
from payloops.events.order_states import INITIAL, OrderState
from payloops.http.checkout.situation import Over, Paid, Situation, situation
from payloops.http.message import Request
from payloops.http.services import Services
from payloops.projections.views import as_uuid
from payloops.telemetry import traceparent
from payloops.values import new_id

CUSTOMER: Final = Actor("system", "checkout")
"""Who acts on the pages: nobody has signed in there."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkout:
    """See the module."""

    session: Existing
    order: OrderState
    situation: Situation

    @property
    def id(self) -> UUID:
        """The session's id."""
        return self.session.facts.session_id

    @property
    def merchant_id(self) -> UUID:
        """Whose customer it is."""
        return self.session.facts.merchant_id

    @property
    def is_complete(self) -> bool:
        """Whether the merchant, when asked about the session now, reads that it is complete."""
        return isinstance(self.session, Complete)


def meta_of(request: Request) -> Meta:
    """What an event will tell of a request that nobody signed."""
    return Meta(new_id(), CUSTOMER, request.correlation_id, traceparent=traceparent())


async def load(request: Request, services: Services) -> Checkout:
    """The checkout of the id in the path, brought in line if it is not. Raises NotFound, Unavailable."""
    session_id = as_uuid(request.params[0])
    if session_id is None:
        raise no_session()
    now = services.clock.now()
    found = await _read(services, session_id, now)
    if not _lags(found, now):
        return found
    try:
        await services.settle_checkout(session_id, meta_of(request))
    except PayloopsError as problem:
        # The relay will; the page is right as it is, for it shows what the order says.
        _log.warning("a checkout session was not brought in line: %s", problem.message)
        return found
    return await _read(services, session_id, now)


async def _read(services: Services, session_id: UUID, now: datetime) -> Checkout:
    session = await services.handler.load(services.checkout_sessions, session_id)
    if isinstance(session, Absent):
        raise no_session()
    order_id = session.facts.order_id
    order: OrderState = INITIAL
    if order_id is not None:
        order = await services.handler.load(services.orders, order_id)
    return Checkout(session, order, situation(session, order, now))


def _lags(checkout: Checkout, now: datetime) -> bool:
    """Whether the session does not say yet what has happened to its order, or that its time is over."""
    session = checkout.session
    match checkout.situation:
        case Paid():
            return not isinstance(session, Complete)
        case Over():
            return isinstance(session, Open)
        case _:
            return isinstance(session, Open) and now >= session.facts.expires_at
