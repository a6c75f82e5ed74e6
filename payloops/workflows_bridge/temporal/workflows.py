"""The workflows of the wire contract ("Temporal"), by name: each is a machine, driven.

Signals, not updates: the outbox tells a workflow something and must not wait until a worker has time for it. The query
``state`` tells what a workflow is doing.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from payloops.workflows_bridge.contracts import Json, PaymentResult, RefundResult, Signal, WorkflowType
    from payloops.workflows_bridge.temporal.driver import MachineWorkflow

_NO_PAYMENT: Final = PaymentResult(success=False, status="").to_json()
_NO_REFUND: Final = RefundResult(success=False, status="").to_json()


class Payment(MachineWorkflow):
    """One attempt at an order, and the signals that it takes."""

    kind: ClassVar = WorkflowType.PAYMENT
    no_result: ClassVar = _NO_PAYMENT

    @workflow.signal(name=Signal.COMPLETE_PAYMENT.value)
    def complete_payment(self, told: Any = None) -> None:
        """The processor told that something became of the payment: a reason to ask it."""
        self.told(Signal.COMPLETE_PAYMENT, told)

    @workflow.signal(name=Signal.CANCEL_PAYMENT.value)
    def cancel_payment(self, told: Any = None) -> None:
        """The payment is not wanted any more."""
        self.told(Signal.CANCEL_PAYMENT, told)

    @workflow.signal(name=Signal.CUSTOMER_RETURNED.value)
    def customer_returned(self, told: Any = None) -> None:
        """The customer is back from the bank: a reason to ask."""
        self.told(Signal.CUSTOMER_RETURNED, told)

    @workflow.signal(name=Signal.ASK_NOW.value)
    def ask_now(self, told: Any = None) -> None:
        """A sync found something that is worth a look."""
        self.told(Signal.ASK_NOW, told)


@workflow.defn(name=WorkflowType.PAYMENT.value)
class PaymentWorkflow(Payment):
    """See machines/payment.py."""

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        """``told`` is a PaymentInput; answers a PaymentResult."""
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.CAPTURE.value)
class CaptureWorkflow(MachineWorkflow):
    """See machines/capture.py."""

    kind: ClassVar = WorkflowType.CAPTURE
    no_result: ClassVar = _NO_PAYMENT

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        """``told`` is an OperationInput; answers a PaymentResult."""
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.VOID.value)
class VoidWorkflow(MachineWorkflow):
    """See machines/void.py."""

    kind: ClassVar = WorkflowType.VOID
    no_result: ClassVar = _NO_PAYMENT

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        """``told`` is an OperationInput; answers a PaymentResult."""
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.REFUND.value)
class RefundWorkflow(MachineWorkflow):
    """See machines/refund.py."""

    kind: ClassVar = WorkflowType.REFUND
    no_result: ClassVar = _NO_REFUND

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        """``told`` is a RefundInput; answers a RefundResult."""
        return await self.drive(told, carried)


@workflow.defn(name=WorkflowType.WEBHOOK_DELIVERY.value)
class WebhookDeliveryWorkflow(MachineWorkflow):
    """See machines/delivery.py."""

    kind: ClassVar = WorkflowType.WEBHOOK_DELIVERY

    @workflow.signal(name=Signal.PROCEED.value)
    def proceed(self, told: Any = None) -> None:
        """The delivery before this one has ended: it is this one's turn."""
        self.told(Signal.PROCEED, told)

    @workflow.signal(name=Signal.RETRY_NOW.value)
    def retry_now(self, told: Any = None) -> None:
        """The merchant wants it sent now."""
        self.told(Signal.RETRY_NOW, told)

    @workflow.run
    async def run(self, told: Any, carried: Any = None) -> Json:
        """``told`` is a WebhookDeliveryInput; answers a WebhookDeliveryResult."""
        return await self.drive(told, carried)


PAYMENT_WORKFLOWS: Final = (PaymentWorkflow, CaptureWorkflow, VoidWorkflow, RefundWorkflow)
"""On a processor's queue."""
BACKEND_WORKFLOWS: Final = (WebhookDeliveryWorkflow,)
"""On the queue ``backend-operations``."""
