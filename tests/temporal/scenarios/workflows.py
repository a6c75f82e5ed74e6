"""The workflows by other schedules; nothing else differs from those that are deployed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from payloops.workflows_bridge.contracts import Json, WorkflowType
    from payloops.workflows_bridge.temporal.driver import MachineWorkflow
    from payloops.workflows_bridge.temporal.workflows import Payment
    from tests.temporal.scenarios.schedules import ASKING, LASTING, PATIENT, QUICK


@workflow.defn(name=WorkflowType.PAYMENT.value)
class QuickPayment(Payment):
    schedule: ClassVar = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class PatientPayment(Payment):
    schedule: ClassVar = PATIENT

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class LastingPayment(Payment):
    schedule: ClassVar = LASTING

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class AskingPayment(Payment):
    schedule: ClassVar = ASKING

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.CAPTURE.value)
class QuickCapture(MachineWorkflow):
    kind: ClassVar = WorkflowType.CAPTURE
    schedule: ClassVar = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.VOID.value)
class QuickVoid(MachineWorkflow):
    kind: ClassVar = WorkflowType.VOID
    schedule: ClassVar = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.REFUND.value)
class QuickRefund(MachineWorkflow):
    kind: ClassVar = WorkflowType.REFUND
    schedule: ClassVar = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class ChangedPayment(Payment):
    """Decides the same, and does one thing more: no history of before replays with it."""

    schedule: ClassVar = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        await workflow.sleep(1)
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class PatchedPayment(Payment):
    """The same change behind a patch: histories of before replay, new workflows do the new thing (docs/temporal.md)."""

    schedule: ClassVar = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        if workflow.patched(PATCH):
            await workflow.sleep(1)
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class HastyPayment(Payment):
    """Waits for a customer for a moment only, so that it ends what the history goes on waiting for."""

    schedule: ClassVar = replace(QUICK, action_timeout_s=0.001)

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


PATCH: Final = "wait-a-second-first"
_OTHERS: Final = (QuickCapture, QuickVoid, QuickRefund)
WORKFLOWS: Final[dict[str, tuple[type[Any], ...]]] = {
    "quick": (QuickPayment, *_OTHERS),
    "patient": (PatientPayment, *_OTHERS),
    "lasting": (LastingPayment, *_OTHERS),
    "asking": (AskingPayment, *_OTHERS),
}
"""By the name of the schedule."""
