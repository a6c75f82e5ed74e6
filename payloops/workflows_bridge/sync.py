"""The relay's task for a sync: ask the processor now what became of an order's payments, record it, say so.

Of money that was taken also the refunds and the disputes.

The question is not left to the payment's workflow: that may have ended, be somebody else's, or be in the middle of a
call. Two machines that learn the same of one payment are no harm, for the order's own rules make a repeat nothing. All
here may be done twice: questions move no money, and the end is recorded once (ADR 0012).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

from payloops.commands import order_results as r
from payloops.commands.aggregates import Orders
from payloops.commands.handlers import CommandHandler, Guard
from payloops.errors import Conflict, InvalidStatus, PayloopsError, RuleViolation
from payloops.events.base import Actor, Meta
from payloops.events.order_state import (
    Absent,
    Attempt,
    Authorized,
    Captured,
    Existing,
    OrderState,
    Processing,
    RequiresAction,
    attempt_of,
    attempts_of,
)
from payloops.projections.audit import event_id
from payloops.values import Clock, new_id
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.engines.base import Work
from payloops.workflows_bridge.inbox.facts import DisputeTold, RefundTold, Subject
from payloops.workflows_bridge.inbox.reports import Context, Quarantined, dispute_report, refund_report
from payloops.workflows_bridge.machines.results import Outcome, Told
from payloops.workflows_bridge.processors import base as p
from payloops.workflows_bridge.relay import TryLater
from payloops.workflows_bridge.reports import payment_report

ATTEMPTS_MAX: Final = 3
"""So many attempts are asked about, the current one and those before it: an earlier one may have taken money late."""
REFUNDED_MAX: Final = 5
"""So many payments are asked for what followed: the order's own, and those that were one too many."""
LOST_RACE_S: Final = 0.2

ENDED_AT_THE_PROCESSOR: Final = "ended at the processor"

Json: TypeAlias = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Payment:
    """A captured payment whose refunds and disputes are asked for."""

    attempt: int
    processor: str
    processor_order_id: str | None
    processor_transaction_id: str | None

    def answer(self, about: str, outcome: str, code: str | None = None) -> Json:
        """What was learnt of it, as SyncFinished keeps it."""
        return {
            "about": about,
            "attempt": self.attempt,
            "processor": self.processor,
            "processorTransactionId": self.processor_transaction_id,
            "outcome": outcome,
            "code": code,
        }


class OrderSync:
    """See the module. Raises TryLater, and Unavailable when the database can't serve."""

    def __init__(
        self,
        *,
        handler: CommandHandler,
        orders: Orders,
        activities: Activities,
        accounts: ProcessorAccounts,
        clock: Clock,
    ) -> None:
        self._handler = handler
        self._orders = orders
        self._activities = activities
        self._accounts = accounts
        self._clock = clock

    async def __call__(self, payload: Mapping[str, Any], work: Work) -> None:
        """Put the question that an outbox row names; one that is answered or given up is left alone."""
        order_id, number = UUID(payload["orderId"]), int(payload["number"])
        state: OrderState = await self._handler.load(self._orders, order_id)
        if isinstance(state, Absent) or str(state.facts.merchant_id) != payload["merchantId"]:
            return
        sync = state.facts.sync
        if sync is None or sync.number != number or sync.answers is not None:
            return
        try:
            state, of_payments = await self._ask_payments(state, work)
            of_what_followed = await self._ask_what_followed(state, work)
            meta = _meta(Actor("system", "sync"), state, work)
            answers = (*of_payments, *of_what_followed)
            await self._record(state, r.FinishSync(order_id, self._clock.now(), meta, number, answers), work)
        except Conflict:
            raise TryLater(LOST_RACE_S) from None
        outcomes = [answer["outcome"] for answer in answers]
        _log.info("a sync of order %s: %s", order_id, ", ".join(outcomes), extra={"outcomes": outcomes})

    # --------------------------------------------------------------------------------------------------------- payments

    async def _ask_payments(self, state: Existing, work: Work) -> tuple[Existing, list[Json]]:
        """All are asked at once, so that it takes as long as the slowest answer; recorded one after the other."""
        attempts = attempts_of(state)[:ATTEMPTS_MAX]
        work.require_lease()
        outcomes = await asyncio.gather(*(self._activities.look(_told(state, attempt)) for attempt in attempts))
        answers = []
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            state, answer = await self._learn(state, attempt, outcome, work)
            answers.append(answer)
        return state, answers

    async def _learn(self, state: Existing, attempt: Attempt, outcome: Outcome, work: Work) -> tuple[Existing, Json]:
        payment = Payment(
            attempt.number,
            attempt.processor,
            outcome.processor_order_id or attempt.processor_order_id,
            outcome.processor_transaction_id or attempt.processor_transaction_id,
        )
        report = report_of(outcome, state, attempt.number)
        word, code = word_of(outcome), outcome.decline_code or outcome.code
        if report is not None:
            meta = _meta(Actor("processor", attempt.processor), state, work)
            command = payment_report(
                {"orderId": str(state.facts.order_id), **report}, attempt.number, now=self._clock.now(), meta=meta
            )
            try:
                state = await self._record(state, command, work)
            except RuleViolation as problem:
                word = _unfit(problem, state, payment)
        return state, payment.answer("payment", word, code)

    # --------------------------------------------------------------------------------------------- refunds and disputes

    async def _ask_what_followed(self, state: Existing, work: Work) -> list[Json]:
        """The refunds and disputes of captured money, whoever made them. All are asked at once, as the payments are."""
        payments = refunded_payments(state)
        if not payments:
            return []
        work.require_lease()
        listings = await asyncio.gather(*(self._list(state, payment) for payment in payments))
        answers = []
        for payment, (refunds, _) in zip(payments, listings, strict=True):
            if isinstance(refunds, p.RefundList):
                state, word = await self._book_refunds(state, payment, refunds, work)
                answers.append(payment.answer("refunds", word))
            else:
                answers.append(payment.answer("refunds", *trouble_of(refunds)))
        for payment, (_, disputes) in zip(payments, listings, strict=True):
            if isinstance(disputes, p.DisputeList):
                state, word = await self._book_disputes(state, payment, disputes, work)
                answers.append(payment.answer("disputes", word))
            else:
                answers.append(payment.answer("disputes", *trouble_of(disputes)))
        return answers

    async def _list(self, state: Existing, payment: Payment) -> tuple[p.RefundListing, p.DisputeListing]:
        facts = state.facts
        account = await self._accounts.account(facts.merchant_id, payment.processor)
        if account is None:
            gone = p.Misconfigured("processor_not_configured", "The merchant has no configuration of it any more.")
            return gone, gone
        ref = p.PaymentRef(
            order_id=facts.order_id,
            attempt=payment.attempt,
            processor_order_id=payment.processor_order_id,
            processor_transaction_id=payment.processor_transaction_id,
            amount=facts.amount,
            currency=facts.currency,
            merchant_id=facts.merchant_id,
        )
        processor = account.processor
        refunds, disputes = await asyncio.gather(processor.list_refunds(ref), processor.list_disputes(ref))
        return refunds, disputes

    async def _book_refunds(
        self, state: Existing, payment: Payment, listing: p.RefundList, work: Work
    ) -> tuple[Existing, str]:
        """By the commands of an event about each; first those that failed, which make room for others."""
        word, subject = _word_of_list(complete=listing.complete), _subject(state, payment)
        oldest_first = reversed(listing.refunds)
        for one in sorted(oldest_first, key=lambda one: one.status != "failed"):
            try:
                told = _as_told(one, subject, state.facts.currency)
                report = refund_report(told, state, self._context(state, payment, work))
                state = await self._record(state, report, work)
            except (Quarantined, RuleViolation) as problem:
                word = _unfit(problem, state, payment)
        return state, word

    async def _book_disputes(
        self, state: Existing, payment: Payment, listing: p.DisputeList, work: Work
    ) -> tuple[Existing, str]:
        """By the command of an event about each, the oldest first: of several that are over the last one is shown."""
        word, subject = _word_of_list(complete=listing.complete), _subject(state, payment)
        for one in reversed(listing.disputes):
            told = DisputeTold(subject, one.processor_dispute_id, one.amount, one.currency, one.reason, one.status)
            try:
                report = dispute_report(told, state, self._context(state, payment, work))
                state = await self._record(state, report, work)
            except (Quarantined, RuleViolation) as problem:
                word = _unfit(problem, state, payment)
        return state, word

    def _context(self, state: Existing, payment: Payment, work: Work) -> Context:
        meta = _meta(Actor("processor", payment.processor), state, work)
        return Context(payment.processor, self._clock.now(), meta)

    async def _record(self, state: Existing, report: r.OrderReport, work: Work) -> Existing:
        """Raises what the order's commands raise."""
        work.require_lease()
        guard = Guard(state.facts.merchant_id)
        done = await self._handler.execute(self._orders, state.facts.order_id, report, guard=guard)
        return state if isinstance(done.state, Absent) else done.state


def report_of(outcome: Outcome, state: Existing, number: int) -> Json | None:
    """What an answer has to be recorded as, in the words of recordPayment; None for no news.

    ``state`` is the order as it was asked about. Money counts of every attempt, all else of the current one. A step on
    the way counts only where it is news (the customer has acted, a doubt is over): a payment that is being made passes
    through all of them, its own workflow tells, and what we heard may be older than that.
    """
    ids = {
        "processorOrderId": outcome.processor_order_id,
        "processorTransactionId": outcome.processor_transaction_id,
    }
    current = attempt_of(state)
    is_current = current is not None and current.number == number
    in_doubt = isinstance(state, Processing | RequiresAction | Authorized) and state.outcome_unknown
    match outcome.told:
        case Told.CAPTURED | Told.AUTHORIZED:
            return {"report": outcome.told.value, "amount": outcome.amount, **ids}
        case Told.DECLINED if is_current:
            words = {"code": outcome.code or "payment_failed", "declineCode": outcome.decline_code}
            return {"report": "failed", "message": outcome.message or "The payment failed.", **words, **ids}
        case Told.VOIDED if is_current:
            return {"report": "voided", "reason": ENDED_AT_THE_PROCESSOR, **ids}
        case Told.PROCESSING if is_current and isinstance(state, RequiresAction):
            return {"report": "processing", **ids}
        case Told.ACTION_REQUIRED if is_current and in_doubt:
            shown = {
                "redirectUrl": outcome.redirect_url,
                "clientSecret": outcome.client_secret,
                "processorData": outcome.processor_data,
            }
            return {"report": "action_required", **shown, **ids}
        case _:
            return None


def word_of(outcome: Outcome) -> str:
    """What the client is told of the answer: that of a question which got none is one word."""
    return "unanswered" if outcome.told in (Told.UNKNOWN, Told.RETRYABLE) else outcome.told.value


def trouble_of(answer: p.NotFound | p.Trouble) -> tuple[str, str | None]:
    """What the client is told of a list that was not given, and the processor's own code where there is one."""
    match answer:
        case p.NotFound():
            return "not_found", None
        case p.Misconfigured():
            return "misconfigured", answer.code
        case p.Unknown() | p.Retryable():
            return "unanswered", None
        case _:
            assert_never(answer)


def _word_of_list(*, complete: bool) -> str:
    return "listed" if complete else "listed_in_part"


def refunded_payments(state: Existing) -> tuple[Payment, ...]:
    """The payments that can have refunds and disputes: the order's own, and surplus ones on their way back."""
    if not isinstance(state, Captured):
        return ()
    own = state.attempt
    surplus = [
        Payment(one.attempt, one.processor, one.processor_order_id, one.processor_transaction_id)
        for one in state.facts.surplus
        if one.refund is not None and one.refund.status == "pending"
    ]
    payments = (
        Payment(own.number, own.processor, own.processor_order_id, own.processor_transaction_id),
        *surplus,
    )
    return payments[:REFUNDED_MAX]


def _told(state: Existing, attempt: Attempt) -> Json:
    """The question, as askPayment's payload; the ids are those of the log."""
    return {
        "orderId": str(state.facts.order_id),
        "merchantId": str(state.facts.merchant_id),
        "processor": attempt.processor,
        "attempt": attempt.number,
    }


def _subject(state: Existing, payment: Payment) -> Subject:
    return Subject(state.facts.order_id, payment.attempt, payment.processor_order_id, payment.processor_transaction_id)


def _as_told(one: p.ListedRefund, subject: Subject, currency: str) -> RefundTold:
    return RefundTold(
        subject,
        processor_refund_id=one.processor_refund_id,
        refund_id=one.refund_id,
        amount=one.amount,
        currency=currency,
        status=one.status,
        reason=one.reason,
        code=one.code,
        message=one.message,
    )


def _meta(actor: Actor, state: Existing, work: Work) -> Meta:
    """The cause is the request, by its id in the audit trail."""
    sync, order_id = state.facts.sync, state.facts.order_id
    cause = None if sync is None else str(event_id(order_id, sync.version))
    return Meta(new_id(), actor, work.correlation_id, causation_id=cause, traceparent=work.traceparent)


def _unfit(problem: Quarantined | PayloopsError, state: Existing, payment: Payment) -> str:
    """What does not fit the order is never booked: a person must look at it. The word for it."""
    early = isinstance(problem, InvalidStatus)
    words = problem.message if isinstance(problem, PayloopsError) else str(problem)
    fields = {"orderId": str(state.facts.order_id), "processor": payment.processor, "attempt": payment.attempt}
    _log.log(logging.WARNING if early else logging.ERROR, "what a sync learnt was not booked: %s", words, extra=fields)
    return "not_booked"
