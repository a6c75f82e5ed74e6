"""CaptureWorkflow: takes held money. What is not taken is released by the processor."""

from __future__ import annotations

from typing import ClassVar

from payloops.workflows_bridge.machines.base import Step
from payloops.workflows_bridge.machines.operation import Operation, OperationState
from payloops.workflows_bridge.machines.results import Activity, Outcome


class CaptureMachine(Operation):
    """See the module. A hold that ended before the capture ends the order: nothing can be taken any more."""

    act: ClassVar = Activity.CAPTURE
    name: ClassVar = "capture"
    refusal: ClassVar = "capture_failed"
    success_status: ClassVar = "captured"
    void_reason: ClassVar = "the authorization ended at the processor"

    def declined(self, state: OperationState, activity: str, outcome: Outcome) -> Step[OperationState]:  # noqa: ARG002 - the same for both
        """The capture was refused; the hold stands for as long as the processor keeps it."""
        code = outcome.decline_code or outcome.code or "capture_failed"
        return self._refused(state, code, outcome.message or "The processor refused the capture.")
