"""Answers that Razorpay is documented to give and the simulator does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from payloops.values import new_id
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    Misconfigured,
    PaymentRef,
    PaymentRequest,
    RefundNotFound,
    RefundRejected,
    Retryable,
    StillProcessing,
    Unknown,
    Voided,
)
from tests.processors.conftest import Seen, Start, payment_request, ref_of


def razorpay_error(status: int = 400, **changes: Any) -> web.Response:
    error = {"code": "BAD_REQUEST_ERROR", "description": "No.", "reason": "NA", "source": "business"} | changes
    return web.json_response({"error": error}, status=status)


def collection(members: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"entity": "collection", "count": len(members), "items": members})


def razorpay_payment(**changes: Any) -> dict[str, Any]:
    return {
        "id": "pay_1", "entity": "payment", "amount": 4999, "currency": "INR", "status": "captured",
        "order_id": "order_1", "captured": True, "notes": [], "created_at": 1,
    } | changes  # fmt: skip


def rupees() -> tuple[PaymentRequest, PaymentRef]:
    request = payment_request(currency="INR", payment_method_token=None)
    return request, ref_of(request, Voided("order_1"))


@pytest.mark.parametrize(
    ("payments", "expected"),
    (
        ([{"status": "refunded"}], Captured("order_1", "pay_1", 4999)),
        ([{"status": "refunded", "captured": False}], Voided("order_1", "pay_1")),
        ([{"status": "a_new_status"}], StillProcessing("order_1", "pay_1")),
        ([{"status": "failed"}], Declined("order_1", "pay_1", "payment_failed", None, "The payment failed.")),
        (
            [
                {"id": "pay_1", "status": "failed", "created_at": 1},
                {"id": "pay_2", "status": "failed", "created_at": 2},
            ],
            Declined("order_1", "pay_2", "payment_failed", None, "The payment failed."),
        ),
        (
            [{"id": "pay_2", "status": "failed", "created_at": 2}, {"id": "pay_1", "created_at": 1}],
            Captured("order_1", "pay_1", 4999),
        ),
        (
            [{"id": "pay_1", "status": "created"}, {"id": "pay_2", "status": "authorized"}],
            Authorized("order_1", "pay_2", 4999),
        ),
    ),
)
async def test_payments_of_an_order(razorpay_at: Start, payments: list[dict[str, Any]], expected: object) -> None:
    processor, _ = await razorpay_at(lambda _: collection([razorpay_payment(**changes) for changes in payments]))
    assert await processor.get_payment(rupees()[1]) == expected


async def test_a_customer_in_the_middle_of_paying(razorpay_at: Start) -> None:
    processor, _ = await razorpay_at(lambda _: collection([razorpay_payment(status="created", captured=False)]))
    outcome = await processor.get_payment(rupees()[1])
    assert isinstance(outcome, ActionRequired)
    assert (outcome.processor_order_id, outcome.processor_transaction_id) == ("order_1", "pay_1")


async def test_two_orders_of_one_attempt(razorpay_at: Start) -> None:
    """Made at the same moment by two processes; the customer paid the one that was told."""
    request, _ = rupees()
    notes = {"order_id": str(request.order_id), "attempt": "1"}

    def answer(seen: Seen) -> web.Response:
        match seen.path:
            case "/v1/orders":
                return collection([{"id": "order_2", "notes": notes}, {"id": "order_1", "notes": notes},
                                   {"id": "order_3", "notes": []}])  # fmt: skip
            case "/v1/orders/order_1/payments":
                return collection([razorpay_payment()])
            case _:
                return collection([])

    processor, server = await razorpay_at(answer)
    assert await processor.create_payment(request) == Captured("order_1", "pay_1", 4999)
    assert not any(seen.path.startswith("/v1/orders/order_3") for seen in server.seen)
    assert parse_qs(server.seen[0].query)["receipt"] == [f"{request.order_id}-1"]


async def test_an_order_that_razorpay_refuses(razorpay_at: Start) -> None:
    def answer(seen: Seen) -> web.Response:
        return collection([]) if seen.method == "GET" else razorpay_error(reason="input_validation_failed")

    processor, _ = await razorpay_at(answer)
    outcome = await processor.create_payment(rupees()[0])
    assert outcome == Declined(None, None, "BAD_REQUEST_ERROR", "input_validation_failed", "No.")


@pytest.mark.parametrize("code", ("GATEWAY_ERROR", "SERVER_ERROR"))
async def test_an_error_behind_razorpay_settles_nothing(razorpay_at: Start, code: str) -> None:
    request, ref = rupees()

    def answer(seen: Seen) -> web.Response:
        return collection([]) if seen.method == "GET" else razorpay_error(code=code)

    processor, _ = await razorpay_at(answer)
    assert isinstance(await processor.create_payment(request), Unknown)
    paid = replace(ref, processor_transaction_id="pay_1")
    assert isinstance(await processor.capture_payment(paid, 4999), Unknown)
    refund = await processor.create_refund(refund_id=new_id(), ref=paid, amount=1, reason=None)
    assert isinstance(refund, Unknown)
    processor, _ = await razorpay_at(lambda _: razorpay_error(code=code))
    assert isinstance(await processor.get_payment(ref), Retryable)


async def test_a_question_that_razorpay_refuses_needs_a_person(razorpay_at: Start) -> None:
    processor, _ = await razorpay_at(lambda _: razorpay_error())
    assert await processor.get_payment(rupees()[1]) == Misconfigured("BAD_REQUEST_ERROR", "No.")


async def test_a_razorpay_payment_in_another_currency_needs_a_person(razorpay_at: Start) -> None:
    processor, _ = await razorpay_at(lambda _: collection([razorpay_payment(currency="USD")]))
    outcome = await processor.get_payment(rupees()[1])
    assert isinstance(outcome, Misconfigured)


async def test_refunds_are_looked_through_page_by_page(razorpay_at: Start) -> None:
    refund_id = new_id()
    others = [{"id": f"rfnd_{number}", "amount": 1, "status": "processed", "notes": []} for number in range(100)]
    ours = {"id": "rfnd_ours", "amount": 7, "status": "failed", "notes": {"refund_id": str(refund_id)}}

    def answer(seen: Seen) -> web.Response:
        return collection(others if parse_qs(seen.query)["skip"] == ["0"] else [ours])

    processor, server = await razorpay_at(answer)
    ref = replace(rupees()[1], processor_transaction_id="pay_1")
    for outcome in (
        await processor.get_refund(refund_id=refund_id, processor_refund_id=None, ref=ref),
        await processor.create_refund(refund_id=refund_id, ref=ref, amount=7, reason=None),
    ):
        assert isinstance(outcome, RefundRejected)
        assert outcome.processor_refund_id == "rfnd_ours"
    assert await processor.get_refund(refund_id=new_id(), processor_refund_id=None, ref=ref) == RefundNotFound()
    assert all(seen.method == "GET" for seen in server.seen)
    processor, server = await razorpay_at(lambda _: collection(others))
    lost = await processor.get_refund(refund_id=refund_id, processor_refund_id=None, ref=ref)
    assert isinstance(lost, Retryable)
    assert len(server.seen) == 5


@pytest.mark.parametrize(
    "document", ({}, {"items": None}, {"items": [1]}, {"items": [{}]}, {"id": 1}, {"id": "order_1", "items": {}})
)
async def test_nonsense_from_razorpay(razorpay_at: Start, document: dict[str, Any]) -> None:
    request, ref = rupees()
    processor, _ = await razorpay_at(lambda _: web.json_response(document))
    assert isinstance(await processor.get_payment(ref), Retryable)
    assert isinstance(await processor.create_payment(request), Unknown | ActionRequired)
    assert isinstance(await processor.capture_payment(replace(ref, processor_transaction_id="pay_1"), 1), Unknown)
    refund = await processor.get_refund(refund_id=new_id(), processor_refund_id="rfnd_1", ref=ref)
    assert isinstance(refund, Retryable)
