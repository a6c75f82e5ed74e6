"""What follows from a report of a refund, ours or one that was made at the processor.

Of the reports on one refund the strongest counts, whatever their order: a failure that doesn't name the processor's
refund (only our call of it failed) gives way to a success; a success gives way to a failure that names the processor's
refund, for a refund can fail after it had succeeded, and then stays failed (Stripe, "Failed refunds").
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never
from uuid import UUID, uuid5

from payloops.commands.order import REFUNDS_MAX
from payloops.commands.order_refund_totals import counted_before, is_of_surplus, known_by_amount, unexplained
from payloops.commands.order_reports import (
    RecordDiscoveredRefund,
    RecordRefundFailed,
    RecordRefundSucceeded,
    RecordRefundUnknown,
    event_head,
)
from payloops.errors import AmountMismatch, InvalidStatus, NotFound
from payloops.events import order as e
from payloops.events.order_refund_state import COUNTED_ELSEWHERE, evolve_captured
from payloops.events.order_state import Captured, Existing, Refund

Settled = RecordRefundSucceeded | RecordRefundFailed
SingleRefundReport = Settled | RecordRefundUnknown | RecordDiscoveredRefund


def record_refund(command: SingleRefundReport, state: Existing) -> tuple[e.OrderEvent, ...]:
    """A refund's result. Raises NotFound, AmountMismatch, InvalidStatus (discovered before the capture)."""
    if isinstance(command, RecordDiscoveredRefund):
        return record_discovered_refund(command, state)
    refund = state.refund(command.refund_id) if isinstance(state, Captured) else None
    if not isinstance(state, Captured) or refund is None:
        raise NotFound("This order has no such refund.")
    if not isinstance(command, RecordRefundUnknown) and _has_failed(command.processor_refund_id, state):
        return ()
    match command:
        case RecordRefundSucceeded():
            return record_refund_succeeded(command, state, _named(command.processor_refund_id, state) or refund)
        case RecordRefundFailed():
            return record_refund_failed(command, state, _named(command.processor_refund_id, state) or refund)
        case RecordRefundUnknown():
            if refund.status != "pending" or refund.outcome_unknown:
                return ()
            return (
                e.RefundOutcomeUnknown(
                    **event_head(command, state), refund_id=command.refund_id, reason=command.reason
                ),
            )
        case _:
            assert_never(command)


def record_refund_succeeded(
    command: RecordRefundSucceeded, state: Captured, refund: Refund
) -> tuple[e.OrderEvent, ...]:
    """Money that went back counts, also after our call had seemed to fail.

    Raises AmountMismatch when others of the order's refunds have taken its place since.
    """
    another = _is_another(command, refund)
    if another and (refund.status != "failed" or refund.workflow_id is None):
        return _booked_beside(command, state, refund)
    if refund.status == "success":
        return _identified(command, state, refund)
    if refund.status == "failed":
        if refund.processor_refund_id is not None and not another:
            return ()
        if command.processor_refund_id is not None and counted_before(state, refund.amount):
            # Our call had seemed to fail, so what it refunded after all was booked by its amount: it keeps that place.
            return _booked_beside(command, state, refund)
        if refund.refund_id in state.refunds and refund.amount > state.refundable:
            raise AmountMismatch(f"A late refund of {refund.amount} is more than what is left of the capture.")
    return (
        e.RefundSucceeded(
            **event_head(command, state),
            refund_id=refund.refund_id,
            processor_refund_id=command.processor_refund_id,
        ),
    )


def _booked_beside(command: Settled, state: Captured, refund: Refund) -> tuple[e.OrderEvent, ...]:
    """Another of the processor's refunds than the one that we know: that was made in its dashboard, and both count.

    Also one that failed, so that a stale word of its success is known for stale.
    """
    processor_refund_id = command.processor_refund_id
    if processor_refund_id is None or refund.refund_id not in state.refunds:
        return ()
    other = RecordDiscoveredRefund(
        command.order_id,
        command.now,
        command.meta,
        processor_refund_id=processor_refund_id,
        amount=refund.amount,
        status="success" if isinstance(command, RecordRefundSucceeded) else "failed",
    )
    if isinstance(command, RecordRefundFailed):
        other = replace(other, code=command.code, message=command.message)
    return record_discovered_refund(other, state)


def record_refund_failed(command: RecordRefundFailed, state: Captured, refund: Refund) -> tuple[e.OrderEvent, ...]:
    """A failed refund's amount can be refunded again."""
    if _is_another(command, refund):
        return _booked_beside(command, state, refund)
    if refund.status == "failed":
        return _identified(command, state, refund)
    if refund.status == "success" and command.processor_refund_id is None:
        return ()
    failed = e.RefundFailed(
        **event_head(command, state),
        refund_id=refund.refund_id,
        code=command.code,
        message=command.message,
        processor_refund_id=command.processor_refund_id,
    )
    return (failed, *_left_to_it(command, state, failed))


def _left_to_it(command: RecordRefundFailed, state: Captured, failed: e.RefundFailed) -> tuple[e.OrderEvent, ...]:
    """What of the processor's total had been left to this refund, if it never came to be at the processor."""
    after = evolve_captured(state, failed)
    amount = unexplained(after, after.refunded_total_told)
    if amount == 0 or len(state.refunds) >= REFUNDS_MAX:
        return ()
    return known_by_amount(command, state, amount, ahead=2)


def record_discovered_refund(command: RecordDiscoveredRefund, state: Existing) -> tuple[e.OrderEvent, ...]:
    """A refund that the processor has and that names none of ours is booked once, as ours if it can be ours.

    What of it is counted already, since the processor's total had grown by it, is not counted again.
    """
    if not isinstance(state, Captured):
        raise InvalidStatus("Nothing of this order is known to be captured, so nothing can be refunded.")
    if _has_failed(command.processor_refund_id, state):
        return ()
    known = _counterpart(command, state)
    if known is not None:
        settled = _settled(command, known.refund_id)
        return () if settled is None else record_refund(settled, state)
    return () if is_of_surplus(command.processor_transaction_id, state) else _booked(command, state)


def _booked(command: RecordDiscoveredRefund, state: Captured) -> tuple[e.OrderEvent, ...]:
    """A refund that we didn't know. Raises AmountMismatch, InvalidStatus."""
    counted = counted_before(state, command.amount)
    if command.status == "pending" and sum(counted.values()) == command.amount:
        return ()
    if not 0 < command.amount <= state.refundable + sum(counted.values()):
        return _without_room(command, state)
    if len(state.refunds) >= REFUNDS_MAX:
        raise InvalidStatus(f"This order has had {REFUNDS_MAX} refunds, which is the most.")
    refund_id = discovered_refund_id(command.order_id, command.processor_refund_id)
    found = e.RefundDiscovered(
        **event_head(command, state),
        refund_id=refund_id,
        amount=command.amount,
        reason=command.reason,
        processor_refund_id=command.processor_refund_id,
        counted_before=counted,
    )
    match command.status:
        case "pending":
            return (found,)
        case "success":
            return (found, _succeeded(command, state, refund_id))
        case "failed":
            return (found, _failed(command, state, refund_id))
        case _:
            assert_never(command.status)


def _without_room(command: RecordDiscoveredRefund, state: Captured) -> tuple[e.OrderEvent, ...]:
    """Raises AmountMismatch for what can't be, InvalidStatus for what can once we know that others have failed."""
    if command.status == "failed":
        return ()
    amount = command.amount
    if not 0 < amount <= state.captured:
        raise AmountMismatch(f"The processor reports a refund of {amount}, but {state.captured} was captured.")
    raise InvalidStatus(f"A refund of {amount} at the processor is more than what is left of the capture.")


def discovered_refund_id(order_id: UUID, processor_refund_id: str) -> UUID:
    """The id of a refund that was made at the processor: the same whenever and however we hear of it."""
    return uuid5(order_id, processor_refund_id)


def _counterpart(command: RecordDiscoveredRefund, state: Captured) -> Refund | None:
    """The refund of ours that this is: by the processor's id, else the best of that amount that still lacks an id.

    An external worker need not tell the processor our refund's id, and may lose the reply or be slower than the
    processor's event; to book its refund as a second one would count the same money twice. Should it have been another
    one after all, ours still tells its own id, and is booked beside it then.
    """
    named = _named(command.processor_refund_id, state)
    if named is not None:
        return named
    of_surplus = is_of_surplus(command.processor_transaction_id, state)
    refunds = _surplus_refunds(state) if of_surplus else tuple(state.refunds.values())
    nameless = (r for r in refunds if r.processor_refund_id is None and r.error_code != COUNTED_ELSEWHERE)
    best = min((r for r in nameless if r.amount == command.amount), key=_likelihood, default=None)
    if best is not None and best.status == "failed" and not of_surplus and counted_before(state, command.amount):
        return None
    return best


def _likelihood(refund: Refund) -> int:
    """The likelier first; of two alike the older one is taken."""
    if refund.is_known_by_amount_only:
        return 0
    return 2 if refund.status == "failed" else 1


def _named(processor_refund_id: str | None, state: Captured) -> Refund | None:
    """The refund that is known to have that id at the processor."""
    if processor_refund_id is None:
        return None
    refunds = (*state.refunds.values(), *_surplus_refunds(state))
    return next((refund for refund in refunds if refund.processor_refund_id == processor_refund_id), None)


def _has_failed(processor_refund_id: str | None, state: Captured) -> bool:
    """Whether that refund of the processor failed before another one succeeded in its place."""
    refunds = (*state.refunds.values(), *_surplus_refunds(state))
    return any(processor_refund_id in refund.failed_ids for refund in refunds)


def _surplus_refunds(state: Captured) -> tuple[Refund, ...]:
    return tuple(one.refund for one in state.facts.surplus if one.refund is not None)


def _settled(command: RecordDiscoveredRefund, refund_id: UUID) -> Settled | None:
    head = (command.order_id, command.now, command.meta, refund_id)
    match command.status:
        case "pending":
            return None
        case "success":
            return RecordRefundSucceeded(*head, command.processor_refund_id)
        case "failed":
            return RecordRefundFailed(*head, command.code, command.message, command.processor_refund_id)
        case _:
            assert_never(command.status)


def _succeeded(command: RecordDiscoveredRefund, state: Captured, refund_id: UUID) -> e.RefundSucceeded:
    return e.RefundSucceeded(
        **event_head(command, state, ahead=2),
        refund_id=refund_id,
        processor_refund_id=command.processor_refund_id,
    )


def _failed(command: RecordDiscoveredRefund, state: Captured, refund_id: UUID) -> e.RefundFailed:
    return e.RefundFailed(
        **event_head(command, state, ahead=2),
        refund_id=refund_id,
        code=command.code,
        message=command.message,
        processor_refund_id=command.processor_refund_id,
    )


def _is_another(command: Settled, refund: Refund) -> bool:
    """Whether the report names another refund of the processor than the one that we know."""
    return None not in (command.processor_refund_id, refund.processor_refund_id) and (
        command.processor_refund_id != refund.processor_refund_id
    )


def _identified(command: Settled, state: Captured, refund: Refund) -> tuple[e.OrderEvent, ...]:
    processor_refund_id = command.processor_refund_id
    if processor_refund_id is None or refund.processor_refund_id is not None:
        return ()
    return (
        e.RefundIdentified(
            **event_head(command, state), refund_id=refund.refund_id, processor_refund_id=processor_refund_id
        ),
    )
