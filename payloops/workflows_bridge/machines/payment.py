"""PaymentWorkflow: one attempt at an order, from the charge to money taken or held, failure or cancellation.

An unanswered charge is asked after before it is made again. A customer is waited for for 15 minutes; what the signals
say is a reason to ask, never a fact. No failure is recorded while it is possible that money was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from payloops.workflows_bridge.contracts import REASONS_TO_ASK, PaymentInput, PaymentResult, Signal
from payloops.workflows_bridge.machines.base import Json, Step
from payloops.workflows_bridge.machines.progress import Course, Progress, Run, SavedForm
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.machines.schedule import Schedule

TIMED_OUT_CODE: Final = "action_timeout"
NOT_FOUND_CODE: Final = "payment_not_found"
NOT_CANCELABLE_CODE: Final = "payment_not_cancelable"

_WAIT: Final = "wait"
_HELD: Final = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState(Run):
    """A payment between two steps."""

    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    shown: str = ""
    """What the order was last told of the payment's course: action, processing, or nothing yet."""
    action_since_s: float | None = None
    """When the customer was first asked to act."""
    held: int | None = None
    """What is authorized, until it is captured."""
    cancel: bool = False
    """Somebody asked to end the payment."""
    verify: bool = False
    """Somebody said that something happened, while a call was under way."""
    timed_out: bool = False
    """We ended it because the customer took too long."""

    @property
    def is_known(self) -> bool:
        """Whether the processor ever told an id of this payment."""
        return self.processor_order_id is not None or self.processor_transaction_id is not None


class PaymentMachine(Course[PaymentState]):
    """See the module."""

    act: ClassVar = Activity.CHARGE
    ask: ClassVar = Activity.ASK
    record: ClassVar = Activity.RECORD_PAYMENT

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule, SavedForm(PaymentState))

    def start(self, told: Mapping[str, Any], now_s: float) -> Step[PaymentState]:
        """See Machine."""
        document = PaymentInput.from_json(told).to_json()
        return self.call(PaymentState(told=document, progress=Progress(now_s)), Activity.CHARGE)

    def payload(self, state: PaymentState, activity: str) -> Json:
        """The charge is told what the workflow was; the others name the payment."""
        if activity == Activity.CHARGE:
            return state.told
        named = {name: state.told[name] for name in ("orderId", "merchantId", "processor", "attempt")}
        named["processorOrderId"] = state.processor_order_id
        named["processorTransactionId"] = state.processor_transaction_id
        return {**named, "amount": state.held} if activity == Activity.CAPTURE else named

    def remember(self, state: PaymentState, outcome: Outcome) -> PaymentState:
        """The ids of the payment; of a refused one too, for the next ask."""
        return replace(
            state,
            processor_order_id=outcome.processor_order_id or state.processor_order_id,
            processor_transaction_id=outcome.processor_transaction_id or state.processor_transaction_id,
        )

    # --------------------------------------------------------------------------------------------------------- outcomes

    def decide(self, state: PaymentState, activity: str, outcome: Outcome, now_s: float) -> Step[PaymentState]:
        """See Course."""
        match outcome.told:
            case Told.CAPTURED:
                report = self._report(state, "captured", outcome, amount=outcome.amount)
                return self.end(state, report, self._result(state, "captured", success=True))
            case Told.AUTHORIZED if activity != Activity.CAPTURE:
                return self._held(state, outcome)
            case Told.DECLINED | Told.MISCONFIGURED:
                return self._refused(state, activity, outcome, now_s)
            case Told.VOIDED:
                return self._voided(state, outcome)
            case Told.ACTION_REQUIRED | Told.PROCESSING if activity != Activity.CAPTURE:
                return self._under_way(state, activity, outcome, now_s)
            case Told.NOT_FOUND if activity != Activity.CHARGE:
                return self._not_found(state, outcome, now_s)
            case _:
                return self._no_answer(state, activity, outcome, now_s)

    def _held(self, state: PaymentState, outcome: Outcome) -> Step[PaymentState]:
        report = self._report(state, "authorized", outcome, amount=outcome.amount)
        result = self._result(state, "authorized", success=True)
        return self.call_record(replace(state, held=outcome.amount), report, _HELD, result=result)

    def _refused(self, state: PaymentState, activity: str, outcome: Outcome, now_s: float) -> Step[PaymentState]:
        certain = outcome.told is Told.DECLINED or not state.progress.doubt
        if activity == Activity.CANCEL and state.cancel and certain:
            return self._not_cancelled(state, outcome.code, outcome.message)
        declined = outcome.told is Told.DECLINED and activity in (Activity.CHARGE, Activity.ASK)
        unfit = outcome.told is Told.MISCONFIGURED and activity == Activity.CHARGE and certain
        if declined or unfit:
            return self._failed(state, outcome, outcome.code or "payment_failed", outcome.message)
        return self._no_answer(state, activity, outcome, now_s)

    def _failed(
        self, state: PaymentState, outcome: Outcome, code: str, message: str | None, *, ended: bool = False
    ) -> Step[PaymentState]:
        message = message or "The payment failed."
        words = {"code": code, "message": message, "declineCode": outcome.decline_code}
        report = self._report(state, "failed", outcome, **words, ended=ended)
        result = self._result(state, "failed", success=False, code=outcome.decline_code or code, message=message)
        return self.end(state, report, result)

    def _voided(self, state: PaymentState, outcome: Outcome) -> Step[PaymentState]:
        """Ended at the processor: by us because the customer took too long, or by whoever wanted it."""
        if state.timed_out and not state.cancel:
            message = "The customer did not finish the payment in time."
            return self._failed(state, outcome, TIMED_OUT_CODE, message, ended=True)
        report = self._report(state, "voided", outcome, reason=None if state.cancel else "ended at the processor")
        return self.end(state, report, self._result(state, "cancelled", success=False))

    def _under_way(self, state: PaymentState, activity: str, outcome: Outcome, now_s: float) -> Step[PaymentState]:
        if activity == Activity.CANCEL:
            if state.cancel:
                return self._not_cancelled(state, None, None)
            return self.unsettled(state, "the processor did not end the payment", now_s)
        if state.cancel:
            return self.call(state, Activity.CANCEL)
        if outcome.told is Told.PROCESSING:
            return self._processing(state, outcome, now_s)
        if state.action_since_s is None:
            state = replace(state, action_since_s=now_s)
        if state.shown == "action" and (state.timed_out or not state.progress.doubt_recorded):
            return self._wait(state, now_s)
        report = self._report(
            state,
            "action_required",
            outcome,
            redirectUrl=outcome.redirect_url,
            clientSecret=outcome.client_secret,
            processorData=outcome.processor_data,
        )
        # A doubt is over with this, and the pauses begin anew should there be another.
        return self.call_record(replace(state, shown="action"), report, _WAIT, doubt_recorded=False, asked=0)

    def _processing(self, state: PaymentState, outcome: Outcome, now_s: float) -> Step[PaymentState]:
        if state.shown != "action":
            return self.wait_in_doubt(state, now_s)
        report = self._report(state, "processing", outcome)
        return self.call_record(replace(state, shown="processing"), report, _WAIT)

    def _not_found(self, state: PaymentState, outcome: Outcome, now_s: float) -> Step[PaymentState]:
        if state.is_known:
            return self.unsettled(state, "the processor knows the payment no longer", now_s)
        if state.cancel:
            return self._voided(state, outcome)
        repeat = self.may_repeat(state, outcome, now_s)
        if repeat is None:
            return self.unsettled(state, "the processor account was replaced", now_s)
        if repeat:
            return self.call(self.certain(state), Activity.CHARGE)
        return self._failed(state, outcome, NOT_FOUND_CODE, "The processor has no such payment.")

    def _no_answer(self, state: PaymentState, activity: str, outcome: Outcome, now_s: float) -> Step[PaymentState]:
        """Nothing was learnt. A question lost on the way costs a waiting customer nothing before the time is over."""
        in_time = state.action_since_s is not None and now_s < state.action_since_s + self.schedule.action_timeout_s
        if activity == Activity.ASK and state.shown == "action" and in_time and not state.cancel:
            return self._wait(state, now_s)
        return self.unsettled(state, outcome.reason or outcome.code or outcome.told, now_s)

    def _not_cancelled(self, state: PaymentState, code: str | None, message: str | None) -> Step[PaymentState]:
        """The processor would not end it: the order is told, and the payment goes on."""
        report = self._report(
            state,
            "cancel_failed",
            None,
            code=code or NOT_CANCELABLE_CODE,
            message=message or "The processor can't cancel the payment in its present state.",
        )
        return self.call_record(replace(state, cancel=False), report, _WAIT)

    # ------------------------------------------------------------------------------------------------- records, waiting

    def recorded(self, state: PaymentState, result: Mapping[str, Any], now_s: float) -> Step[PaymentState]:
        """See Course. Held money of an order that is captured automatically is taken, if the order still wants it."""
        if state.progress.after_record == _WAIT:
            return self._wait(state, now_s)
        if state.told["captureMethod"] == "automatic" and result.get("current"):
            return self.call(state, Activity.CAPTURE)
        return self.finish(state)

    def _wait(self, state: PaymentState, now_s: float) -> Step[PaymentState]:
        if state.cancel:
            return self.call(state, Activity.CANCEL)
        if state.verify:
            return self.call(replace(state, verify=False), Activity.ASK)
        if state.shown != "action" or state.action_since_s is None:
            return self.wait_in_doubt(state, now_s)
        since_s, timeout_s = state.action_since_s, self.schedule.action_timeout_s
        if now_s >= since_s + timeout_s:
            # This was the ask before the decision. Whoever ends a payment learns what it had come to instead.
            return self.call(replace(state, timed_out=True), Activity.CANCEL)
        moments = (since_s + pause_s for pause_s in (*self.schedule.action_asks_s, timeout_s))
        progress = state.progress.waiting(min(at_s for at_s in moments if at_s > now_s), Activity.ASK)
        return self.step(replace(state, progress=progress))

    def signalled(self, state: PaymentState, name: str) -> Step[PaymentState]:
        """A wish to end the payment, or word that something happened to it."""
        waits, progress = state.progress.waits, state.progress
        if name == Signal.CANCEL_PAYMENT:
            state = replace(state, cancel=True)
            if waits and progress.on_wake == Activity.CHARGE and not progress.doubt and not state.is_known:
                return self._voided(state, Outcome(Told.VOIDED))
            if waits:
                return self.call(state, Activity.CANCEL if state.is_known else Activity.ASK)
        elif name in REASONS_TO_ASK:
            if waits:
                return self.call(state, Activity.ASK)
            state = replace(state, verify=True)
        return self.step(state)

    # ---------------------------------------------------------------------------------------------------------- reports

    def doubt_report(self, state: PaymentState, reason: str) -> Json:
        """See Course."""
        operation = "void" if state.cancel else "capture" if state.held is not None else "payment"
        return self._report(state, "outcome_unknown", None, operation=operation, reason=reason)

    def _report(self, state: PaymentState, report: str, outcome: Outcome | None, **more: Any) -> Json:
        told = {name: state.told[name] for name in ("orderId", "attempt")}
        ids = {
            "processorOrderId": state.processor_order_id if outcome is None else outcome.processor_order_id,
            "processorTransactionId": (
                state.processor_transaction_id if outcome is None else outcome.processor_transaction_id
            ),
        }
        return {**told, "report": report, **ids, **more}

    def _result(
        self, state: PaymentState, status: str, *, success: bool, code: str | None = None, message: str | None = None
    ) -> Json:
        result = PaymentResult(success, status, state.processor_order_id, state.processor_transaction_id, code, message)
        return result.to_json()
