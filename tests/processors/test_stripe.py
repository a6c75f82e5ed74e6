"""Stripe's adapter against the simulator: every call, every outcome, every fault."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from payloops.values import new_id
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    Misconfigured,
    NotFound,
    RefundNotFound,
    RefundRejected,
    RefundSucceeded,
    Retryable,
    StillProcessing,
    Unknown,
    Voided,
)
from tests.processors.conftest import LOST, Account, payment_request, ref_of


async def test_a_card_is_charged(stripe_account: Account) -> None:
    request = payment_request()
    outcome = await stripe_account.processor.create_payment(request)
    assert isinstance(outcome, Captured)
    assert outcome == Captured(outcome.processor_order_id, outcome.processor_order_id, 4999)
    [payment] = await stripe_account.payments()
    assert payment == {
        "id": outcome.processor_transaction_id,
        "amount": 4999,
        "currency": "USD",
        "amountCaptured": 4999,
        "amountRefunded": 0,
        "status": "succeeded",
        "metadata": {
            "order_id": str(request.order_id),
            "merchant_id": str(request.merchant_id),
            "attempt": "1",
            "correlation_id": "c-1",
            "external_id": "order-1",
        },
        "idempotencyKey": f"order-{request.order_id}-1-create",
    }
    for ref in (ref_of(request, outcome), ref_of(request)):
        assert await stripe_account.processor.get_payment(ref) == outcome


@pytest.mark.parametrize("token", (None, "tok_visa", "pm_card_visa"))
@pytest.mark.parametrize("return_url", (None, "https://shop.example/return"))
async def test_ways_to_name_a_card(stripe_account: Account, token: str | None, return_url: str | None) -> None:
    request = payment_request(
        payment_method_token=token,
        payment_method_type=None,
        return_url=return_url,
        description=None,
        external_id=None,
    )
    assert isinstance(await stripe_account.processor.create_payment(request), Captured)


@pytest.mark.parametrize(
    ("currency", "amount", "charged"),
    (("JPY", 500, 500), ("KWD", 5120, 5120), ("ISK", 500, 50_000), ("UGX", 500, 50_000), ("MGA", 50_000, 500)),
)
async def test_currencies_in_stripes_own_units(
    stripe_account: Account, currency: str, amount: int, charged: int
) -> None:
    request = payment_request(currency=currency, amount=amount, capture_method="manual")
    processor = stripe_account.processor
    held = await processor.create_payment(request)
    assert isinstance(held, Authorized)
    assert held.amount == amount
    part = amount // 5
    captured = await processor.capture_payment(ref_of(request, held), part)
    assert isinstance(captured, Captured)
    assert captured.amount == part
    refund = await processor.create_refund(refund_id=new_id(), ref=ref_of(request, held), amount=part, reason=None)
    assert isinstance(refund, RefundSucceeded)
    assert refund.amount == part
    [payment] = await stripe_account.payments()
    shares = (payment["amount"], payment["amountCaptured"], payment["amountRefunded"])
    assert shares == (charged, charged // 5, charged // 5)


async def test_an_amount_that_stripe_can_not_express(stripe_account: Account) -> None:
    outcome = await stripe_account.processor.create_payment(payment_request(currency="MGA", amount=150))
    assert isinstance(outcome, Misconfigured)
    assert outcome.code == "amount_not_expressible"
    assert await stripe_account.payments() == []


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    (
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("tok_chargeDeclined", "card_declined", "generic_decline"),
    ),
)
async def test_declines(stripe_account: Account, token: str, code: str, decline_code: str) -> None:
    request = payment_request(payment_method_token=token)
    outcome = await stripe_account.processor.create_payment(request)
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.decline_code) == (code, decline_code)
    assert outcome.message.endswith(".")
    assert outcome.processor_order_id == outcome.processor_transaction_id
    assert (outcome.processor_order_id or "").startswith("pi_")
    for again in (
        await stripe_account.processor.create_payment(request),
        await stripe_account.processor.get_payment(ref_of(request, outcome)),
        await stripe_account.processor.get_payment(ref_of(request)),
    ):
        assert again == outcome


async def test_an_unknown_token_is_declined(stripe_account: Account) -> None:
    outcome = await stripe_account.processor.create_payment(payment_request(payment_method_token="pm_nonsense"))
    assert isinstance(outcome, Declined)
    assert outcome.code == "resource_missing"
    assert outcome.processor_order_id is None


@pytest.mark.parametrize(("result", "expected"), (("succeed", Captured), ("fail", Declined)))
async def test_three_d_secure(stripe_account: Account, result: str, expected: type[object]) -> None:
    request = payment_request(payment_method_token="pm_card_threeDSecure2Required")
    outcome = await stripe_account.processor.create_payment(request)
    assert isinstance(outcome, ActionRequired)
    assert outcome.redirect_url is not None
    assert outcome.redirect_url.startswith(stripe_account.base)
    assert outcome.client_secret is not None
    assert outcome.client_secret not in repr(outcome)
    assert await stripe_account.processor.get_payment(ref_of(request)) == outcome
    await stripe_account.control("POST", f"/payments/{outcome.processor_order_id}/authenticate", {"result": result})
    assert isinstance(await stripe_account.processor.get_payment(ref_of(request, outcome)), expected)


async def test_three_d_secure_without_a_return_url(stripe_account: Account) -> None:
    request = payment_request(payment_method_token="pm_card_authenticationRequired", return_url=None)
    outcome = await stripe_account.processor.create_payment(request)
    assert isinstance(outcome, ActionRequired)
    assert outcome.redirect_url is None
    assert outcome.client_secret is not None


async def test_a_bank_debit_takes_its_time(stripe_account: Account) -> None:
    request = payment_request(payment_method_token="pm_usBankAccount_success")
    outcome = await stripe_account.processor.create_payment(request)
    assert isinstance(outcome, StillProcessing)


async def test_capture_takes_a_part_and_releases_the_rest(stripe_account: Account) -> None:
    request = payment_request(capture_method="manual")
    processor = stripe_account.processor
    held = await processor.create_payment(request)
    assert isinstance(held, Authorized)
    assert held.amount == 4999
    captured = await processor.capture_payment(ref_of(request, held), 3000)
    assert captured == Captured(held.processor_order_id, held.processor_order_id, 3000)
    assert await processor.capture_payment(ref_of(request, held), 3000) == captured
    assert await processor.capture_payment(ref_of(request, held), 2000) == captured
    assert await processor.cancel_payment(ref_of(request, held)) == captured
    [payment] = await stripe_account.payments()
    assert (payment["status"], payment["amountCaptured"]) == ("succeeded", 3000)


async def test_capture_and_cancel_find_the_payment_by_metadata(stripe_account: Account) -> None:
    for verb in ("capture", "cancel"):
        request = payment_request(capture_method="manual")
        await stripe_account.processor.create_payment(request)
        if verb == "capture":
            assert isinstance(await stripe_account.processor.capture_payment(ref_of(request), 4999), Captured)
        else:
            assert isinstance(await stripe_account.processor.cancel_payment(ref_of(request)), Voided)


async def test_capturing_more_than_is_held_is_refused(stripe_account: Account) -> None:
    request = payment_request(capture_method="manual")
    held = await stripe_account.processor.create_payment(request)
    outcome = await stripe_account.processor.capture_payment(ref_of(request, held), 5000)
    assert isinstance(outcome, Declined)
    assert outcome.code == "amount_too_large"
    assert await stripe_account.processor.get_payment(ref_of(request, held)) == held


async def test_cancel_releases_what_is_held(stripe_account: Account) -> None:
    request = payment_request(capture_method="manual")
    processor = stripe_account.processor
    held = await processor.create_payment(request)
    voided = await processor.cancel_payment(ref_of(request, held))
    assert isinstance(voided, Voided)
    assert await processor.cancel_payment(ref_of(request, held)) == voided
    assert await processor.capture_payment(ref_of(request, held), 4999) == voided
    assert await processor.get_payment(ref_of(request)) == voided


async def test_cancel_of_a_captured_payment_tells_that_it_is_captured(stripe_account: Account) -> None:
    request = payment_request()
    captured = await stripe_account.processor.create_payment(request)
    assert await stripe_account.processor.cancel_payment(ref_of(request, captured)) == captured


async def test_what_does_not_exist(stripe_account: Account) -> None:
    processor, request = stripe_account.processor, payment_request()
    for ref in (ref_of(request), replace(ref_of(request), processor_order_id="pi_nonsense")):
        assert await processor.get_payment(ref) == NotFound()
        assert await processor.capture_payment(ref, 1) == NotFound()
        assert await processor.cancel_payment(ref) == NotFound()
        found = await processor.get_refund(refund_id=new_id(), processor_refund_id=None, ref=ref)
        assert found == RefundNotFound()
        refused = await processor.create_refund(refund_id=new_id(), ref=ref, amount=1, reason=None)
        assert isinstance(refused, RefundRejected)
    missing = await processor.get_refund(refund_id=new_id(), processor_refund_id="re_nonsense", ref=ref_of(request))
    assert missing == RefundNotFound()


async def test_attempts_are_told_apart(stripe_account: Account) -> None:
    first = payment_request(payment_method_token="pm_card_visa_chargeDeclined")
    second = replace(first, attempt=2, payment_method_token="pm_card_visa")
    processor = stripe_account.processor
    assert isinstance(await processor.create_payment(first), Declined)
    assert isinstance(await processor.create_payment(second), Captured)
    assert isinstance(await processor.get_payment(ref_of(first)), Declined)
    assert isinstance(await processor.get_payment(ref_of(second)), Captured)
    assert await processor.get_payment(replace(ref_of(first), attempt=3)) == NotFound()


async def test_an_order_id_of_another_kind_is_found_too(stripe_account: Account) -> None:
    request = payment_request(order_id=uuid4())
    outcome = await stripe_account.processor.create_payment(request)
    assert await stripe_account.processor.get_payment(ref_of(request)) == outcome


# --------------------------------------------------------------------------------------------------------- exactly once


async def test_the_same_attempt_is_paid_once(stripe_account: Account) -> None:
    request = payment_request()
    outcomes = [await stripe_account.processor.create_payment(request) for _ in range(3)]
    assert len(set(outcomes)) == 1
    assert len(await stripe_account.payments()) == 1


async def test_the_same_attempt_at_the_same_time_is_paid_once(stripe_account: Account) -> None:
    request = payment_request()
    outcomes = await asyncio.gather(*(stripe_account.processor.create_payment(request) for _ in range(10)))
    assert {type(outcome) for outcome in outcomes} <= {Captured, Unknown}
    assert len(await stripe_account.payments()) == 1


async def test_other_parameters_under_the_same_key_are_unknown(stripe_account: Account) -> None:
    request = payment_request()
    await stripe_account.processor.create_payment(request)
    outcome = await stripe_account.processor.create_payment(replace(request, amount=1))
    assert isinstance(outcome, Unknown)
    assert isinstance(await stripe_account.processor.get_payment(ref_of(request)), Captured)
    assert len(await stripe_account.payments()) == 1


async def test_an_old_attempt_is_looked_up_before_it_is_made_again(stripe_account: Account) -> None:
    """By then Stripe may have forgotten the key: nothing is sent that could charge twice."""
    request = payment_request()
    captured = await stripe_account.processor.create_payment(request)
    stripe_account.clock.advance(hours=23.5)
    assert await stripe_account.processor.create_payment(replace(request, description="changed")) == captured
    assert (await stripe_account.ledger())["calls"]["payment.create"] == 1


async def test_an_old_order_without_a_payment_is_paid(stripe_account: Account) -> None:
    request = payment_request()
    stripe_account.clock.advance(days=30)
    assert isinstance(await stripe_account.processor.create_payment(request), Captured)


@LOST
async def test_a_lost_payment_is_unknown_until_it_is_asked_for(
    stripe_account: Account, mode: str, happened: bool
) -> None:
    request = payment_request()
    await stripe_account.fault("payment.create", mode)
    processor = stripe_account.build(timeout_s=0.5)
    assert isinstance(await processor.create_payment(request), Unknown)
    found = await processor.get_payment(ref_of(request))
    assert isinstance(found, Captured if happened else NotFound)
    assert isinstance(await stripe_account.processor.create_payment(request), Captured)
    assert len(await stripe_account.payments()) == 1


@LOST
async def test_a_lost_capture(stripe_account: Account, mode: str, happened: bool) -> None:
    request = payment_request(capture_method="manual")
    held = await stripe_account.processor.create_payment(request)
    await stripe_account.fault("payment.capture", mode)
    assert isinstance(await stripe_account.build(timeout_s=0.5).capture_payment(ref_of(request, held), 4999), Unknown)
    found = await stripe_account.processor.get_payment(ref_of(request))
    assert isinstance(found, Captured if happened else Authorized)
    assert isinstance(await stripe_account.processor.capture_payment(ref_of(request, held), 4999), Captured)


@LOST
async def test_a_lost_cancellation(stripe_account: Account, mode: str, happened: bool) -> None:
    request = payment_request(capture_method="manual")
    held = await stripe_account.processor.create_payment(request)
    await stripe_account.fault("payment.cancel", mode)
    assert isinstance(await stripe_account.build(timeout_s=0.5).cancel_payment(ref_of(request, held)), Unknown)
    found = await stripe_account.processor.get_payment(ref_of(request))
    assert isinstance(found, Voided if happened else Authorized)


@pytest.mark.parametrize(
    "mode", ("timeout_before", "timeout_after", "reset_before", "reset_after", "http_500", "http_429")
)
async def test_a_lost_question_can_be_asked_again(stripe_account: Account, mode: str) -> None:
    request = payment_request()
    captured = await stripe_account.processor.create_payment(request)
    # A library repeats a GET once over a fresh connection when a kept one breaks.
    await stripe_account.fault("payment.get", mode, times=2 if mode.startswith("reset") else 1)
    assert isinstance(await stripe_account.build(timeout_s=0.5).get_payment(ref_of(request, captured)), Retryable)


@pytest.mark.parametrize("operation", ("payment.create", "payment.capture", "payment.cancel", "refund.create"))
async def test_too_many_requests_is_surely_not_done(stripe_account: Account, operation: str) -> None:
    request = payment_request(capture_method="manual")
    processor = stripe_account.processor
    if operation == "payment.create":
        await stripe_account.fault(operation, "http_429")
        assert isinstance(await processor.create_payment(request), Retryable)
        assert await stripe_account.payments() == []
        return
    held = await processor.create_payment(request)
    if operation == "refund.create":
        await processor.capture_payment(ref_of(request, held), 4999)
    await stripe_account.fault(operation, "http_429")
    match operation:
        case "payment.capture":
            outcome: object = await processor.capture_payment(ref_of(request, held), 4999)
        case "payment.cancel":
            outcome = await processor.cancel_payment(ref_of(request, held))
        case _:
            outcome = await processor.create_refund(
                refund_id=new_id(), ref=ref_of(request, held), amount=1, reason=None
            )
    assert isinstance(outcome, Retryable)


async def test_a_wrong_key(stripe_account: Account) -> None:
    request = payment_request()
    processor = stripe_account.build(key="sk_wrong_canary")
    for outcome in (
        await processor.create_payment(request),
        await processor.get_payment(ref_of(request)),
        await processor.capture_payment(ref_of(request), 1),
        await processor.cancel_payment(ref_of(request)),
        await processor.create_refund(refund_id=new_id(), ref=ref_of(request), amount=1, reason=None),
        await processor.get_refund(refund_id=new_id(), processor_refund_id="re_1", ref=ref_of(request)),
    ):
        assert isinstance(outcome, Misconfigured)
        assert outcome.code == "authentication_error"
        assert "canary" not in repr(outcome)
    await processor.close()
