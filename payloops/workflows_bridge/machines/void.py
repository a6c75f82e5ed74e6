"""VoidWorkflow: gives held money free, of a cancelled order or of a payment that was one too many."""

from __future__ import annotations

from typing import ClassVar

from payloops.workflows_bridge.machines.base import Step
from payloops.workflows_bridge.machines.operation import Operation, OperationState
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told


class VoidMachine(Operation):
    """See the module. Money that was taken meanwhile counts as taken."""

    act: ClassVar = Activity.CANCEL
    name: ClassVar = "void"
    refusal: ClassVar = "cancel_failed"
    success_status: ClassVar = "cancelled"

    def declined(self, state: OperationState, activity: str, outcome: Outcome) -> Step[OperationState]:
        """A refused void leaves the hold; a payment that is found declined holds nothing, as if voided."""
        if activity == Activity.ASK:
            report = self._report(state, "voided", outcome, reason=None)
            return self.end(state, report, self._result(state, "cancelled", Outcome(Told.VOIDED)))
        code = outcome.decline_code or outcome.code or "cancel_failed"
        return self._refused(state, code, outcome.message or "The processor refused to cancel the payment.")
