"""What follows from a report of a dispute, in any order and any number.

A dispute is known by the processor's id. Its end is final, with one exception: a loss can be reversed in the merchant's
favour, so ``won`` is the last word whichever comes first.
"""

from __future__ import annotations

from typing import Final, assert_never
from uuid import UUID, uuid5

from payloops.commands.order_reports import RecordDispute, event_head
from payloops.errors import AmountMismatch, InvalidStatus
from payloops.events import order as e
from payloops.events.order_state import Captured, Existing
from payloops.values import AMOUNT_MAX

DISPUTES_MAX: Final = 100


def record_dispute(command: RecordDispute, state: Existing) -> tuple[e.OrderEvent, ...]:
    """An end that is told before the beginning tells both; a beginning that is told after the end tells nothing.

    A dispute's amount is the bank's: it need not be what was captured. Raises InvalidStatus (nothing is known to be
    captured yet, or there were too many), AmountMismatch (no amount at all).
    """
    if not isinstance(state, Captured):
        raise InvalidStatus("Nothing of this order is known to be captured, so nothing can be disputed.")
    if not 0 < command.amount <= AMOUNT_MAX:
        raise AmountMismatch(f"The processor reports a dispute of {command.amount}.", param="amount")
    dispute_id = dispute_id_of(command.order_id, command.processor_dispute_id)
    known = state.dispute(dispute_id)
    if known is not None:
        is_news = known.status == "opened" or (known.status, command.status) == ("lost", "won")
        return _ended(command, state, dispute_id) if is_news else ()
    if len(state.disputes) >= DISPUTES_MAX:
        raise InvalidStatus(f"This order has had {DISPUTES_MAX} disputes, which is the most.")
    opened = e.DisputeOpened(
        **event_head(command, state),
        dispute_id=dispute_id,
        processor_dispute_id=command.processor_dispute_id,
        processor_transaction_id=command.processor_transaction_id,
        amount=command.amount,
        reason=command.reason,
    )
    return (opened, *_ended(command, state, dispute_id, ahead=2))


def dispute_id_of(order_id: UUID, processor_dispute_id: str) -> UUID:
    """The dispute's id: the same whenever and however we hear of it."""
    return uuid5(order_id, f"dispute-{processor_dispute_id}")


def _ended(
    command: RecordDispute, state: Captured, dispute_id: UUID, *, ahead: int = 1
) -> tuple[e.DisputeWon | e.DisputeLost, ...]:
    fields = {
        **event_head(command, state, ahead=ahead),
        "dispute_id": dispute_id,
        "processor_dispute_id": command.processor_dispute_id,
        "amount": command.amount,
        "reason": command.reason,
    }
    match command.status:
        case "opened":
            return ()
        case "won":
            return (e.DisputeWon(**fields),)
        case "lost":
            return (e.DisputeLost(**fields),)
        case _:
            assert_never(command.status)
