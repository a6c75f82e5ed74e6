"""The relay's task for an event of the inbox: read it, find its order, have its effect, say what became of it.

An event whose signature holds is a fact: its order is moved by it, and a workflow that waits for the customer is told,
in one transaction with the verdict. Everything may be done twice, for the order's own rules make a repeat nothing. What
comes before the event that it builds on (a refund before its capture) waits, for a bounded time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

import orjson

from payloops.commands import order_results as r
from payloops.commands.aggregates import Orders, ProcessorEvents
from payloops.commands.handlers import CommandHandler, Companion, Guard
from payloops.commands.processor_event import JudgeProcessorEvent
from payloops.errors import (
    AmountMismatch,
    Conflict,
    InvalidInput,
    InvalidStatus,
    NotFound,
    RuleViolation,
)
from payloops.events.base import Actor, Meta, Sealed
from payloops.events.order_state import Absent, Existing
from payloops.events.processor_event import Verdict
from payloops.projections.personal_data import CLIENT_SECRET, REDIRECT_URL, PersonalData
from payloops.projections.processor_event_views import InboxEvent, InboxViews
from payloops.values import Clock, new_id
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.engines.base import Work
from payloops.workflows_bridge.inbox import razorpay, stripe
from payloops.workflows_bridge.inbox.facts import (
    DisputeTold,
    NothingTold,
    PaymentTold,
    RefundsTotalTold,
    RefundTold,
    Subject,
    Told,
    Unreadable,
)
from payloops.workflows_bridge.inbox.reports import (
    Context,
    Quarantined,
    attempt_meant,
    dispute_report,
    payment_report,
    refund_report,
    refunds_total_report,
    require_currency,
    word_for_workflow,
)
from payloops.workflows_bridge.outbox import completion
from payloops.workflows_bridge.processors import base as p
from payloops.workflows_bridge.relay import TryLater

READERS: Final[dict[str, Callable[[Mapping[str, Any]], Told]]] = {
    "stripe": stripe.read_event,
    "razorpay": razorpay.read_event,
}
LOST_RACE_S: Final = 0.2

_Told: TypeAlias = PaymentTold | RefundTold | RefundsTotalTold | DisputeTold

_NO_ORDER: Final = "The event names no order of this account."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an event waits for what must come before it: as long as it has waited, within bounds."""

    first_s: float = 1.0
    most_s: float = 900.0
    total_s: float = 24 * 3600.0


class _Ended(Exception):
    """The event has its verdict, without an effect."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(verdict)
        self.verdict = verdict
        self.reason = reason


class _TooEarly(Exception):
    """What the event builds on is not known yet. The words are for people."""


@dataclass(frozen=True, slots=True)
class _Case:
    """An event in hand, and the order that it is about, as far as that is known."""

    inbound: InboxEvent
    merchant_id: UUID
    context: Context
    work: Work
    order_id: UUID | None

    @property
    def event_id(self) -> UUID:
        found: UUID = self.inbound.row["id"]
        return found


class Inbox:
    """See the module. Raises TryLater, and Unavailable when the database can't serve."""

    def __init__(
        self,
        *,
        views: InboxViews,
        handler: CommandHandler,
        orders: Orders,
        processor_events: ProcessorEvents,
        accounts: ProcessorAccounts,
        personal: PersonalData,
        clock: Clock,
        patience: Patience | None = None,
    ) -> None:
        self._views = views
        self._handler = handler
        self._orders = orders
        self._processor_events = processor_events
        self._accounts = accounts
        self._personal = personal
        self._clock = clock
        self._patience = patience or Patience()

    async def __call__(self, payload: Mapping[str, Any], work: Work) -> None:
        """Process the event that an outbox row names; one that has its verdict already is left alone."""
        merchant_id, event_id = UUID(payload["merchantId"]), UUID(payload["eventId"])
        inbound = await self._views.event(merchant_id, event_id)
        row = inbound.row
        if row["status"] != "received":
            return
        meta = Meta(
            new_id(),
            Actor("processor", row["processor"]),
            work.correlation_id,
            causation_id=row["processor_event_id"],
            traceparent=work.traceparent,
        )
        context = Context(row["processor"], self._clock.now(), meta)
        case = _Case(inbound, merchant_id, context, work, row["order_id"])
        try:
            told = _read(case)
            state = await self._order(case, told.subject)
            case = replace(case, order_id=None if state is None else state.facts.order_id)
            await self._have_effect(case, told, state)
        except _Ended as end:
            await self._judge(case, end.verdict, end.reason)
        except (Quarantined, AmountMismatch) as mismatch:
            await self._judge(case, "quarantined", str(mismatch))
        except (_TooEarly, InvalidStatus, NotFound) as early:
            await self._wait(case, str(early))
        except Conflict:
            raise TryLater(LOST_RACE_S) from None
        except (RuleViolation, InvalidInput) as problem:
            await self._judge(case, "failed", problem.message)

    # ---------------------------------------------------------------------------------------------------------- effects

    async def _have_effect(self, case: _Case, told: _Told, state: Existing | None) -> None:
        if state is None:
            raise _Ended("ignored", _NO_ORDER)
        match told:
            case PaymentTold():
                await self._payment(case, told, state)
            case RefundTold():
                await self._conclude(case, refund_report(told, state, case.context))
            case RefundsTotalTold():
                await self._refunds_total(case, told, state)
            case DisputeTold():
                await self._conclude(case, dispute_report(told, state, case.context))
            case _:
                assert_never(told)

    async def _order(self, case: _Case, subject: Subject) -> Existing | None:
        """The merchant's own order that the event is about, by our metadata, else by the processor's ids.

        Another merchant's is as unknown as none.
        """
        order_id = subject.order_id or case.order_id
        if order_id is None and subject.processor_ids:
            order_id = await self._views.order_paid_as(case.merchant_id, case.context.processor, subject.processor_ids)
        state = Absent() if order_id is None else await self._handler.load(self._orders, order_id)
        return None if isinstance(state, Absent) or state.facts.merchant_id != case.merchant_id else state

    async def _payment(self, case: _Case, told: PaymentTold, state: Existing) -> None:
        redirect_url, client_secret = told.redirect_url, told.client_secret
        sealed: dict[str, Sealed | None] = {}
        if told.step == "action_required":
            order_id = state.facts.order_id
            sealed["redirect_url"] = await self._sealed(case, REDIRECT_URL, order_id, redirect_url)
            sealed["client_secret"] = await self._sealed(case, CLIENT_SECRET, order_id, client_secret)
        report = payment_report(told, state, case.context, **sealed)
        word = word_for_workflow(told, case.inbound.row["processor_event_id"])
        rows: list[dict[str, Any]] = []
        if word is not None and attempt_meant(state, told.subject, case.context.processor) == report.attempt:
            rows = completion(
                state,
                word,
                event_id=case.event_id,
                correlation_id=case.work.correlation_id,
                traceparent=case.work.traceparent,
            )
        await self._conclude(case, report, outbox=rows)

    async def _refunds_total(self, case: _Case, told: RefundsTotalTold, state: Existing) -> None:
        """The processor is asked for the refunds themselves: a total alone does not say which refund it counts.

        What the list does not explain is booked by the total. A refund that failed since explains what an older total
        counted.
        """
        require_currency(state, told.currency)
        listed = await self._listed_refunds(case, told, state)
        for one in listed:
            state = await self._record(case, state, refund_report(_as_told(one, told), state, case.context))
        if told.refunded_total <= sum(one.amount for one in listed):
            await self._judge(case, "processed", None)
        else:
            await self._conclude(case, refunds_total_report(told, state, case.context))

    async def _listed_refunds(self, case: _Case, told: RefundsTotalTold, state: Existing) -> tuple[p.ListedRefund, ...]:
        """Empty when there is nobody to ask, or the processor does not know the payment. Raises _TooEarly."""
        account = await self._accounts.account(case.merchant_id, case.context.processor)
        if account is None:
            return ()
        subject = told.subject
        ref = p.PaymentRef(
            order_id=state.facts.order_id,
            attempt=attempt_meant(state, subject, case.context.processor),
            processor_order_id=subject.processor_order_id,
            processor_transaction_id=subject.transaction_id,
            amount=state.facts.amount,
            currency=state.facts.currency,
            merchant_id=case.merchant_id,
        )
        case.work.require_lease()
        answer = await account.processor.list_refunds(ref)
        match answer:
            case p.RefundList():
                return answer.refunds
            case p.NotFound() | p.Misconfigured():
                return ()
            case p.Retryable() | p.Unknown():
                raise _TooEarly("The processor could not be asked which refunds it has.")
            case _:
                assert_never(answer)

    # ---------------------------------------------------------------------------------------------------------- records

    async def _record(self, case: _Case, state: Existing, report: r.OrderReport) -> Existing:
        """Record what is one part of the event's effect. Raises what the order's commands raise."""
        case.work.require_lease()
        guard = Guard(case.merchant_id)
        done = await self._handler.execute(self._orders, state.facts.order_id, report, guard=guard)
        return state if isinstance(done.state, Absent) else done.state

    async def _conclude(self, case: _Case, report: r.OrderReport, *, outbox: Sequence[dict[str, Any]] = ()) -> None:
        """Record the last part, the verdict and the word to the workflow, together."""
        case.work.require_lease()
        await self._handler.execute(
            self._orders,
            report.order_id,
            report,
            guard=Guard(case.merchant_id),
            also=[Companion(self._processor_events, case.event_id, self._verdict(case, "processed", None))],
            extra_rows={"outbox": outbox} if outbox else None,
        )
        _note(case, "processed", None)

    async def _judge(self, case: _Case, verdict: Verdict, reason: str | None) -> None:
        case.work.require_lease()
        await self._handler.execute(self._processor_events, case.event_id, self._verdict(case, verdict, reason))
        _note(case, verdict, reason)

    def _verdict(self, case: _Case, verdict: Verdict, reason: str | None) -> JudgeProcessorEvent:
        context = case.context
        return JudgeProcessorEvent(case.event_id, context.now, context.meta, verdict, reason, case.order_id)

    async def _wait(self, case: _Case, reason: str) -> None:
        """Try again as long as there is patience, then say what was missing. Raises TryLater."""
        waited_s = max(0.0, case.work.now_s() - case.inbound.row["since"].timestamp())
        patience = self._patience
        if waited_s < patience.total_s:
            raise TryLater(min(max(waited_s, patience.first_s), patience.most_s))
        await self._judge(case, "failed", f"{reason} It was tried again until it was given up.")

    async def _sealed(self, case: _Case, field: str, order_id: UUID, text: str | None) -> Sealed | None:
        if text is None:
            return None
        key = await self._personal.key_for(case.merchant_id)
        try:
            return key.seal(field, order_id, text)
        except RuleViolation:
            # The merchant's personal data was erased: it has no customer that could use them.
            return None


def _read(case: _Case) -> _Told:
    """What the event says. Raises _Ended, AmountMismatch."""
    body = case.inbound.body
    if body is None:
        raise _Ended("failed", "The event can't be read any more: the account's personal data was erased.")
    try:
        told = READERS[case.context.processor](orjson.loads(body))
    except Unreadable as problem:
        raise _Ended("failed", f"The event can't be read: {problem}.") from None
    if isinstance(told, NothingTold):
        raise _Ended("ignored", told.reason)
    return told


def _as_told(one: p.ListedRefund, total: RefundsTotalTold) -> RefundTold:
    return RefundTold(
        total.subject,
        processor_refund_id=one.processor_refund_id,
        refund_id=one.refund_id,
        amount=one.amount,
        currency=total.currency,
        status=one.status,
        reason=one.reason,
        code=one.code,
        message=one.message,
    )


def _note(case: _Case, verdict: Verdict, reason: str | None) -> None:
    """One line an event: who, what, verdict; nothing of its body."""
    row = case.inbound.row
    level = logging.INFO if verdict in ("processed", "ignored") else logging.WARNING
    fields = {
        "processor": row["processor"],
        "eventType": row["type"],
        "eventId": str(row["id"]),
        "merchantId": str(case.merchant_id),
        "orderId": None if case.order_id is None else str(case.order_id),
        "verdict": verdict,
        "reason": reason,
    }
    _log.log(level, "%s event %s: %s", row["processor"], row["type"], verdict, extra=fields)
