"""Refunds at Stripe, against the simulator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payloops.values import new_id
from payloops.workflows_bridge.processors.base import (
    Captured,
    RefundNotFound,
    RefundPending,
    RefundRejected,
    RefundSucceeded,
    Retryable,
    Unknown,
)
from tests.processors.conftest import LOST, Account, payment_request, ref_of


@pytest.mark.parametrize("reason", (None, "requested_by_customer", "it was the wrong size" + "!" * 500))
async def test_a_refund(stripe_account: Account, reason: str | None) -> None:
    request, refund_id = payment_request(), new_id()
    processor = stripe_account.processor
    ref = ref_of(request, await processor.create_payment(request))
    outcome = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=reason)
    assert isinstance(outcome, RefundSucceeded)
    assert outcome.amount == 1000
    again = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=reason)
    assert again == outcome
    for processor_refund_id in (outcome.processor_refund_id, None):
        found = await processor.get_refund(
            refund_id=refund_id, processor_refund_id=processor_refund_id, ref=ref_of(request)
        )
        assert found == outcome
    [refund] = await stripe_account.refunds()
    assert refund["idempotencyKey"] == f"refund-{refund_id}"
    assert (refund["paymentId"], refund["amount"]) == (ref.processor_order_id, 1000)


async def test_a_refund_of_a_charge(stripe_account: Account) -> None:
    """An external worker may have recorded the charge as the transaction."""
    request = payment_request()
    captured = await stripe_account.processor.create_payment(request)
    assert isinstance(captured, Captured)
    headers = {"Authorization": f"Bearer {stripe_account.name}"}
    url = f"{stripe_account.base}/v1/payment_intents/{captured.processor_order_id}"
    async with stripe_account.http.get(url, headers=headers) as response:
        charge = (await response.json())["latest_charge"]
    ref = replace(ref_of(request), processor_transaction_id=charge)
    outcome = await stripe_account.processor.create_refund(refund_id=new_id(), ref=ref, amount=1, reason=None)
    assert isinstance(outcome, RefundSucceeded)


async def test_more_than_was_captured_is_rejected(stripe_account: Account) -> None:
    request = payment_request()
    processor = stripe_account.processor
    ref = ref_of(request, await processor.create_payment(request))
    whole, more = new_id(), new_id()
    assert isinstance(
        await processor.create_refund(refund_id=whole, ref=ref, amount=4999, reason=None), RefundSucceeded
    )
    outcome = await processor.create_refund(refund_id=more, ref=ref, amount=1, reason=None)
    assert isinstance(outcome, RefundRejected)
    assert outcome.code == "charge_already_refunded"
    assert outcome.processor_refund_id is None
    assert outcome.message


async def test_an_old_refund_is_looked_up_before_it_is_made_again(stripe_account: Account) -> None:
    request, refund_id = payment_request(), new_id()
    processor = stripe_account.processor
    ref = ref_of(request, await processor.create_payment(request))
    outcome = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason="first words")
    stripe_account.clock.advance(hours=23.5)
    again = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason="other words")
    assert again == outcome
    assert (await stripe_account.ledger())["calls"]["refund.create"] == 1


async def test_a_refund_repeated_with_other_words_is_the_one_made_before(stripe_account: Account) -> None:
    """The key belongs to other parameters; the refund is found by its metadata."""
    request, refund_id = payment_request(), new_id()
    processor = stripe_account.processor
    ref = ref_of(request, await processor.create_payment(request))
    outcome = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason="first words")
    again = await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason="other words")
    assert again == outcome
    assert len(await stripe_account.refunds()) == 1


async def test_a_pending_refund(stripe_account: Account) -> None:
    request = payment_request(payment_method_token="pm_card_pendingRefund")
    ref = ref_of(request, await stripe_account.processor.create_payment(request))
    outcome = await stripe_account.processor.create_refund(refund_id=new_id(), ref=ref, amount=5, reason=None)
    assert isinstance(outcome, RefundPending)


@LOST
async def test_a_lost_refund(stripe_account: Account, mode: str, happened: bool) -> None:
    request, refund_id = payment_request(), new_id()
    ref = ref_of(request, await stripe_account.processor.create_payment(request))
    await stripe_account.fault("refund.create", mode)
    processor = stripe_account.build(timeout_s=0.5)
    assert isinstance(await processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=None), Unknown)
    found = await processor.get_refund(refund_id=refund_id, processor_refund_id=None, ref=ref)
    assert isinstance(found, RefundSucceeded if happened else RefundNotFound)
    again = await stripe_account.processor.create_refund(refund_id=refund_id, ref=ref, amount=1000, reason=None)
    assert isinstance(again, RefundSucceeded)
    assert len(await stripe_account.refunds()) == 1


async def test_a_lost_question_about_a_refund(stripe_account: Account) -> None:
    request = payment_request()
    ref = ref_of(request, await stripe_account.processor.create_payment(request))
    await stripe_account.fault("refund.get", "http_500")
    outcome = await stripe_account.processor.get_refund(refund_id=new_id(), processor_refund_id=None, ref=ref)
    assert isinstance(outcome, Retryable)
