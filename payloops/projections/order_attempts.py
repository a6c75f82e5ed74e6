"""What became of each payment attempt of an order, told by the order's events. Pure.

Folded when it is asked for: only support looks at it, and an order has few events. A table would be written with every
payment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias

from payloops.events import order as e

Status = Literal["processing", "requires_action", "authorized", "captured", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class PaymentAttempt:
    """One try to take the money. ``started_at`` and ``workflow_id`` are None for a payment that was begun elsewhere."""

    number: int
    processor: str
    workflow_id: str | None
    payment_method_type: str | None
    started_at: datetime | None
    status: Status = "processing"
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    """The last that was told, of a failed payment too."""
    failure: e.PaymentFailed | None = None
    finished_at: datetime | None = None
    """When the money was taken, or the attempt ended without; None while it is open or the money is only held."""
    outcome_unknown: bool = False
    surplus: bool = False
    """Its money is one payment too many: it is released, or given back."""


def payment_attempts(events: Iterable[e.OrderEvent]) -> tuple[PaymentAttempt, ...]:
    """The attempts, the last one first, from all events of the order in their order."""
    attempts: dict[int, PaymentAttempt] = {}
    current: int | None = None
    for event in events:
        match event:
            case e.PaymentStarted() | e.PaymentDiscovered():
                attempts[event.attempt] = _begun(event)
                current = event.attempt
            case e.OrderCancelled() | e.CaptureFailed() | e.CancelFailed():
                if current is not None:
                    attempts[current] = _of_current(attempts[current], event)
            case e.SurplusPaymentAuthorized() | e.SurplusPaymentCaptured():
                # A second payment of one attempt is among the transactions.
                if event.attempt in attempts and event.attempt != current:
                    attempts[event.attempt] = _surplus(attempts[event.attempt], event)
            case _:
                change = _CHANGES.get(type(event))
                if change is not None:
                    number: int = event.attempt  # type: ignore[union-attr]
                    attempts[number] = change(attempts[number], event)
                    if isinstance(event, e.PaymentAuthorized | e.PaymentCaptured):
                        current = number
    return tuple(sorted(attempts.values(), key=lambda attempt: -attempt.number))


def _begun(event: e.PaymentStarted | e.PaymentDiscovered) -> PaymentAttempt:
    if isinstance(event, e.PaymentStarted):
        return PaymentAttempt(
            event.attempt, event.processor, event.workflow_id, event.payment_method_type, event.timestamp
        )
    attempt = PaymentAttempt(event.attempt, event.processor, None, None, None)
    return _with_ids(attempt, event)


def _of_current(attempt: PaymentAttempt, event: e.OrderCancelled | e.CaptureFailed | e.CancelFailed) -> PaymentAttempt:
    """What says no attempt's number is about the current one. One that had failed stays failed."""
    if not isinstance(event, e.OrderCancelled):
        return replace(attempt, outcome_unknown=False)
    if attempt.status == "failed":
        return attempt
    ended = event.processor_transaction_id or attempt.processor_transaction_id
    return replace(
        attempt,
        status="cancelled",
        processor_transaction_id=ended,
        finished_at=event.timestamp,
        outcome_unknown=False,
    )


def _surplus(attempt: PaymentAttempt, event: e.SurplusPaymentAuthorized | e.SurplusPaymentCaptured) -> PaymentAttempt:
    taken = isinstance(event, e.SurplusPaymentCaptured)
    return replace(
        _with_ids(attempt, event),
        status="captured" if taken else "authorized",
        finished_at=event.timestamp if taken else None,
        failure=None,
        outcome_unknown=False,
        surplus=True,
    )


def _with_ids(attempt: PaymentAttempt, event: Any) -> PaymentAttempt:
    return replace(
        attempt,
        processor_order_id=event.processor_order_id or attempt.processor_order_id,
        processor_transaction_id=event.processor_transaction_id or attempt.processor_transaction_id,
    )


def _settled(status: Status, attempt: PaymentAttempt, event: Any) -> PaymentAttempt:
    """Where the payment stands, which ends a doubt about it. Money makes an earlier failure void."""
    failure = event if isinstance(event, e.PaymentFailed) else None
    finished = isinstance(event, e.PaymentCaptured | e.PaymentFailed)
    return replace(
        _with_ids(attempt, event),
        status=status,
        failure=failure,
        finished_at=event.timestamp if finished else None,
        outcome_unknown=False,
        surplus=False,
    )


_Change: TypeAlias = Callable[[PaymentAttempt, Any], PaymentAttempt]
_CHANGES: dict[type[Any], _Change] = {
    e.PaymentIdentified: _with_ids,
    e.PaymentProcessing: lambda attempt, _: replace(attempt, status="processing"),
    e.PaymentOutcomeUnknown: lambda attempt, _: replace(attempt, outcome_unknown=True),
    e.PaymentActionRequired: partial(_settled, "requires_action"),
    e.PaymentAuthorized: partial(_settled, "authorized"),
    e.PaymentCaptured: partial(_settled, "captured"),
    e.PaymentFailed: partial(_settled, "failed"),
}
