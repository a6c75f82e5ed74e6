"""The JSON of the wire contract ("Temporal"), and the effects of an order's events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

import pytest

from payloops.commands.aggregates import orders
from payloops.events import order as e
from payloops.events.base import Actor, Meta, Sealed
from payloops.events.order_state import Absent, Existing, OrderState
from payloops.projections.base import Row
from payloops.values import SystemClock, new_id
from payloops.workflows_bridge.contracts import (
    CompletePayment,
    ContractViolation,
    OperationInput,
    PaymentInput,
    PaymentResult,
    RefundInput,
    RefundResult,
    SignalWorkflow,
    StartWorkflow,
    WebhookDeliveryInput,
    processor_queue,
)
from payloops.workflows_bridge.outbox import completion, intents

ORDER, MERCHANT, REFUND = UUID(int=1), UUID(int=2), UUID(int=3)


class Told:
    """An order's story, told event by event; remembers what each event caused."""

    def __init__(self, capture_method: str = "automatic") -> None:
        self.aggregate = orders()
        self.state: OrderState = self.aggregate.initial
        self.version = 0
        self.clock = SystemClock()
        created = {
            "merchant_id": MERCHANT,
            "test_mode": True,
            "amount": 900,
            "currency": "EUR",
            "external_id": "x",
            "customer_id": None,
            "customer_email": Sealed("sealed"),
            "description": "secret plans",
            "metadata": {},
            "return_url": "https://x.example/r",
            "cancel_url": None,
            "capture_method": capture_method,
            "checkout_session_id": None,
        }
        assert self.tell(e.OrderCreated, **created) == []

    def tell(self, kind: Callable[..., Any], **values: object) -> list[Row]:
        self.version += 1
        meta = Meta(new_id(), Actor("api_key", "k"), "corr", traceparent="00-trace")
        event = kind(
            originator_id=ORDER, originator_version=self.version, timestamp=self.clock.now(), meta=meta, **values
        )
        before, self.state = self.state, self.aggregate.evolve(self.state, event)
        return intents(before, event, self.existing)

    @property
    def existing(self) -> Existing:
        assert not isinstance(self.state, Absent)
        return self.state

    def start(self, attempt: int = 1, token: str | None = "pm_1") -> list[Row]:
        workflow_id = f"payment-{ORDER}" if attempt == 1 else f"payment-{ORDER}-{attempt}"
        return self.tell(
            e.PaymentStarted,
            attempt=attempt,
            processor="stripe",
            workflow_id=workflow_id,
            payment_method_type="card" if token else None,
            payment_method_token=token,
        )

    def waits(self) -> list[Row]:
        ids = {"processor_order_id": "pi_1", "processor_transaction_id": "pi_1"}
        return self.tell(
            e.PaymentActionRequired, attempt=1, **ids, redirect_url=None, client_secret=None, processor_data=None
        )

    def money(self, kind: Callable[..., Any], attempt: int = 1) -> list[Row]:
        ids = {"processor_order_id": f"pi_{attempt}", "processor_transaction_id": f"pi_{attempt}"}
        return self.tell(kind, attempt=attempt, **ids, amount=900)

    def fails(self, attempt: int = 1) -> None:
        words = {"code": "c", "decline_code": None, "message": "m", "ended": False}
        ids = {"processor_order_id": None, "processor_transaction_id": None}
        assert self.tell(e.PaymentFailed, attempt=attempt, **words, **ids) == []


def test_a_payment_that_starts_starts_its_workflow() -> None:
    story = Told()
    (row,) = story.start()
    assert row == {
        "id": uuid5(ORDER, "2-start"),
        "key": f"payment-{ORDER}",
        "lane": f"stripe:{MERCHANT}",
        "kind": "start",
        "payload": {
            "type": "PaymentWorkflow",
            "workflowId": f"payment-{ORDER}",
            "taskQueue": "stripe-payments",
            "input": {
                "orderId": str(ORDER),
                "merchantId": str(MERCHANT),
                "amount": 900,
                "currency": "EUR",
                "captureMethod": "automatic",
                "returnUrl": "https://x.example/r",
                "processor": "stripe",
                "paymentMethod": {"type": "card", "token": "pm_1"},
                "attempt": 1,
            },
            "merchantId": str(MERCHANT),
            "orderId": str(ORDER),
        },
        "correlation_id": "corr",
        "traceparent": "00-trace",
    }


def test_no_method_is_null() -> None:
    (row,) = Told().start(token=None)
    assert row["payload"]["input"]["paymentMethod"] is None


def test_a_capture_starts_its_workflow() -> None:
    story = Told("manual")
    story.start()
    assert story.money(e.PaymentAuthorized) == []
    (row,) = story.tell(e.CaptureRequested, amount=500, workflow_id=f"capture-{ORDER}")
    payload = row["payload"]
    assert (payload["type"], payload["workflowId"]) == ("CaptureWorkflow", f"capture-{ORDER}")
    assert payload["input"] == {
        "orderId": str(ORDER),
        "merchantId": str(MERCHANT),
        "processor": "stripe",
        "transactionId": "pi_1",
        "amount": 500,
    }


def test_a_cancel_voids_what_is_held() -> None:
    story = Told("manual")
    story.start()
    story.money(e.PaymentAuthorized)
    (row,) = story.tell(e.CancelRequested, reason=None, workflow_id=f"void-{ORDER}")
    payload = row["payload"]
    assert (row["kind"], payload["type"]) == ("start", "VoidWorkflow")
    assert payload["input"] == {
        "orderId": str(ORDER),
        "merchantId": str(MERCHANT),
        "processor": "stripe",
        "transactionId": "pi_1",
    }


def test_a_cancel_tells_the_waiting_payment() -> None:
    story = Told()
    story.start()
    assert story.waits() == []
    (row,) = story.tell(e.CancelRequested, reason=None, workflow_id=f"payment-{ORDER}")
    assert (row["kind"], row["key"]) == ("signal", f"payment-{ORDER}")
    assert row["payload"] == {
        "workflowId": f"payment-{ORDER}",
        "signal": "cancelPayment",
        "payload": {},
        "merchantId": str(MERCHANT),
        "orderId": str(ORDER),
        "attempt": 1,
    }


def test_a_refund_starts_its_workflow() -> None:
    story = Told()
    story.start()
    assert story.money(e.PaymentCaptured) == []
    requested = {"refund_id": REFUND, "amount": 300, "reason": "torn", "workflow_id": f"refund-{REFUND}"}
    (row,) = story.tell(e.RefundRequested, **requested)
    payload = row["payload"]
    assert (payload["type"], payload["workflowId"]) == ("RefundWorkflow", f"refund-{REFUND}")
    assert payload["input"] == {
        "refundId": str(REFUND),
        "orderId": str(ORDER),
        "merchantId": str(MERCHANT),
        "processor": "stripe",
        "transactionId": "pi_1",
        "amount": 300,
        "reason": "torn",
    }
    assert story.tell(e.RefundSucceeded, refund_id=REFUND, processor_refund_id="re_1") == []


@pytest.mark.parametrize("kind", (e.PaymentAuthorized, e.PaymentCaptured))
def test_late_money_calls_off_the_attempt_that_is_under_way(kind: Callable[..., Any]) -> None:
    story = Told("manual")
    story.start()
    story.fails()
    story.start(attempt=2)
    (row,) = story.money(kind, attempt=1)
    assert (row["kind"], row["key"]) == ("signal", f"payment-{ORDER}-2")
    assert row["payload"]["signal"] == "cancelPayment"


def test_what_is_one_too_many_goes_back() -> None:
    story = Told()
    story.start()
    story.fails()
    story.start(attempt=2)
    story.money(e.PaymentCaptured, attempt=2)
    surplus = {"processor": "stripe", "processor_order_id": "pi_1", "processor_transaction_id": "pi_1", "amount": 900}
    (void,) = story.tell(e.SurplusPaymentAuthorized, attempt=1, workflow_id=f"void-{ORDER}", **surplus)
    assert void["payload"]["input"]["transactionId"] == "pi_1"
    (refund,) = story.tell(e.SurplusPaymentCaptured, attempt=1, refund_id=REFUND, **surplus)
    assert refund["key"] == f"refund-{REFUND}"
    assert refund["payload"]["input"]["amount"] == 900


def test_an_event_of_the_processor_is_forwarded_once_to_who_waits() -> None:
    story = Told()
    story.start()
    told = CompletePayment(success=True, processor_transaction_id="pi_1", event_id="evt_1")
    assert completion(story.existing, told, event_id=REFUND, correlation_id="c") == []
    story.waits()
    (row,) = completion(story.existing, told, event_id=REFUND, correlation_id="c")
    (same,) = completion(story.existing, told, event_id=REFUND, correlation_id="c")
    assert row == same
    assert row["key"] == f"payment-{ORDER}"
    assert row["payload"]["payload"] == {"success": True, "processorTransactionId": "pi_1", "eventId": "evt_1"}


def test_nothing_secret_is_in_a_row() -> None:
    assert "secret plans" not in str(Told().start())
    assert "pm_1" not in repr(PaymentInput("o", "m", 1, "EUR", "automatic", None, "stripe", {"token": "pm_1"}, 1))


@pytest.mark.parametrize(
    ("wire", "document"),
    (
        (CompletePayment, {"success": False, "processorTransactionId": None, "eventId": "e", "errorCode": "c"}),
        (OperationInput, {"orderId": "o", "merchantId": "m", "processor": "stripe", "transactionId": "t"}),
        (
            RefundInput,
            {
                "refundId": "r",
                "orderId": "o",
                "merchantId": "m",
                "processor": "stripe",
                "transactionId": "t",
                "amount": 1,
                "reason": None,
            },
        ),
        (WebhookDeliveryInput, {"webhookEventId": "w", "merchantId": "m", "webhookUrl": "u", "payload": {}}),
        (
            PaymentResult,
            {
                "success": True,
                "status": "captured",
                "processorOrderId": None,
                "processorTransactionId": None,
                "errorCode": None,
                "errorMessage": None,
            },
        ),
        (
            RefundResult,
            {
                "success": True,
                "status": "success",
                "processorRefundId": None,
                "errorCode": None,
                "errorMessage": None,
            },
        ),
    ),
)
def test_what_is_read_is_written_again(wire: Any, document: dict[str, object]) -> None:
    assert wire.from_json({**document, "more": 1}).to_json() == document


def test_what_lacks_a_field_is_refused_by_name() -> None:
    with pytest.raises(ContractViolation, match="StartWorkflow: workflowId is missing"):
        StartWorkflow.from_json({"type": "x"})
    with pytest.raises(ContractViolation, match="signal is missing"):
        SignalWorkflow.from_json({"workflowId": "secret"})


def test_the_queues_are_the_contracts() -> None:
    assert processor_queue("razorpay") == "razorpay-payments"
