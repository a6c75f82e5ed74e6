"""RefundWorkflow: gives captured money back, and asks until the processor has decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from payloops.workflows_bridge.contracts import RefundInput, RefundResult
from payloops.workflows_bridge.machines.base import Json, Step
from payloops.workflows_bridge.machines.progress import Course, Progress, Run, SavedForm
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.machines.schedule import Schedule

NOT_FOUND_CODE: Final = "refund_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundState(Run):
    """A refund between two steps."""

    processor_refund_id: str | None = None


class RefundMachine(Course[RefundState]):
    """See the module. A refund that only our call failed to make can be asked for again by the merchant."""

    act: ClassVar = Activity.REFUND
    ask: ClassVar = Activity.ASK_REFUND
    record: ClassVar = Activity.RECORD_REFUND

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule, SavedForm(RefundState))

    def start(self, told: Mapping[str, Any], now_s: float) -> Step[RefundState]:
        """See Machine."""
        document = RefundInput.from_json(told).to_json()
        return self.call(RefundState(told=document, progress=Progress(now_s)), Activity.REFUND)

    def payload(self, state: RefundState, activity: str) -> Json:
        """The workflow's own input; a question also names the processor's refund."""
        if activity == Activity.REFUND:
            return state.told
        names = ("refundId", "orderId", "merchantId", "processor", "transactionId")
        return {**{name: state.told[name] for name in names}, "processorRefundId": state.processor_refund_id}

    def remember(self, state: RefundState, outcome: Outcome) -> RefundState:
        """The processor's id of the refund."""
        return replace(state, processor_refund_id=outcome.processor_refund_id or state.processor_refund_id)

    def decide(self, state: RefundState, activity: str, outcome: Outcome, now_s: float) -> Step[RefundState]:
        """See Course."""
        first_answer = activity == Activity.REFUND and not state.progress.doubt
        match outcome.told:
            case Told.REFUNDED:
                result = RefundResult(success=True, status="success", processor_refund_id=state.processor_refund_id)
                return self.end(state, self._report(state, "success"), result.to_json())
            case Told.REFUND_REJECTED:
                return self._failed(state, outcome.code or "refund_failed", outcome.message)
            case Told.REFUND_PENDING:
                return self.wait_in_doubt(state, now_s)
            case Told.NOT_FOUND if activity == Activity.ASK_REFUND:
                return self._not_found(state, outcome, now_s)
            case Told.MISCONFIGURED if first_answer:
                return self._failed(state, outcome.code or "processor_misconfigured", outcome.message)
            case _:
                return self.unsettled(state, outcome.reason or outcome.code or outcome.told, now_s)

    def recorded(self, state: RefundState, result: Mapping[str, Any], now_s: float) -> Step[RefundState]:  # noqa: ARG002 - see Course
        """There is one record only, the last."""
        return self.finish(state)

    def doubt_report(self, state: RefundState, reason: str) -> Json:
        """See Course."""
        return self._report(state, "outcome_unknown", reason=reason)

    def _not_found(self, state: RefundState, outcome: Outcome, now_s: float) -> Step[RefundState]:
        if state.processor_refund_id is not None:
            return self.unsettled(state, "the processor knows the refund no longer", now_s)
        repeat = self.may_repeat(state, outcome, now_s)
        if repeat is None:
            return self.unsettled(state, "the processor account was replaced", now_s)
        if repeat:
            return self.call(self.certain(state), Activity.REFUND)
        return self._failed(state, NOT_FOUND_CODE, "The processor has no such refund.")

    def _failed(self, state: RefundState, code: str, message: str | None) -> Step[RefundState]:
        message = message or "The refund failed."
        result = RefundResult(
            success=False,
            status="failed",
            processor_refund_id=state.processor_refund_id,
            error_code=code,
            error_message=message,
        )
        return self.end(state, self._report(state, "failed", code=code, message=message), result.to_json())

    def _report(self, state: RefundState, report: str, **more: Any) -> Json:
        told = {name: state.told[name] for name in ("refundId", "orderId")}
        return {**told, "report": report, "processorRefundId": state.processor_refund_id, **more}
