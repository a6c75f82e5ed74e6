"""An order with all that a support person needs to know of it: one read, at the price of its few events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, cast
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

from payloops.db import Database, load_sql
from payloops.events.codec import EventMapper
from payloops.events.order import OrderEvent
from payloops.events.order_state import (
    INITIAL,
    Absent,
    Authorized,
    Captured,
    Dispute,
    Existing,
    OrderState,
    Processing,
    RequiresAction,
    evolve,
)
from payloops.projections.base import Row
from payloops.projections.order_attempts import PaymentAttempt, payment_attempts
from payloops.projections.order_wire import READ_COLUMNS
from payloops.projections.reading import Columns, fetch
from payloops.projections.views import compose, no_order, order_row

LISTED_MAX: Final = 100
"""Of attempts, refunds, transactions and disputes; what there is beyond has its own lists."""
DELIVERIES_MAX: Final = 20

_TIME: Final = re.compile(r"\{(l\.\w+)\}")
_WIDTH: Final = len(READ_COLUMNS)


@dataclass(frozen=True, slots=True)
class Part:
    """A list as the wire has it, newest first; ``more`` tells that there are others."""

    items: list[Any]
    more: bool


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """``row`` is for ``wire_order``; ``state`` is the order of the same moment."""

    row: Row
    state: Existing
    attempts: tuple[PaymentAttempt, ...]
    disputes: tuple[Dispute, ...]
    refunds: Part
    transactions: Part
    deliveries: Part
    next_ask: datetime | None
    """When a processor is asked next by itself, as far as the outbox has it: the embedded engine's wakes."""


class OrderDetails:
    """The query over one database. Raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapper = EventMapper()

    async def of_order(self, merchant_id: UUID, order_id: UUID) -> OrderDetail:
        """One round trip, and a second while something is undecided. Raises NotFound, UnreadableEvent."""
        parameters = {
            "merchant": merchant_id,
            "order": order_id,
            "limit": LISTED_MAX + 1,
            "deliveries": DELIVERIES_MAX + 1,
        }
        found = await fetch(self._database, _sql("order_detail"), parameters)
        if not found:
            raise no_order()
        columns = found[0]
        topics, states, refunds, transactions, deliveries = columns[_WIDTH:]
        events = self._events(order_id, topics, states)
        state: OrderState = INITIAL
        for event in events:
            state = evolve(state, event)
        if isinstance(state, Absent):
            raise no_order()
        return OrderDetail(
            row=order_row(columns[:_WIDTH]),
            state=state,
            attempts=payment_attempts(events),
            disputes=state.disputes[::-1] if isinstance(state, Captured) else (),
            refunds=_part(refunds, LISTED_MAX),
            transactions=_part(transactions, LISTED_MAX),
            deliveries=_part(deliveries, DELIVERIES_MAX),
            next_ask=await self._next_ask(merchant_id, undecided_workflows(state)),
        )

    def _events(self, order_id: UUID, topics: list[str], states: list[bytes]) -> list[OrderEvent]:
        stored = zip(topics, states, strict=True)
        return [
            cast("OrderEvent", self._mapper.to_event(StoredEvent(order_id, version, topic, bytes(state))))
            for version, (topic, state) in enumerate(stored, 1)
        ]

    async def _next_ask(self, merchant_id: UUID, workflows: list[str]) -> datetime | None:
        if not workflows:
            return None
        parameters = {"merchant": merchant_id, "workflows": workflows}
        found: list[Columns] = await fetch(self._database, _sql("next_ask"), parameters)
        moment: datetime | None = found[0][0]
        return moment


def undecided_workflows(state: Existing) -> list[str]:
    """The workflows that still have to learn something: one that waits in vain for a decided payment is none."""
    workflows: list[str | None] = []
    if isinstance(state, Processing | RequiresAction | Authorized):
        workflows.append(state.attempt.workflow_id)
        workflows.append(None if state.cancel is None else state.cancel.workflow_id)
    if isinstance(state, Authorized) and state.capture is not None:
        workflows.append(state.capture.workflow_id)
    if isinstance(state, Captured):
        refunds = [*state.refunds.values(), *(one.refund for one in state.facts.surplus if one.refund is not None)]
        workflows += [refund.workflow_id for refund in refunds if refund.status == "pending"]
    return [workflow_id for workflow_id in workflows if workflow_id is not None]


def _part(text: str | None, most: int) -> Part:
    items = [] if text is None else orjson.loads(text)
    return Part(items[:most], len(items) > most)


@cache
def _sql(block: str) -> str:
    """A block of order_detail.sql: the order's columns and times are put in as the wire has them."""
    sql = load_sql("payloops.projections", "order_detail")[block]
    sql = sql.replace("{order_columns}", compose("order_columns"))
    return _TIME.sub(r"""to_char(\1 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""", sql)
