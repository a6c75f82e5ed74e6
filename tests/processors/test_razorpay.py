"""Razorpay's adapter against the simulator: every call, every outcome, every fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from payloops.values import new_id
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    Misconfigured,
    NotFound,
    PaymentRequest,
    RefundNotFound,
    RefundPending,
    RefundRejected,
    RefundSucceeded,
    Retryable,
    Unknown,
    Voided,
)
from tests.processors.conftest import LOST, Account, payment_request, ref_of


def rupees(**changes: Any) -> PaymentRequest:
    return payment_request(**{"currency": "INR", "payment_method_token": None} | changes)


async def ordered(account: Account, request: PaymentRequest) -> ActionRequired:
    outcome = await account.processor.create_payment(request)
    assert isinstance(outcome, ActionRequired)
    return outcome


async def paid(account: Account, request: PaymentRequest, token: str = "pm_card_visa") -> ActionRequired:
    """An order that the customer paid, or tried to, in the processor's checkout."""
    outcome = await ordered(account, request)
    await account.control("POST", f"/payments/{outcome.processor_order_id}/pay", {"token": token})
    return outcome


async def held(account: Account) -> tuple[PaymentRequest, Authorized]:
    request = rupees(capture_method="manual")
    await paid(account, request)
    outcome = await account.processor.get_payment(ref_of(request))
    assert isinstance(outcome, Authorized)
    return request, outcome


async def captured(account: Account, token: str = "pm_card_visa") -> tuple[PaymentRequest, Captured]:
    request = rupees()
    await paid(account, request, token)
    outcome = await account.processor.get_payment(ref_of(request))
    assert isinstance(outcome, Captured)
    return request, outcome


async def test_an_order_waits_to_be_paid(razorpay_account: Account) -> None:
    request = rupees()
    outcome = await ordered(razorpay_account, request)
    assert outcome.processor_order_id.startswith("order_")
    assert outcome.processor_transaction_id is None
    assert outcome.processor_data == {
        "orderId": outcome.processor_order_id,
        "keyId": razorpay_account.name,
        "amount": 4999,
        "currency": "INR",
    }
    for ref in (ref_of(request), ref_of(request, outcome)):
        assert await razorpay_account.processor.get_payment(ref) == outcome
    [order] = await razorpay_account.payments()
    assert order["metadata"]["order_id"] == str(request.order_id)
    assert order["metadata"]["merchant_id"] == str(request.merchant_id)
    assert order["metadata"]["attempt"] == "1"
    assert (order["amount"], order["idempotencyKey"]) == (4999, f"{request.order_id}-1")


@pytest.mark.parametrize(("capture_method", "expected"), (("automatic", Captured), ("manual", Authorized)))
async def test_a_paid_order(
    razorpay_account: Account,
    capture_method: Literal["automatic", "manual"],
    expected: type[Captured | Authorized],
) -> None:
    request = rupees(capture_method=capture_method)
    order = await paid(razorpay_account, request)
    outcome = await razorpay_account.processor.get_payment(ref_of(request))
    assert isinstance(outcome, expected)
    assert outcome.processor_order_id == order.processor_order_id
    assert outcome.processor_transaction_id.startswith("pay_")
    assert outcome.amount == 4999
    assert await razorpay_account.processor.get_payment(ref_of(request, outcome)) == outcome
    by_payment = replace(ref_of(request), processor_transaction_id=outcome.processor_transaction_id)
    assert await razorpay_account.processor.get_payment(by_payment) == outcome
    assert await razorpay_account.processor.create_payment(request) == outcome


async def test_a_failed_payment_and_a_later_success(razorpay_account: Account) -> None:
    request = rupees()
    order = await paid(razorpay_account, request, "pm_card_visa_chargeDeclinedInsufficientFunds")
    declined = await razorpay_account.processor.get_payment(ref_of(request))
    assert isinstance(declined, Declined)
    assert (declined.code, declined.decline_code) == ("BAD_REQUEST_ERROR", "insufficient_funds")
    assert declined.message
    assert (declined.processor_transaction_id or "").startswith("pay_")
    await razorpay_account.control("POST", f"/payments/{order.processor_order_id}/pay")
    assert isinstance(await razorpay_account.processor.get_payment(ref_of(request, declined)), Captured)


async def test_attempts_are_told_apart(razorpay_account: Account) -> None:
    first = rupees()
    second = replace(first, attempt=2)
    assert (await ordered(razorpay_account, first)) != (await ordered(razorpay_account, second))
    assert await razorpay_account.processor.get_payment(replace(ref_of(first), attempt=3)) == NotFound()


@pytest.mark.parametrize("attempt", (1, 999, 1000, 9_999_999))
async def test_the_receipt_of_any_attempt_fits(razorpay_account: Account, attempt: int) -> None:
    request = rupees(attempt=attempt)
    order = await ordered(razorpay_account, request)
    assert await razorpay_account.processor.get_payment(ref_of(request)) == order
    [made] = await razorpay_account.payments()
    assert len(made["idempotencyKey"]) <= 40


async def test_the_same_attempt_is_ordered_once(razorpay_account: Account) -> None:
    request = rupees()
    orders = [await ordered(razorpay_account, request) for _ in range(3)]
    assert orders[0] == orders[1] == orders[2]
    assert len(await razorpay_account.payments()) == 1


async def test_long_texts_are_cut_to_fit_a_note(razorpay_account: Account) -> None:
    request = rupees(description="d" * 1000, external_id="e" * 300)
    await ordered(razorpay_account, request)
    [order] = await razorpay_account.payments()
    assert order["metadata"]["description"] == "d" * 256
    assert order["metadata"]["external_id"] == "e" * 256


async def test_capture(razorpay_account: Account) -> None:
    request, authorized = await held(razorpay_account)
    processor = razorpay_account.processor
    partly = await processor.capture_payment(ref_of(request, authorized), 4000)
    assert isinstance(partly, Declined)
    assert partly.code == "BAD_REQUEST_ERROR"
    done = await processor.capture_payment(ref_of(request, authorized), 4999)
    assert done == Captured(authorized.processor_order_id, authorized.processor_transaction_id, 4999)
    assert await processor.capture_payment(ref_of(request, authorized), 4999) == done
    assert await processor.cancel_payment(ref_of(request, authorized)) == done


async def test_capture_finds_the_payment_by_receipt(razorpay_account: Account) -> None:
    request, _ = await held(razorpay_account)
    assert isinstance(await razorpay_account.processor.capture_payment(ref_of(request), 4999), Captured)


async def test_capture_of_an_unpaid_order_tells_that_it_is_unpaid(razorpay_account: Account) -> None:
    request = rupees(capture_method="manual")
    order = await ordered(razorpay_account, request)
    assert await razorpay_account.processor.capture_payment(ref_of(request, order), 4999) == order


async def test_cancel(razorpay_account: Account) -> None:
    processor = razorpay_account.processor
    request = rupees()
    order = await ordered(razorpay_account, request)
    assert await processor.cancel_payment(ref_of(request)) == Voided(order.processor_order_id, None)
    request, authorized = await held(razorpay_account)
    voided = Voided(authorized.processor_order_id, authorized.processor_transaction_id)
    assert await processor.cancel_payment(ref_of(request)) == voided
    request = rupees()
    await paid(razorpay_account, request, "pm_card_visa_chargeDeclined")
    assert isinstance(await processor.cancel_payment(ref_of(request)), Voided)
    request, done = await captured(razorpay_account)
    assert await processor.cancel_payment(ref_of(request)) == done


async def test_what_does_not_exist(razorpay_account: Account) -> None:
    processor, request = razorpay_account.processor, rupees()
    nowhere = (
        ref_of(request),
        replace(ref_of(request), processor_order_id="order_nonsense123456"),
        replace(ref_of(request), processor_transaction_id="pay_nonsense12345678"),
    )
    for ref in nowhere:
        assert await processor.get_payment(ref) == NotFound()
        assert await processor.capture_payment(ref, 100) == NotFound()
        assert await processor.cancel_payment(ref) == NotFound()
        found = await processor.get_refund(refund_id=new_id(), processor_refund_id=None, ref=ref)
        assert found == RefundNotFound()
        refused = await processor.create_refund(refund_id=new_id(), ref=ref, amount=100, reason=None)
        assert isinstance(refused, RefundRejected)
    missing = await processor.get_refund(
        refund_id=new_id(), processor_refund_id="rfnd_nonsense123456", ref=ref_of(request)
    )
    assert missing == RefundNotFound()


async def test_ids_can_not_leave_their_place_in_the_path(razorpay_account: Account) -> None:
    await captured(razorpay_account)
    for text in ("../orders", "?count=1", "a/b", "#", "%2e%2e", "é"):
        ref = replace(ref_of(rupees()), processor_transaction_id=text)
        assert await razorpay_account.processor.get_payment(ref) == NotFound()


# -------------------------------------------------------------------------------------------------------------- refunds


@pytest.mark.parametrize("reason", (None, "it was the wrong size" + "!" * 500))
async def test_a_refund(razorpay_account: Account, reason: str | None) -> None:
    request, done = await captured(razorpay_account)
    processor, refund_id, ref = razorpay_account.processor, new_id(), ref_of(request, done)
    outcome = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=reason)
    assert isinstance(outcome, RefundSucceeded)
    assert outcome.amount == 1000
    assert await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=reason) == outcome
    for processor_refund_id, by in ((outcome.processor_refund_id, ref), (None, ref), (None, ref_of(request))):
        found = await processor.get_refund(refund_id=refund_id, processor_refund_id=processor_refund_id, ref=by)
        assert found == outcome
    [refund] = await razorpay_account.refunds()
    assert refund["idempotencyKey"] == f"refund-{refund_id}"
    assert refund["paymentId"] == done.processor_transaction_id


async def test_a_refund_is_found_by_order_when_the_payment_is_not_known(razorpay_account: Account) -> None:
    request, _ = await captured(razorpay_account)
    outcome = await razorpay_account.processor.create_refund(
        refund_id=new_id(), ref=ref_of(request), amount=4999, reason=None
    )
    assert isinstance(outcome, RefundSucceeded)
    # All of it is refunded: it was captured all the same.
    assert isinstance(await razorpay_account.processor.get_payment(ref_of(request)), Captured)


async def test_more_than_was_captured_is_rejected(razorpay_account: Account) -> None:
    request, done = await captured(razorpay_account)
    outcome = await razorpay_account.processor.create_refund(
        refund_id=new_id(), ref=ref_of(request, done), amount=5000, reason=None
    )
    assert isinstance(outcome, RefundRejected)
    assert (outcome.processor_refund_id, outcome.code) == (None, "BAD_REQUEST_ERROR")
    assert outcome.message


async def test_a_pending_refund(razorpay_account: Account) -> None:
    request, done = await captured(razorpay_account, "pm_card_pendingRefund")
    outcome = await razorpay_account.processor.create_refund(
        refund_id=new_id(), ref=ref_of(request, done), amount=100, reason=None
    )
    assert isinstance(outcome, RefundPending)


# --------------------------------------------------------------------------------------------------------------- faults


@LOST
async def test_a_lost_order(razorpay_account: Account, mode: str, happened: bool) -> None:
    request = rupees()
    await razorpay_account.fault("payment.create", mode)
    assert isinstance(await razorpay_account.build(timeout_s=0.5).create_payment(request), Unknown)
    found = await razorpay_account.processor.get_payment(ref_of(request))
    assert isinstance(found, ActionRequired if happened else NotFound)
    await ordered(razorpay_account, request)
    assert len(await razorpay_account.payments()) == 1


@LOST
async def test_a_lost_capture(razorpay_account: Account, mode: str, happened: bool) -> None:
    request, authorized = await held(razorpay_account)
    ref = ref_of(request, authorized)
    await razorpay_account.fault("payment.capture", mode)
    assert isinstance(await razorpay_account.build(timeout_s=0.5).capture_payment(ref, 4999), Unknown)
    found = await razorpay_account.processor.get_payment(ref)
    assert isinstance(found, Captured if happened else Authorized)
    assert isinstance(await razorpay_account.processor.capture_payment(ref, 4999), Captured)


@LOST
async def test_a_lost_refund(razorpay_account: Account, mode: str, happened: bool) -> None:
    request, done = await captured(razorpay_account)
    ref, refund_id = ref_of(request, done), new_id()
    await razorpay_account.fault("refund.create", mode)
    impatient = razorpay_account.build(timeout_s=0.5)
    lost = await impatient.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=None)
    assert isinstance(lost, Unknown)
    found = await razorpay_account.processor.get_refund(refund_id=refund_id, processor_refund_id=None, ref=ref)
    assert isinstance(found, RefundSucceeded if happened else RefundNotFound)
    again = await razorpay_account.processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=None)
    assert isinstance(again, RefundSucceeded)
    assert len(await razorpay_account.refunds()) == 1


@pytest.mark.parametrize("mode", ("timeout_before", "timeout_after", "http_500", "http_429"))
async def test_a_lost_question_can_be_asked_again(razorpay_account: Account, mode: str) -> None:
    """Also the question that comes before an order or a refund: nothing was made then."""
    impatient = razorpay_account.build(timeout_s=0.5)
    request, done = await captured(razorpay_account)
    ref = ref_of(request, done)
    for operation in ("payment.get", "payment.get", "payment.get"):
        await razorpay_account.fault(operation, mode)
    assert isinstance(await impatient.get_payment(ref), Retryable)
    assert isinstance(await impatient.cancel_payment(ref), Retryable)
    assert isinstance(await impatient.create_payment(rupees()), Retryable)
    await razorpay_account.fault("refund.get", mode)
    lost = await impatient.create_refund(refund_id=new_id(), ref=ref, amount=1000, reason=None)
    assert isinstance(lost, Retryable)
    assert await razorpay_account.refunds() == []
    assert len(await razorpay_account.payments()) == 1


@pytest.mark.parametrize("operation", ("payment.create", "payment.capture", "refund.create"))
async def test_too_many_requests_is_surely_not_done(razorpay_account: Account, operation: str) -> None:
    request, authorized = await held(razorpay_account)
    ref = ref_of(request, authorized)
    if operation == "refund.create":
        await razorpay_account.processor.capture_payment(ref, 4999)
    await razorpay_account.fault(operation, "http_429")
    match operation:
        case "payment.create":
            outcome: object = await razorpay_account.processor.create_payment(rupees())
        case "payment.capture":
            outcome = await razorpay_account.processor.capture_payment(ref, 4999)
        case _:
            outcome = await razorpay_account.processor.create_refund(refund_id=new_id(), ref=ref, amount=1, reason=None)
    assert isinstance(outcome, Retryable)


async def test_a_wrong_secret(razorpay_account: Account) -> None:
    request, _ = await captured(razorpay_account)
    processor = razorpay_account.build(secret="canary")
    for outcome in (
        await processor.create_payment(request),
        await processor.get_payment(ref_of(request)),
        await processor.capture_payment(ref_of(request), 1),
        await processor.cancel_payment(ref_of(request)),
        await processor.create_refund(refund_id=new_id(), ref=ref_of(request), amount=1, reason=None),
        await processor.get_refund(refund_id=new_id(), processor_refund_id=None, ref=ref_of(request)),
    ):
        assert isinstance(outcome, Misconfigured)
        assert outcome.code == "authentication_error"
        assert "canary" not in repr(outcome)
    await processor.close()
