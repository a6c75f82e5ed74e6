"""All refunds of a payment, as both processors list them; against the simulators."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from payloops.values import new_id
from payloops.workflows_bridge.processors import razorpay, stripe
from payloops.workflows_bridge.processors.base import (
    Captured,
    NotFound,
    RefundList,
    Retryable,
)
from tests.processors.conftest import Account, payment_request, ref_of
from tests.processors.test_razorpay import captured as razorpay_captured


async def test_stripe_lists_ours_and_others(stripe_account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    request, refund_id = payment_request(), new_id()
    processor = stripe_account.processor
    ref = ref_of(request, await processor.create_payment(request))
    assert await processor.list_refunds(ref) == RefundList((), complete=True)
    await processor.create_refund(refund_id=refund_id, ref=ref, amount=100, reason=None)
    await stripe_account.control("POST", f"/payments/{ref.processor_order_id}/refund", {"amount": 50})
    listing = await processor.list_refunds(ref)
    assert isinstance(listing, RefundList)
    assert listing.complete
    assert [(one.refund_id, one.amount, one.status) for one in listing.refunds] == [
        (None, 50, "success"),
        (refund_id, 100, "success"),
    ]
    monkeypatch.setattr(stripe, "PAGE_SIZE", 1)
    monkeypatch.setattr(stripe, "PAGES_MAX", 2)
    assert await processor.list_refunds(ref) == RefundList(listing.refunds, complete=True)
    monkeypatch.setattr(stripe, "PAGES_MAX", 1)
    assert await processor.list_refunds(ref) == RefundList(listing.refunds[:1], complete=False)


async def test_razorpay_lists_ours_and_others(razorpay_account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    request, payment = await razorpay_captured(razorpay_account)
    refund_id, processor = new_id(), razorpay_account.processor
    ref = ref_of(request, payment)
    await processor.create_refund(refund_id=refund_id, ref=ref, amount=100, reason=None)
    await razorpay_account.control("POST", f"/payments/{payment.processor_transaction_id}/refund", {"amount": 50})
    listing = await processor.list_refunds(ref)
    assert isinstance(listing, RefundList)
    assert listing.complete
    assert [(one.refund_id, one.amount, one.status) for one in listing.refunds] == [
        (None, 50, "success"),
        (refund_id, 100, "success"),
    ]
    monkeypatch.setattr(razorpay, "PAGE_SIZE", 1)
    monkeypatch.setattr(razorpay, "PAGES_MAX", 1)
    assert await processor.list_refunds(ref) == RefundList(listing.refunds[:1], complete=False)


@pytest.mark.parametrize(("token", "end"), [("pm_card_pendingRefund", "success"), ("pm_card_refundFail", "failed")])
async def test_refunds_that_the_bank_decides_later(stripe_account: Account, token: str, end: str) -> None:
    request = payment_request(payment_method_token=token)
    ref = ref_of(request, await stripe_account.processor.create_payment(request))
    await stripe_account.processor.create_refund(refund_id=new_id(), ref=ref, amount=100, reason=None)
    async with asyncio.timeout(60):
        while True:
            listing = await stripe_account.processor.list_refunds(ref)
            assert isinstance(listing, RefundList)
            (listed,) = listing.refunds
            if listed.status == end:
                break
            assert listed.status in ("pending", "success")
            await asyncio.sleep(0.02)
    assert (listed.code == "refund_failed") == (end == "success")


async def test_a_payment_that_does_not_exist_has_none(stripe_account: Account, razorpay_account: Account) -> None:
    ref = replace(ref_of(payment_request()), processor_order_id="pi_none", processor_transaction_id="pi_none")
    assert await stripe_account.processor.list_refunds(ref) in (NotFound(), RefundList((), complete=True))
    ref = replace(ref, processor_order_id="order_none", processor_transaction_id="pay_none")
    assert await razorpay_account.processor.list_refunds(ref) in (NotFound(), RefundList((), complete=True))


async def test_trouble_is_an_outcome(stripe_account: Account) -> None:
    request = payment_request()
    payment = await stripe_account.processor.create_payment(request)
    assert isinstance(payment, Captured)
    for mode, expected in (("http_500", Retryable), ("http_429", Retryable)):
        await stripe_account.fault("refund.get", mode)
        assert isinstance(await stripe_account.processor.list_refunds(ref_of(request, payment)), expected)
