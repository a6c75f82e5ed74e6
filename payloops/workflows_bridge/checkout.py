"""Keeps checkout sessions in line with their orders and with the time: the relay's task, and what pages ask for.

The rule. A session whose order is paid is complete, whenever the money came. One whose time is over, or whose order was
cancelled, is expired. What is open of an expired session's order is called off: a payment that waits for its customer
is ended at the processor; one that is with the processor is waited for, since it can't be ended. Money that was taken
nonetheless completes the session late, and the merchant is told ``checkout.completed`` after ``checkout.expired``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from payloops.commands.aggregates import CheckoutSessions, Orders
from payloops.commands.checkout_session import CompleteSession, ExpireSession, announcement, is_paid
from payloops.commands.handlers import CommandHandler, Companion
from payloops.commands.order import CancelOrder
from payloops.commands.order_reports import PublishEvent
from payloops.errors import InvalidStatus, VersionConflict
from payloops.events.base import Actor, Meta
from payloops.events.checkout_session import ExpiryReason
from payloops.events.checkout_session_state import Absent, Complete, Expired, Open, order_id_of
from payloops.events.order_state import Authorized, Cancelled, Failed, OrderState, Pending, RequiresAction
from payloops.events.order_state import Processing as ProcessingOrder
from payloops.projections.checkout_sessions import row, told_session
from payloops.values import Clock, new_id
from payloops.workflows_bridge.engines.base import Work
from payloops.workflows_bridge.relay import Task, TryLater

AGAIN_MIN_S: Final = 2.0
AGAIN_MAX_S: Final = 3600.0
RACES_MAX: Final = 3
"""Tries against customers who press or come back at that very moment."""
EXPIRED_REASON: Final = "the checkout session expired"


class CheckoutKeeper:
    """See the module. Whatever is asked twice, or at once by several, has its effect once."""

    def __init__(self, handler: CommandHandler, orders: Orders, sessions: CheckoutSessions, clock: Clock) -> None:
        self._handler = handler
        self._orders = orders
        self._sessions = sessions
        self._clock = clock

    async def settle(self, session_id: UUID, meta: Meta, *, now: datetime | None = None) -> float | None:
        """Bring a session in line. In how many seconds to come again, None when there is no need to.

        Raises VersionConflict, Unavailable.
        """
        now = now or self._clock.now()
        for _ in range(RACES_MAX):
            with suppress(VersionConflict):
                return await self._settle(session_id, meta, now)
        return await self._settle(session_id, meta, now)

    async def _settle(self, session_id: UUID, meta: Meta, now: datetime) -> float | None:
        session = await self._handler.load(self._sessions, session_id)
        if isinstance(session, Absent):
            return None
        order_id = session.facts.order_id
        order: OrderState = self._orders.initial
        if order_id is not None:
            order = await self._handler.load(self._orders, order_id)
        match session:
            case Complete():
                return None
            case Open() | Expired() if is_paid(order):
                await self._change(session, CompleteSession(session_id, now, meta))
            case Open(facts) if now >= facts.expires_at or isinstance(order, Cancelled):
                reason: ExpiryReason = "time" if now >= facts.expires_at else "order_cancelled"
                # With an order this writes a row that calls off what is open of it.
                await self._change(session, ExpireSession(session_id, now, meta, reason))
            case Open():
                return None
            case Expired(facts) if order_id is not None and await self._is_open(order_id, order, now, meta):
                return min(max((now - facts.updated_at).total_seconds() / 2, AGAIN_MIN_S), AGAIN_MAX_S)
            case Expired():
                return None
        return None

    async def _change(self, session: Open | Expired, command: CompleteSession | ExpireSession) -> None:
        """Change session and order in one transaction; nothing when somebody else did so before.

        Raises VersionConflict when the session has gone on: whether its order is to tell of the change, and what, stood
        on the state that was read.
        """
        told = announcement(command, session, lambda after: told_session(row(after)))
        also = []
        if told is not None:
            order_id = order_id_of(command.session_id)
            publish = PublishEvent(order_id, command.now, command.meta, *told)
            also.append(Companion(self._orders, order_id, publish))
        with suppress(InvalidStatus):
            await self._handler.execute(
                self._sessions, command.session_id, command, also=also, expected_version=session.facts.version
            )

    async def _is_open(self, order_id: UUID, order: OrderState, now: datetime, meta: Meta) -> bool:
        """Call off what is open of an expired session's order; True when that has to be tried again."""
        match order:
            case Pending() | Failed() | RequiresAction(cancel=None):
                try:
                    await self._handler.execute(
                        self._orders, order_id, CancelOrder(order_id, now, meta, EXPIRED_REASON)
                    )
                except InvalidStatus:
                    return True
                return False
            case ProcessingOrder() | Authorized():
                return True
            case _:
                return False


def checkout_task(keeper: CheckoutKeeper) -> Task:
    """The relay's task for rows of the kind ``checkout``."""

    async def settle(payload: Mapping[str, Any], work: Work) -> None:
        """Raises TryLater while something of an expired session's order can't be called off yet."""
        # The database's time, as the row's own: a session expires when the row is due, whatever our clock says.
        now = datetime.fromtimestamp(work.now_s(), UTC)
        now -= timedelta(microseconds=now.microsecond % 1000)
        meta = Meta(new_id(), Actor("system", "checkout"), work.correlation_id, traceparent=work.traceparent)
        work.require_lease()
        again_s = await keeper.settle(UUID(payload["sessionId"]), meta, now=now)
        if again_s is not None:
            raise TryLater(again_s)

    return settle
