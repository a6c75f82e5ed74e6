"""Refunds that a processor tells of by their sum alone.

Stripe's ``charge.refunded`` says how much of a payment went back in all (``amount_refunded``), not by which refunds.
What no refund that we know can explain is booked as one that is known by its amount alone. When the processor names
refunds later, each takes the place of as much of these as it is worth, so that no money is counted twice. Totals come
late and out of order: the largest one and the refunds known by their ids, whichever is more, is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID, uuid5

from payloops.commands.order import REFUNDS_MAX
from payloops.commands.order_reports import RecordCumulativeRefund, Report, event_head
from payloops.errors import AmountMismatch, InvalidStatus
from payloops.events import order as e
from payloops.events.order_state import Captured, Existing, Refund


def record_cumulative_refund(command: RecordCumulativeRefund, state: Existing) -> tuple[e.OrderEvent, ...]:
    """Book what is new in the total. What pending refunds may explain is left to them, but not forgotten.

    Raises InvalidStatus (that payment is not known to be captured yet, or there were too many refunds), AmountMismatch
    (more than was captured).
    """
    if not isinstance(state, Captured):
        raise InvalidStatus("Nothing of this order is known to be captured, so nothing can be refunded.")
    if is_of_surplus(command.processor_transaction_id, state):
        return ()
    if not state.attempt.is_same_payment(state.attempt.number, command.processor_transaction_id):
        raise InvalidStatus("Nothing of that payment is known to be captured, so nothing of it can be refunded.")
    total = command.refunded_total
    if not 0 <= total <= state.captured:
        raise AmountMismatch(f"The processor has refunded {total}, but {state.captured} was captured.", param="amount")
    told: tuple[e.OrderEvent, ...] = ()
    if total > max(state.refunded, state.refunded_total_told) and _pending(state) > 0:
        told = (e.RefundTotalTold(**event_head(command, state), total=total),)
    amount = unexplained(state, total)
    if amount == 0:
        return told
    if len(state.refunds) >= REFUNDS_MAX:
        raise InvalidStatus(f"This order has had {REFUNDS_MAX} refunds, which is the most.")
    return (*told, *known_by_amount(command, state, amount, ahead=len(told) + 1))


def unexplained(state: Captured, total: int) -> int:
    """How much of the total that the processor has refunded is none of the refunds that we know.

    A pending refund may be in it already. So may one that failed at the processor since: a total that is told late does
    not show that it has shrunk. In doubt too little is booked: the processor refuses what has gone back already.
    """
    failed = sum(refund.amount * _failures(refund) for refund in state.refunds.values())
    return max(0, total - state.refunded - _pending(state) - failed)


def _failures(refund: Refund) -> int:
    """How many of the processor's refunds failed in this one's name."""
    itself = refund.status == "failed" and refund.processor_refund_id is not None
    return len(refund.failed_ids) + itself


def known_by_amount(report: Report, state: Captured, amount: int, *, ahead: int) -> tuple[e.OrderEvent, ...]:
    """A refund that nobody has named, and that has happened."""
    head = event_head(report, state, ahead=ahead)
    refund_id = uuid5(state.facts.order_id, f"refunded-{head['originator_version']}")
    return (
        e.RefundDiscovered(
            **head, refund_id=refund_id, amount=amount, reason=None, processor_refund_id=None, counted_before={}
        ),
        e.RefundSucceeded(**event_head(report, state, ahead=ahead + 1), refund_id=refund_id, processor_refund_id=None),
    )


def counted_before(state: Captured, amount: int) -> dict[str, int]:
    """What of ``amount``, now told by an id, is counted among refunds known by their amount alone: id -> how much.

    One refund that covers it is preferred, the smallest of them.
    """
    refunds = sorted(_known_by_amount(state.refunds.values()), key=lambda refund: refund.amount)
    covering = next((refund for refund in refunds if refund.amount >= amount), None)
    counted: dict[UUID, int] = {}
    for refund in reversed(refunds) if covering is None else (covering,):
        part = min(refund.amount, amount - sum(counted.values()))
        if part > 0:
            counted[refund.refund_id] = part
    return {str(refund_id): part for refund_id, part in counted.items()}


def is_of_surplus(processor_transaction_id: str | None, state: Captured) -> bool:
    """Whether the payment is one too many, whose refund is none of the order's."""
    return processor_transaction_id is not None and any(
        one.processor_transaction_id == processor_transaction_id for one in state.facts.surplus
    )


def _pending(state: Captured) -> int:
    return sum(refund.amount for refund in state.refunds.values() if refund.status == "pending")


def _known_by_amount(refunds: Iterable[Refund]) -> Iterable[Refund]:
    return (refund for refund in refunds if refund.is_known_by_amount_only)
