"""Asking the processor now: who may want it, how often, and when it was done.

The question is an event of the order, so who asked is in its trail; the relay puts it to the processor (ADR 0012).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from payloops.commands.order_reports import FinishSync, event_head
from payloops.errors import InvalidStatus
from payloops.events import order as e
from payloops.events.base import Meta
from payloops.events.order_state import Existing, Sync, attempts_of
from payloops.values import value

SYNCS_MAX: Final = 1000
SHARED_S: Final = 1.0
"""Who asks again so soon gets the answer that was just given: a processor is asked about an order once a second."""
LOST_S: Final = 120.0
"""After this a question that has no answer is given up, and may be asked anew: longer than two asks of a processor."""


@value(frozen=True, slots=True)
class RequestSync:
    """Have the processor asked what became of the order's payments, of its refunds and of its disputes."""

    order_id: UUID
    now: datetime
    meta: Meta


def request_sync(command: RequestSync, state: Existing) -> tuple[e.OrderEvent, ...]:
    """Nothing when a question is under way, or was answered a moment ago: then its answer is this one's too.

    Raises InvalidStatus: no payment was begun, so there is nothing to ask about; or it was asked too often.
    """
    if not attempts_of(state):
        raise InvalidStatus("No payment of this order was begun, so there is nothing to ask a processor about.")
    last = state.facts.sync
    if last is not None and _is_shared(last, command.now):
        return ()
    number = 1 if last is None else last.number + 1
    if number > SYNCS_MAX:
        raise InvalidStatus(f"The processor was asked about this order {SYNCS_MAX} times, which is the most.")
    return (
        e.SyncRequested(
            originator_id=state.facts.order_id,
            originator_version=state.facts.version + 1,
            timestamp=command.now,
            meta=command.meta,
            number=number,
        ),
    )


def _is_shared(last: Sync, now: datetime) -> bool:
    """Clocks of several machines differ, and jump: what seems to come from the future is as recent as its distance."""
    age_s = abs((now - last.requested_at).total_seconds())
    return age_s < (LOST_S if last.answers is None else SHARED_S)


def finish_sync(command: FinishSync, state: Existing) -> tuple[e.OrderEvent, ...]:
    """The answers to the question that is under way; of an earlier one nobody waits any more."""
    last = state.facts.sync
    if last is None or last.number != command.number or last.answers is not None:
        return ()
    return (
        e.SyncFinished(
            **event_head(command, state),
            number=command.number,
            answers=command.answers,
            changed=state.facts.version > last.version,
        ),
    )
