"""How refunds and disputes change a captured order: folding only, see ``order_state.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never
from uuid import UUID

from payloops.events import order as e
from payloops.events.order_changes import changed, impossible
from payloops.events.order_states import (
    Captured,
    Dispute,
    DisputeStatus,
    Existing,
    ImpossibleHistory,
    Refund,
)

COUNTED_ELSEWHERE: Final = "counted_elsewhere"
"""Error code of a refund known by its amount alone that turned out to be others, told by their ids since."""
_COUNTED_ELSEWHERE_MESSAGE: Final = "The processor has told since which refunds this amount was."


RefundResult = e.RefundIdentified | e.RefundSucceeded | e.RefundFailed | e.RefundOutcomeUnknown
DisputeEvent = e.DisputeOpened | e.DisputeWon | e.DisputeLost
CapturedEvent = e.RefundRequested | e.RefundDiscovered | RefundResult | e.RefundTotalTold | DisputeEvent


def evolve_captured(state: Existing, event: CapturedEvent) -> Captured:
    """The order after what can only happen to captured money. Raises ImpossibleHistory."""
    if not isinstance(state, Captured):
        raise impossible(state, event)
    match event:
        case e.RefundRequested() | e.RefundDiscovered():
            return _new_refund(state, event)
        case e.RefundIdentified() | e.RefundSucceeded() | e.RefundFailed() | e.RefundOutcomeUnknown():
            return _refund_result(state, event)
        case e.RefundTotalTold():
            return _refund_total(state, event)
        case e.DisputeOpened() | e.DisputeWon() | e.DisputeLost():
            return _dispute(state, event)
        case _:
            assert_never(event)


def _new_refund(state: Captured, event: e.RefundRequested | e.RefundDiscovered) -> Captured:
    if state.refund(event.refund_id) is not None:
        raise impossible(state, event)
    refund = Refund(
        refund_id=event.refund_id,
        amount=event.amount,
        reason=event.reason,
        status="pending",
        workflow_id=event.workflow_id if isinstance(event, e.RefundRequested) else None,
        created_at=event.timestamp,
        processor_refund_id=None if isinstance(event, e.RefundRequested) else event.processor_refund_id,
    )
    if isinstance(event, e.RefundDiscovered) and event.counted_before:
        state = replace(state, refunds=_without(state, event))
    return _with_refund(state, event, refund)


def _without(state: Captured, event: e.RefundDiscovered) -> dict[UUID, Refund]:
    """The refunds, less what the event says that it was counted as before."""
    refunds = dict(state.refunds)
    for text, amount in event.counted_before.items():
        refund_id = UUID(text)
        counted = refunds.get(refund_id)
        if counted is None or not 0 < amount <= counted.amount or not counted.is_known_by_amount_only:
            raise ImpossibleHistory(f"{event.TOPIC} was not counted as refund {text}")
        refunds[refund_id] = (
            replace(counted, amount=counted.amount - amount)
            if amount < counted.amount
            else replace(
                counted,
                status="failed",
                error_code=COUNTED_ELSEWHERE,
                error_message=_COUNTED_ELSEWHERE_MESSAGE,
            )
        )
    return refunds


def _refund_result(state: Captured, event: RefundResult) -> Captured:
    """The order with the refund as it is now, its own or a surplus payment's."""
    refund = state.refund(event.refund_id)
    if refund is None:
        raise ImpossibleHistory(f"{event.TOPIC} of refund {event.refund_id}, which never began")
    after = _refund_after(refund, event)
    if event.refund_id in state.refunds:
        return _with_refund(state, event, after)
    surplus = tuple(replace(one, refund=after) if one.refund is refund else one for one in state.facts.surplus)
    return replace(state, facts=changed(state, event, surplus=surplus))


def _refund_total(state: Captured, event: e.RefundTotalTold) -> Captured:
    if event.total <= state.refunded_total_told:
        raise impossible(state, event)
    return replace(state, facts=changed(state, event), refunded_total_told=event.total)


def _with_refund(state: Captured, event: e.OrderEvent, refund: Refund) -> Captured:
    return replace(state, facts=changed(state, event), refunds={**state.refunds, refund.refund_id: refund})


def _refund_after(refund: Refund, event: RefundResult) -> Refund:
    match event:
        case e.RefundIdentified():
            return replace(refund, processor_refund_id=event.processor_refund_id)
        case e.RefundSucceeded():
            other = event.processor_refund_id not in (None, refund.processor_refund_id)
            failed = (refund.processor_refund_id,) if other and refund.processor_refund_id is not None else ()
            return replace(
                refund,
                status="success",
                failed_ids=(*refund.failed_ids, *failed),
                processor_refund_id=event.processor_refund_id or refund.processor_refund_id,
                error_code=None,
                error_message=None,
                outcome_unknown=False,
            )
        case e.RefundFailed():
            return replace(
                refund,
                status="failed",
                processor_refund_id=event.processor_refund_id or refund.processor_refund_id,
                error_code=event.code,
                error_message=event.message,
                outcome_unknown=False,
            )
        case e.RefundOutcomeUnknown():
            return replace(refund, outcome_unknown=True)
        case _:
            assert_never(event)


def _dispute(state: Captured, event: DisputeEvent) -> Captured:
    """The order with the dispute as it is now; the latest that began is the last."""
    dispute = state.dispute(event.dispute_id)
    if isinstance(event, e.DisputeOpened):
        if dispute is not None:
            raise impossible(state, event)
        opened = Dispute(
            dispute_id=event.dispute_id,
            processor_dispute_id=event.processor_dispute_id,
            amount=event.amount,
            reason=event.reason,
            status="opened",
            created_at=event.timestamp,
            updated_at=event.timestamp,
        )
        return replace(state, facts=changed(state, event), disputes=(*state.disputes, opened))
    if dispute is None:
        raise ImpossibleHistory(f"{event.TOPIC} of dispute {event.dispute_id}, which never began")
    ended: DisputeStatus = "won" if isinstance(event, e.DisputeWon) else "lost"
    if dispute.status == ended:
        raise impossible(state, event)
    after = replace(dispute, amount=event.amount, reason=event.reason, status=ended, updated_at=event.timestamp)
    disputes = tuple(after if one is dispute else one for one in state.disputes)
    return replace(state, facts=changed(state, event), disputes=disputes)
