"""The activities of this service's workflows, written once for both engines.

Each is idempotent: the processor's calls by keys made from order, attempt and refund, the records by the order's own
rules. Credentials are fetched inside and never leave; a client secret leaves sealed. What an order does not need any
more is not done: the answer is then ``obsolete``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias
from uuid import UUID

from payloops.commands.aggregates import Orders
from payloops.commands.handlers import CommandHandler
from payloops.errors import AmountMismatch, NotFound, RuleViolation
from payloops.events.base import Actor, Meta
from payloops.events.order_state import Absent, Existing, OrderState, attempt_numbered, status
from payloops.projections.personal_data import CLIENT_SECRET, REDIRECT_URL, PersonalData
from payloops.values import Clock, new_id
from payloops.workflows_bridge import duty
from payloops.workflows_bridge.accounts import Account, ProcessorAccounts
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.outcomes import outcome_of_payment, outcome_of_refund
from payloops.workflows_bridge.processors.base import PaymentOutcome, PaymentRef, PaymentRequest
from payloops.workflows_bridge.reports import payment_report, refund_report

Json: TypeAlias = Mapping[str, Any]

NOT_CONFIGURED: Final = Outcome(
    Told.MISCONFIGURED,
    code="processor_not_configured",
    message="The merchant has no configuration of this processor any more.",
)

MOVES_MONEY: Final = frozenset({Activity.CHARGE, Activity.CAPTURE, Activity.CANCEL, Activity.REFUND})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf an activity runs."""

    workflow_id: str
    correlation_id: str
    traceparent: str | None = None
    repeated: bool = False
    """Whether this very call may have been made before, and its answer lost: then a refused key proves nothing."""


ActivityFunction = Callable[[Json, Caller], Awaitable[dict[str, Any]]]


class Activities:
    """See the module; ``others`` are the activities of other workflows, by name.

    Raises Unavailable when the database can't serve: call again later.
    """

    def __init__(
        self,
        *,
        handler: CommandHandler,
        orders: Orders,
        accounts: ProcessorAccounts,
        personal: PersonalData,
        clock: Clock,
        others: Mapping[str, ActivityFunction] | None = None,
    ) -> None:
        self._handler = handler
        self._orders = orders
        self._accounts = accounts
        self._personal = personal
        self._clock = clock
        self._by_name: dict[str, ActivityFunction] = {
            Activity.CHARGE: self.charge,
            Activity.ASK: self.ask,
            Activity.CAPTURE: self.capture,
            Activity.CANCEL: self.cancel,
            Activity.REFUND: self.refund,
            Activity.ASK_REFUND: self.ask_refund,
            Activity.RECORD_PAYMENT: self.record_payment,
            Activity.RECORD_REFUND: self.record_refund,
            **(others or {}),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """What can be called."""
        return tuple(self._by_name)

    async def call(self, name: str, told: Json, caller: Caller) -> dict[str, Any]:
        """The activity of that name. Raises ContractViolation when there is none."""
        activity = self._by_name.get(name)
        if activity is None:
            raise ContractViolation(f"there is no activity {name}")
        result = await activity(told, caller)
        return {**result, "repeated": True} if caller.repeated and name in MOVES_MONEY else result

    # --------------------------------------------------------------------------------------------------------- payments

    async def charge(self, told: Json, caller: Caller) -> dict[str, Any]:
        """chargePayment: start an attempt's payment, unless the order has gone on without it."""
        (state, account), number = await self._both(told), int(told["attempt"])
        if account is None:
            return NOT_CONFIGURED.to_json()
        if duty.wants_charge(state, number):
            answer = await account.processor.create_payment(_request(told, state, caller))
            return await self._told(answer, account, told)
        if duty.is_settled(state, number):
            return _obsolete(state)
        found = await account.processor.get_payment(_ref(told, state, duty.payment_numbered(state, number)))
        outcome = await self._told(found, account, told)
        return _obsolete(state) if outcome["told"] == Told.NOT_FOUND else outcome

    async def ask(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all activities look alike
        """askPayment: what became of a payment, named by attempt or by the processor's id."""
        state, account = await self._both(told)
        payment = _payment(told, state)
        if "attempt" in told:
            needless = duty.is_settled(state, payment.attempt)
        else:
            transaction_id = told["processorTransactionId"]
            needless = duty.wants_capture(state) is None and not duty.wants_void(state, transaction_id)
        if needless:
            return _obsolete(state)
        if account is None:
            return NOT_CONFIGURED.to_json()
        return await self._told(await account.processor.get_payment(_ref(told, state, payment)), account, told)

    async def look(self, told: Json) -> Outcome:
        """What became of an attempt's payment, though no workflow may need to know. No activity: a sync's question."""
        state, account = await self._both(told)
        if account is None:
            return NOT_CONFIGURED
        payment = duty.payment_numbered(state, int(told["attempt"]))
        answer = await account.processor.get_payment(_ref(told, state, payment))
        return Outcome.from_json(await self._told(answer, account, told))

    async def capture(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all activities look alike
        """capturePayment: take held money; of an automatic order all of it, else what the merchant asked for."""
        state, account = await self._both(told)
        payment = _payment(told, state)
        if "attempt" in told:
            amount = told["amount"] if duty.wants_automatic_capture(state, payment.attempt) else None
        else:
            amount = duty.wants_capture(state)
        if amount is None:
            return _obsolete(state)
        if account is None:
            return NOT_CONFIGURED.to_json()
        answer = await account.processor.capture_payment(_ref(told, state, payment), amount)
        return await self._told(answer, account, told)

    async def cancel(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all activities look alike
        """cancelPayment: end a payment that has taken no money."""
        state, account = await self._both(told)
        payment = _payment(told, state)
        if "attempt" in told:
            needless = duty.is_settled(state, payment.attempt)
        else:
            needless = not duty.wants_void(state, told["processorTransactionId"])
        if needless:
            return _obsolete(state)
        if account is None:
            return NOT_CONFIGURED.to_json()
        return await self._told(await account.processor.cancel_payment(_ref(told, state, payment)), account, told)

    async def record_payment(self, told: Json, caller: Caller) -> dict[str, Any]:
        """recordPayment: what became of a payment, into the log.

        Answers ``status``, and ``current``: whether money held for this attempt is to be captured now; or ``refused``,
        when what the processor told does not fit the order.
        """
        number = told.get("attempt")
        if number is None:
            number = duty.payment_called(await self.order(told), told.get("transactionId")).attempt
        command = payment_report(told, number, now=self._clock.now(), meta=meta_of(caller))
        try:
            executed = await self._handler.execute(self._orders, UUID(told["orderId"]), command)
        except AmountMismatch as mismatch:
            return _refused(told, caller, mismatch)
        after = _existing(executed.state)
        return {"status": status(after), "current": duty.wants_automatic_capture(after, number)}

    # ---------------------------------------------------------------------------------------------------------- refunds

    async def refund(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all activities look alike
        """createRefund: pay captured money back."""
        (state, account), refund_id = await self._both(told), UUID(told["refundId"])
        if duty.pending_refund(state, refund_id) is None:
            return _obsolete(state)
        if account is None:
            return NOT_CONFIGURED.to_json()
        payment = duty.payment_called(state, told["transactionId"])
        answer = await account.processor.create_refund(
            refund_id=refund_id, ref=_ref(told, state, payment), amount=told["amount"], reason=told["reason"]
        )
        return replace(outcome_of_refund(answer), account=account.name).to_json()

    async def ask_refund(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all look alike
        """askRefund: what became of a refund."""
        (state, account), refund_id = await self._both(told), UUID(told["refundId"])
        if duty.pending_refund(state, refund_id) is None:
            return _obsolete(state)
        if account is None:
            return NOT_CONFIGURED.to_json()
        payment = duty.payment_called(state, told["transactionId"])
        answer = await account.processor.get_refund(
            refund_id=refund_id, processor_refund_id=told["processorRefundId"], ref=_ref(told, state, payment)
        )
        return replace(outcome_of_refund(answer), account=account.name).to_json()

    async def record_refund(self, told: Json, caller: Caller) -> dict[str, Any]:
        """recordRefund: what became of a refund, into the log. Answers ``status`` or ``refused``."""
        command = refund_report(told, now=self._clock.now(), meta=meta_of(caller))
        try:
            executed = await self._handler.execute(self._orders, UUID(told["orderId"]), command)
        except AmountMismatch as mismatch:
            return _refused(told, caller, mismatch)
        return {"status": status(_existing(executed.state))}

    # ------------------------------------------------------------------------------------------------------------ parts

    async def order(self, told: Json) -> Existing:
        """The order as it is in the log now. Raises NotFound."""
        state: OrderState = await self._handler.load(self._orders, UUID(told["orderId"]))
        return _existing(state)

    async def _both(self, told: Json) -> tuple[Existing, Account | None]:
        """The order and the account, in the time of the slower one."""
        state, account = await asyncio.gather(self.order(told), self._account(told))
        return state, account

    async def _account(self, told: Json) -> Account | None:
        return await self._accounts.account(UUID(told["merchantId"]), told["processor"])

    async def _told(self, answer: PaymentOutcome, account: Account, told: Json) -> dict[str, Any]:
        outcome = replace(outcome_of_payment(answer), account=account.name)
        if outcome.client_secret is not None or outcome.redirect_url is not None:
            outcome = replace(
                outcome,
                client_secret=await self._sealed(CLIENT_SECRET, outcome.client_secret, told),
                redirect_url=await self._sealed(REDIRECT_URL, outcome.redirect_url, told),
            )
        return outcome.to_json()

    async def _sealed(self, field: str, text: str | None, told: Json) -> str | None:
        if text is None:
            return None
        key = await self._personal.key_for(UUID(told["merchantId"]))
        try:
            return key.seal(field, UUID(told["orderId"]), text)
        except RuleViolation:
            # The merchant's personal data was erased: it has no customer that could use them.
            return None


def _existing(state: OrderState) -> Existing:
    if isinstance(state, Absent):
        raise NotFound("No such order.")
    return state


def _payment(told: Json, state: Existing) -> duty.KnownPayment:
    """The payment that an activity is about; ids that the workflow was told go before those of the log."""
    if "attempt" not in told:
        return duty.payment_called(state, told["processorTransactionId"])
    known = duty.payment_numbered(state, int(told["attempt"]))
    return duty.KnownPayment(
        known.attempt,
        told["processorOrderId"] or known.processor_order_id,
        told["processorTransactionId"] or known.processor_transaction_id,
    )


def _ref(told: Json, state: Existing, payment: duty.KnownPayment) -> PaymentRef:
    return PaymentRef(
        order_id=state.facts.order_id,
        attempt=payment.attempt,
        processor_order_id=payment.processor_order_id,
        processor_transaction_id=payment.processor_transaction_id,
        amount=state.facts.amount,
        currency=state.facts.currency,
        merchant_id=UUID(told["merchantId"]),
    )


def _request(told: Json, state: Existing, caller: Caller) -> PaymentRequest:
    facts, number = state.facts, int(told["attempt"])
    attempt = attempt_numbered(state, number)
    if attempt is None:
        raise NotFound(f"This order has no payment attempt {number}.")
    return PaymentRequest(
        order_id=facts.order_id,
        merchant_id=facts.merchant_id,
        attempt=number,
        amount=facts.amount,
        currency=facts.currency,
        capture_method=facts.capture_method,
        return_url=facts.return_url,
        payment_method_type=attempt.payment_method_type,
        payment_method_token=attempt.payment_method_token,
        description=facts.description,
        external_id=facts.external_id,
        correlation_id=caller.correlation_id,
    )


def meta_of(caller: Caller) -> Meta:
    """Who records what an activity learnt."""
    return Meta(
        command_id=new_id(),
        actor=Actor("workflow", caller.workflow_id),
        correlation_id=caller.correlation_id,
        traceparent=caller.traceparent,
    )


def _obsolete(state: Existing) -> dict[str, Any]:
    return Outcome(Told.OBSOLETE, code=status(state)).to_json()


def _refused(told: Json, caller: Caller, mismatch: AmountMismatch) -> dict[str, Any]:
    _log.error(
        "what the processor told does not fit the order: %s",
        mismatch.message,
        extra={"orderId": told["orderId"], "workflowId": caller.workflow_id, "report": told["report"]},
    )
    return {"refused": "amount_mismatch"}
