"""What workflows are called, where they run, and what they are told (the wire contract, "Temporal").

Names, queues and JSON are shared by both engines and by workers in other languages: camelCase, nothing of Python.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Final, Self, TypeAlias
from uuid import UUID

Json: TypeAlias = dict[str, Any]

BACKEND_QUEUE: Final = "backend-operations"
"""Task queue of the activities that this service hosts, and of webhook deliveries."""


class WorkflowType(StrEnum):
    """The workflows, by the name that a worker registers."""

    PAYMENT = "PaymentWorkflow"
    CAPTURE = "CaptureWorkflow"
    VOID = "VoidWorkflow"
    REFUND = "RefundWorkflow"
    WEBHOOK_DELIVERY = "WebhookDeliveryWorkflow"


class Signal(StrEnum):
    """The signals of PaymentWorkflow and of WebhookDeliveryWorkflow."""

    COMPLETE_PAYMENT = "completePayment"
    CANCEL_PAYMENT = "cancelPayment"
    PROCEED = "proceed"
    """Those before it, of the same order and endpoint, have ended: its turn may have come."""
    RETRY_NOW = "retryNow"
    """The merchant wants it sent now, whatever it waits for."""
    CUSTOMER_RETURNED = "customerReturned"
    """A hosted checkout's customer is back from the bank. It proves nothing and is only a reason to ask, so it is not
    completePayment, which a worker of somebody else's may believe; one that does not know it may ignore it."""
    ASK_NOW = "askNow"
    """A sync found something that the workflow should look at now, not at its next due time. A reason to ask, too."""


REASONS_TO_ASK: Final = frozenset({Signal.COMPLETE_PAYMENT, Signal.CUSTOMER_RETURNED, Signal.ASK_NOW})
"""Signals upon which a payment's workflow asks the processor, whatever they say themselves."""


class Kind(StrEnum):
    """The kinds of outbox rows. A wake is the embedded engine's own; Temporal keeps its timers itself.

    The last four are no workflows: the relay does them itself, under either engine.
    """

    START = "start"
    SIGNAL = "signal"
    WAKE = "wake"
    PUBLISH = "publish"
    """A public event is to become one delivery for each endpoint that wants it."""
    PROCESS = "process"
    """A processor's event in the inbox is to have its effect."""
    CHECKOUT = "checkout"
    """A checkout session is to be brought in line with its order and with the time."""
    SYNC = "sync"
    """The processor is to be asked now what became of an order's payments and refunds."""


def processor_queue(processor: str) -> str:
    """The task queue of a processor's workflows."""
    return f"{processor}-payments"


def refund_workflow_id(refund_id: UUID | str) -> str:
    """A refund's workflow; the order's own events name those of payments, captures, voids and refunds."""
    return f"refund-{refund_id}"


class ContractViolation(ValueError):
    """JSON that does not fit the contract. Names the field, never its value."""


@dataclass(frozen=True)
class Wire:
    """A dataclass of JSON values whose fields are camelCase on the wire."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that are left out while they are None, as the wire contract marks them with a question mark."""

    def to_json(self) -> Json:
        """The wire form."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {_camel(name): value for name, value in values if value is not None or name not in self.OPTIONAL}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """From the wire form; what it has beyond the contract is left aside. Raises ContractViolation."""
        values: Json = {}
        for spec in dataclasses.fields(cls):
            name = _camel(spec.name)
            if name in document:
                values[spec.name] = document[name]
            elif spec.default is dataclasses.MISSING:
                raise ContractViolation(f"{cls.__name__}: {name} is missing")
        return cls(**values)


@dataclass(frozen=True)
class PaymentInput(Wire):
    """PaymentWorkflow's. ``amount`` is in minor units; ``payment_method`` is ``{type, token}`` or None."""

    order_id: str
    merchant_id: str
    amount: int
    currency: str
    capture_method: str
    return_url: str | None
    processor: str
    payment_method: Json | None = field(repr=False)
    attempt: int


@dataclass(frozen=True)
class OperationInput(Wire):
    """CaptureWorkflow's and VoidWorkflow's. ``transaction_id`` is the processor's id of the payment.

    A capture without ``amount`` takes all that is held.
    """

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"amount"})

    order_id: str
    merchant_id: str
    processor: str
    transaction_id: str | None
    amount: int | None = None


@dataclass(frozen=True)
class RefundInput(Wire):
    """RefundWorkflow's."""

    refund_id: str
    order_id: str
    merchant_id: str
    processor: str
    transaction_id: str | None
    amount: int
    reason: str | None


@dataclass(frozen=True)
class WebhookDeliveryInput(Wire):
    """WebhookDeliveryWorkflow's. ``delivery_id`` is ours; a start by somebody else has none, and sends ``payload``.

    In a start of ours ``payload`` only names the event: what is sent is read when it is sent.
    """

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"delivery_id"})

    webhook_event_id: str
    merchant_id: str
    webhook_url: str
    payload: Json = field(repr=False)
    delivery_id: str | None = None


@dataclass(frozen=True)
class WebhookDeliveryResult(Wire):
    """WebhookDeliveryWorkflow's result, and deliverWebhook's but for ``status``: delivered or failed."""

    success: bool
    status: str
    status_code: int | None
    attempts: int
    delivered_at: str | None
    error_message: str | None


@dataclass(frozen=True)
class CompletePayment(Wire):
    """completePayment's payload: what an event of the processor said. Money is believed only after asking."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"error_code", "error_message"})

    success: bool
    processor_transaction_id: str | None
    event_id: str
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True)
class PaymentResult(Wire):
    """Result of PaymentWorkflow, CaptureWorkflow and VoidWorkflow; ``status`` is the order's as far as it tells."""

    success: bool
    status: str
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True)
class RefundResult(Wire):
    """RefundWorkflow's result."""

    success: bool
    status: str
    processor_refund_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True)
class StartWorkflow(Wire):
    """The effect "this workflow runs": payload of an outbox row of kind start.

    An id that runs, or has run, is success.
    """

    type: str
    workflow_id: str
    task_queue: str
    input: Json = field(repr=False)
    merchant_id: str
    order_id: str | None = None


@dataclass(frozen=True)
class SignalWorkflow(Wire):
    """The effect "this workflow is told": payload of an outbox row of kind signal.

    What the signal is about stands beside it, for the case that no workflow takes it.
    """

    workflow_id: str
    signal: str
    payload: Json
    merchant_id: str
    order_id: str | None
    attempt: int


@cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
