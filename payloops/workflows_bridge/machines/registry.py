"""From a workflow's type to its machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payloops.workflows_bridge.contracts import WorkflowType
from payloops.workflows_bridge.machines.base import Machine
from payloops.workflows_bridge.machines.capture import CaptureMachine
from payloops.workflows_bridge.machines.delivery import DeliveryMachine
from payloops.workflows_bridge.machines.payment import PaymentMachine
from payloops.workflows_bridge.machines.refund import RefundMachine
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, Schedule
from payloops.workflows_bridge.machines.void import VoidMachine

Machines = Mapping[str, Machine[Any]]


def machines(schedule: Schedule = CONTRACT_SCHEDULE) -> Machines:
    """The machine of each workflow, by type."""
    return {
        WorkflowType.PAYMENT.value: PaymentMachine(schedule),
        WorkflowType.CAPTURE.value: CaptureMachine(schedule),
        WorkflowType.VOID.value: VoidMachine(schedule),
        WorkflowType.REFUND.value: RefundMachine(schedule),
        WorkflowType.WEBHOOK_DELIVERY.value: DeliveryMachine(),
    }
