"""The states that an order can be in: a tagged union, so that each has exactly the facts that it can have.

``order_state.py`` folds an order's events into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from payloops.events import order as e
from payloops.events.base import Sealed
from payloops.values import value

RefundStatus = Literal["pending", "success", "failed"]
DisputeStatus = Literal["opened", "won", "lost"]


@value(frozen=True, slots=True)
class Attempt:
    """One try to take the money at one processor."""

    number: int
    processor: str
    workflow_id: str | None
    """None for a payment that was begun outside of this service."""
    payment_method_type: str | None
    payment_method_token: str | None
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    """Of the payment that succeeded or may still succeed. A failed one's id is in its event only: in Razorpay's
    checkout the customer's next try of the same attempt is another payment."""
    started_at: datetime | None = None
    """None for a payment that was begun outside of this service."""

    def is_same_payment(self, number: int, transaction_id: str | None) -> bool:
        """Whether a report of that attempt and processor id speaks of this attempt's payment."""
        return _is_same_payment((self.number, self.processor_transaction_id), (number, transaction_id))


@value(frozen=True, slots=True)
class Refund:
    """Money on its way back to the customer."""

    refund_id: UUID
    amount: int
    reason: str | None
    status: RefundStatus
    workflow_id: str | None
    """None for a refund that was made at the processor, not through us."""
    created_at: datetime
    processor_refund_id: str | None = None
    """Of a failed refund: the processor's own verdict on this refund, which is its last word."""
    error_code: str | None = None
    error_message: str | None = None
    outcome_unknown: bool = False
    failed_ids: tuple[str, ...] = ()
    """The processor's refunds that failed before another one, which has its own id, succeeded in this one's name."""

    @property
    def is_known_by_amount_only(self) -> bool:
        """Whether it was counted because the processor's total had grown: nobody has named it yet."""
        return self.status == "success" and self.workflow_id is None and self.processor_refund_id is None


@value(frozen=True, slots=True)
class Dispute:
    """Money that the customer's bank wants back."""

    dispute_id: UUID
    processor_dispute_id: str
    amount: int
    reason: str | None
    status: DisputeStatus
    created_at: datetime
    updated_at: datetime


@value(frozen=True, slots=True)
class Surplus:
    """A payment beyond the order's own: held money that is released, or taken money that is given back."""

    attempt: int
    processor: str
    processor_order_id: str | None
    processor_transaction_id: str | None
    amount: int
    refund: Refund | None = None
    """None while the money is only held."""

    def is_same_payment(self, number: int, transaction_id: str | None) -> bool:
        """Whether a report of that attempt and processor id speaks of this payment."""
        return _is_same_payment((self.attempt, self.processor_transaction_id), (number, transaction_id))


def _is_same_payment(one: tuple[int, str | None], other: tuple[int, str | None]) -> bool:
    """Payments differ by attempt, and within an attempt by the processor's id; a missing id tells nothing.

    Ids carry their kind in front (pi_, ch_, pay_), and two of different kinds may well name one payment. To take one
    payment for two would give the order's own money back, so in doubt it is one.
    """
    (number, transaction_id), (other_number, other_transaction_id) = one, other
    if transaction_id is None or other_transaction_id is None:
        return number == other_number
    if transaction_id == other_transaction_id:
        return True
    return number == other_number and _kind(transaction_id) != _kind(other_transaction_id)


def _kind(processor_id: str) -> str:
    return processor_id.partition("_")[0]


@value(frozen=True, slots=True)
class Sync:
    """The last time that somebody wanted the processor asked. ``version`` is the order's when it was requested."""

    number: int
    version: int
    requested_at: datetime
    answers: tuple[Mapping[str, Any], ...] | None = None
    """None while the processor is being asked."""
    changed: bool = False


@value(frozen=True, slots=True)
class Facts:
    """What was asked for at creation, and what is counted over the order's whole life."""

    order_id: UUID
    version: int
    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    external_id: str
    customer_id: str | None
    customer_email: Sealed | None
    description: str | None
    metadata: Mapping[str, Any]
    return_url: str | None
    cancel_url: str | None
    capture_method: e.CaptureMethod
    created_at: datetime
    updated_at: datetime
    other_attempts: tuple[Attempt, ...] = ()
    """All attempts but the current one; a late success may be of one of them, which then becomes the current one."""
    captures_requested: int = 0
    voids_requested: int = 0
    """Voids of held money that were asked for; a waiting customer's action that is called off is none."""
    surplus: tuple[Surplus, ...] = ()
    checkout_session_id: UUID | None = None
    sync: Sync | None = None
    public_events: int = 0
    """How many public events the order has had: the sequence of the last."""
    last_published: tuple[tuple[str, int], ...] = ()
    """The order's version at its last public event of each type, the latest of all at the end."""

    def published_version(self, event_type: str) -> int | None:
        """The version at which the last public event of that type was made; None when there was none."""
        return next((version for name, version in self.last_published if name == event_type), None)


@value(frozen=True, slots=True)
class Failure:
    """Why the last attempt failed, in the processor's own codes."""

    code: str
    decline_code: str | None
    message: str
    processor: str | None


@value(frozen=True, slots=True)
class NextAction:
    """What the customer has to do."""

    redirect_url: Sealed | None
    client_secret: Sealed | None
    processor_data: Mapping[str, Any] | None


@value(frozen=True, slots=True)
class Absent:
    """Nothing happened yet."""


@value(frozen=True, slots=True)
class Pending:
    """Created, no attempt yet."""

    facts: Facts


@value(frozen=True, slots=True)
class Processing:
    """An attempt is with the processor. ``cancel`` was asked for while the customer had to act."""

    facts: Facts
    attempt: Attempt
    outcome_unknown: bool = False
    cancel: e.CancelRequested | None = None


@value(frozen=True, slots=True)
class RequiresAction:
    """The attempt waits for the customer."""

    facts: Facts
    attempt: Attempt
    next_action: NextAction
    cancel: e.CancelRequested | None = None
    outcome_unknown: bool = False


@value(frozen=True, slots=True)
class Authorized:
    """``authorized`` is held; at most one capture or one void of it is under way."""

    facts: Facts
    attempt: Attempt
    authorized: int
    capture: e.CaptureRequested | None = None
    cancel: e.CancelRequested | None = None
    outcome_unknown: bool = False


@value(frozen=True, slots=True)
class Captured:
    """``captured`` was taken; 0 ≤ refunded (pending included) ≤ captured. Disputes stand apart from both."""

    facts: Facts
    attempt: Attempt
    captured: int
    refunds: Mapping[UUID, Refund] = field(default_factory=dict)
    refunded_total_told: int = 0
    """The most that the processor has told to be refunded in all, as far as it was left to pending refunds."""
    disputes: tuple[Dispute, ...] = ()

    @property
    def refunded(self) -> int:
        """What went back for sure."""
        return sum(r.amount for r in self.refunds.values() if r.status == "success")

    @property
    def refundable(self) -> int:
        """What is neither refunded nor about to be."""
        return self.captured - sum(r.amount for r in self.refunds.values() if r.status != "failed")

    @property
    def dispute_status(self) -> DisputeStatus | None:
        """Of the latest dispute, an open one first; None when there was none."""
        if not self.disputes:
            return None
        is_open = any(dispute.status == "opened" for dispute in self.disputes)
        return "opened" if is_open else self.disputes[-1].status

    def dispute(self, dispute_id: UUID) -> Dispute | None:
        """The dispute with that id."""
        return next((dispute for dispute in self.disputes if dispute.dispute_id == dispute_id), None)

    def refund(self, refund_id: UUID) -> Refund | None:
        """The refund with that id, of the order's own payment or of a surplus one."""
        refund = self.refunds.get(refund_id)
        if refund is not None:
            return refund
        given_back = (surplus.refund for surplus in self.facts.surplus if surplus.refund is not None)
        return next((refund for refund in given_back if refund.refund_id == refund_id), None)


@value(frozen=True, slots=True)
class Failed:
    """The last attempt ended without money."""

    facts: Facts
    attempt: Attempt
    failure: Failure
    ended: bool = False
    """We had the processor end the payment: it can't hold money any more."""


@value(frozen=True, slots=True)
class Cancelled:
    """Ended without money; ``released`` was held once."""

    facts: Facts
    attempt: Attempt | None
    reason: str | None
    released: int = 0
    ended_transaction_id: str | None = None
    """The payment that the processor ended: it can't hold money any more."""
    requested: bool = True
    """The merchant asked for it; else the processor ended the payment by itself, or because we gave up waiting."""


Existing = Pending | Processing | RequiresAction | Authorized | Captured | Failed | Cancelled
OrderState = Absent | Existing

INITIAL = Absent()


class ImpossibleHistory(Exception):
    """The log holds an event that its state can't take: a fault of ours or of the log, never of a caller."""


def status(state: Existing) -> str:
    """The order's status on the wire."""
    match state:
        case Pending():
            return "pending"
        case Processing():
            return "processing"
        case RequiresAction():
            return "requires_action"
        case Authorized():
            return "authorized"
        case Captured():
            return _captured_status(state)
        case Failed():
            return "failed"
        case Cancelled():
            return "cancelled"
        case _:
            assert_never(state)


def _captured_status(state: Captured) -> str:
    refunded = state.refunded
    if refunded == 0:
        return "captured"
    return "refunded" if refunded == state.captured else "partially_refunded"


def attempt_of(state: Existing) -> Attempt | None:
    """The current attempt."""
    return None if isinstance(state, Pending) else state.attempt


def attempts_of(state: Existing) -> tuple[Attempt, ...]:
    """All attempts, the current one first."""
    attempt = attempt_of(state)
    return () if attempt is None else (attempt, *state.facts.other_attempts)


def attempt_numbered(state: Existing, number: int) -> Attempt | None:
    """The attempt with that number, current or not."""
    return next((attempt for attempt in attempts_of(state) if attempt.number == number), None)
