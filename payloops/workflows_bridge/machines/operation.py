"""What capture and void have in common: an operation on held money, asked after when its answer was lost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from payloops.workflows_bridge.contracts import OperationInput, PaymentResult
from payloops.workflows_bridge.machines.base import Json, Step
from payloops.workflows_bridge.machines.progress import Course, Progress, Run, SavedForm
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.machines.schedule import Schedule

NOT_FOUND_CODE: Final = "payment_not_found"
UNEXPECTED_CODE: Final = "payment_in_unexpected_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationState(Run):
    """An operation between two steps."""


class Operation(Course[OperationState]):
    """A call on a payment that exists: done, refused, or in doubt and asked after."""

    ask: ClassVar = Activity.ASK
    record: ClassVar = Activity.RECORD_PAYMENT
    name: ClassVar[str]
    """The operation, as the record of a doubt calls it."""
    refusal: ClassVar[str]
    """The report that the processor would not do it."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule, SavedForm(OperationState))

    def start(self, told: Mapping[str, Any], now_s: float) -> Step[OperationState]:
        """See Machine."""
        document = OperationInput.from_json(told).to_json()
        return self.call(OperationState(told=document, progress=Progress(now_s)), self.act)

    def payload(self, state: OperationState, activity: str) -> Json:
        """The workflow's own input names the payment."""
        named = {name: state.told[name] for name in ("orderId", "merchantId", "processor")}
        named["processorTransactionId"] = state.told["transactionId"]
        return {**named, "amount": state.told.get("amount")} if activity == Activity.CAPTURE else named

    def decide(self, state: OperationState, activity: str, outcome: Outcome, now_s: float) -> Step[OperationState]:
        """See Course. What became of the payment counts, whoever did it."""
        first_answer = activity == self.act and not state.progress.doubt
        match outcome.told:
            case Told.CAPTURED:
                report = self._report(state, "captured", outcome, amount=outcome.amount)
                return self.end(state, report, self._result(state, "captured", outcome))
            case Told.VOIDED:
                report = self._report(state, "voided", outcome, reason=self.void_reason)
                return self.end(state, report, self._result(state, "cancelled", outcome))
            case Told.AUTHORIZED if activity == Activity.ASK:
                # The lost call surely did nothing: the money is still held.
                return self.call(self.certain(state), self.act)
            case Told.AUTHORIZED | Told.ACTION_REQUIRED:
                return self._refused(state, UNEXPECTED_CODE, "The processor did not change the payment.")
            case Told.DECLINED:
                return self.declined(state, activity, outcome)
            case Told.MISCONFIGURED | Told.NOT_FOUND if first_answer:
                code = outcome.code or NOT_FOUND_CODE
                return self._refused(state, code, outcome.message or "The processor does not know this payment.")
            case Told.PROCESSING:
                return self.wait_in_doubt(state, now_s)
            case _:
                return self.unsettled(state, outcome.reason or outcome.code or outcome.told, now_s)

    void_reason: ClassVar[str | None] = None
    """Why the order ends when the payment turns out to be void."""

    @abstractmethod
    def declined(self, state: OperationState, activity: str, outcome: Outcome) -> Step[OperationState]:
        """What a refusal means, as an answer to the call or to a question."""

    def recorded(self, state: OperationState, result: Mapping[str, Any], now_s: float) -> Step[OperationState]:  # noqa: ARG002 - see Course
        """There is one record only, the last."""
        return self.finish(state)

    def doubt_report(self, state: OperationState, reason: str) -> Json:
        """See Course."""
        return self._report(state, "outcome_unknown", None, operation=self.name, reason=reason)

    def _refused(self, state: OperationState, code: str, message: str) -> Step[OperationState]:
        report = self._report(state, self.refusal, None, code=code, message=message)
        result = PaymentResult(
            success=False,
            status="authorized",
            processor_transaction_id=state.told["transactionId"],
            error_code=code,
            error_message=message,
        )
        return self.end(state, report, result.to_json())

    def _report(self, state: OperationState, report: str, outcome: Outcome | None, **more: Any) -> Json:
        told = {"orderId": state.told["orderId"], "transactionId": state.told["transactionId"], "report": report}
        if outcome is not None:
            told["processorOrderId"] = outcome.processor_order_id
            told["processorTransactionId"] = outcome.processor_transaction_id or state.told["transactionId"]
        return {**told, **more}

    def _result(self, state: OperationState, status: str, outcome: Outcome) -> Json:
        result = PaymentResult(
            success=status == self.success_status,
            status=status,
            processor_order_id=outcome.processor_order_id,
            processor_transaction_id=outcome.processor_transaction_id or state.told["transactionId"],
        )
        return result.to_json()

    success_status: ClassVar[str]
    """The order's status when the operation did what it was for."""
