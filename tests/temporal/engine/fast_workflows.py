"""The workflows with a schedule that lives through a day in a second, or with one that asks nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from payloops.workflows_bridge.contracts import Json, WorkflowType
    from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE
    from payloops.workflows_bridge.temporal.driver import MachineWorkflow
    from payloops.workflows_bridge.temporal.workflows import CaptureWorkflow, Payment, VoidWorkflow

QUICK = replace(
    CONTRACT_SCHEDULE,
    action_timeout_s=3.0,
    action_asks_s=(0.2, 0.6, 1.5),
    doubt_asks_s=(0.1, 0.2, 0.4),
    daily_s=0.5,
    quick_retries_s=(0.02, 0.04),
)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class QuickPayment(Payment):
    schedule = QUICK

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.REFUND.value)
class QuickRefund(MachineWorkflow):
    """Asks for ever while a refund is pending, each run for a few questions only."""

    kind = WorkflowType.REFUND
    schedule = replace(QUICK, daily_s=0.05, doubt_asks_s=())
    history_events_max = 5

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


PASSIVE = replace(CONTRACT_SCHEDULE, action_asks_s=(600,), doubt_asks_s=(600,), action_timeout_s=3600)
"""Nothing is asked by itself while a test lasts."""


@workflow.defn(name=WorkflowType.PAYMENT.value)
class PassivePayment(Payment):
    schedule = PASSIVE

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.REFUND.value)
class PassiveRefund(MachineWorkflow):
    kind = WorkflowType.REFUND
    schedule = PASSIVE

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class OtherPayment(MachineWorkflow):
    """A payment whose machine was changed beyond recognition."""

    kind = WorkflowType.VOID

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class BrokenPayment(Payment):
    """Its code has an error: the task fails and is tried again, for as long as it is not mended."""

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:  # noqa: ARG002 - as all payments
        raise RuntimeError("a mistake in the workflow's own code")


QUICK_WORKFLOWS = (QuickPayment, CaptureWorkflow, VoidWorkflow, QuickRefund)
PASSIVE_WORKFLOWS = (PassivePayment, CaptureWorkflow, VoidWorkflow, PassiveRefund)
