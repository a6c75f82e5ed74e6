"""All disputes of a payment, as both processors list them; against the simulators."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import web

from payloops.workflows_bridge.processors import disputes as words
from payloops.workflows_bridge.processors import razorpay, stripe
from payloops.workflows_bridge.processors.base import (
    Captured,
    DisputeList,
    ListedDispute,
    Misconfigured,
    NotFound,
    PaymentRef,
    Retryable,
)
from tests.processors.conftest import Account, Start, payment_request, ref_of
from tests.processors.test_razorpay import captured as captured_at_razorpay


async def captured_at_stripe(account: Account) -> tuple[PaymentRef, Captured]:
    request = payment_request()
    payment = await account.processor.create_payment(request)
    assert isinstance(payment, Captured)
    return ref_of(request, payment), payment


async def disputed(account: Account, payment_id: str, end: str | None = None) -> str:
    """The customer disputes the payment, and the bank decides at once where an end is given."""
    made = await account.control("POST", f"/payments/{payment_id}/dispute")
    if end is not None:
        await account.control("POST", f"/payments/{payment_id}/dispute/close", {"result": end})
    return str(made["id"])


@pytest.mark.parametrize(("end", "status"), [(None, "opened"), ("won", "won"), ("lost", "lost")])
async def test_stripe_lists_those_of_the_payment(stripe_account: Account, end: str | None, status: str) -> None:
    processor = stripe_account.processor
    ref, payment = await captured_at_stripe(stripe_account)
    _, other = await captured_at_stripe(stripe_account)
    assert await processor.list_disputes(ref) == DisputeList((), complete=True)
    dispute_id = await disputed(stripe_account, payment.processor_transaction_id, end)
    await disputed(stripe_account, other.processor_transaction_id)
    expected = ListedDispute(dispute_id, payment.amount, ref.currency, status, "fraudulent")  # type: ignore[arg-type]
    assert await processor.list_disputes(ref) == DisputeList((expected,), complete=True)


async def test_stripe_knows_a_payment_by_its_charge_too(stripe_account: Account) -> None:
    ref, payment = await captured_at_stripe(stripe_account)
    _, other = await captured_at_stripe(stripe_account)
    dispute_id = await disputed(stripe_account, payment.processor_transaction_id)
    await disputed(stripe_account, other.processor_transaction_id)
    url = f"{stripe_account.base}/v1/payment_intents/{payment.processor_transaction_id}"
    async with stripe_account.http.get(url, headers={"Authorization": f"Bearer {stripe_account.name}"}) as reply:
        charge = (await reply.json())["latest_charge"]
    by_charge = replace(ref, processor_order_id=None, processor_transaction_id=charge)
    listing = await stripe_account.processor.list_disputes(by_charge)
    assert isinstance(listing, DisputeList)
    assert [one.processor_dispute_id for one in listing.disputes] == [dispute_id]


@pytest.mark.parametrize(("end", "status"), [(None, "opened"), ("won", "won"), ("lost", "lost")])
async def test_razorpays_list_is_the_accounts_so_the_payments_are_picked_out(
    razorpay_account: Account, end: str | None, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = razorpay_account.processor
    request, payment = await captured_at_razorpay(razorpay_account)
    _, other = await captured_at_razorpay(razorpay_account)
    ref = ref_of(request, payment)
    assert await processor.list_disputes(ref) == DisputeList((), complete=True)
    dispute_id = await disputed(razorpay_account, payment.processor_transaction_id, end)
    await disputed(razorpay_account, other.processor_transaction_id)
    expected = ListedDispute(dispute_id, payment.amount, "INR", status, "chargeback_fraud")  # type: ignore[arg-type]
    assert await processor.list_disputes(ref) == DisputeList((expected,), complete=True)
    # The newest comes first: it is another payment's.
    monkeypatch.setattr(razorpay, "PAGE_SIZE", 1)
    assert await processor.list_disputes(ref) == DisputeList((expected,), complete=True)
    monkeypatch.setattr(razorpay, "PAGES_MAX", 1)
    assert await processor.list_disputes(ref) == DisputeList((), complete=False)


async def test_what_was_disputed_before_the_order_was_made_is_not_looked_through(
    razorpay_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, payment = await captured_at_razorpay(razorpay_account)
    await disputed(razorpay_account, payment.processor_transaction_id)
    monkeypatch.setattr(razorpay, "CLOCK_SKEW_S", -3600)
    assert await razorpay_account.processor.list_disputes(ref_of(request, payment)) == DisputeList((), complete=True)


async def test_stripe_lists_page_by_page(stripe_account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    ref, payment = await captured_at_stripe(stripe_account)
    await disputed(stripe_account, payment.processor_transaction_id, "won")
    listing = await stripe_account.processor.list_disputes(ref)
    monkeypatch.setattr(stripe, "PAGE_SIZE", 1)
    assert await stripe_account.processor.list_disputes(ref) == listing


async def test_a_payment_that_does_not_exist_has_none(stripe_account: Account, razorpay_account: Account) -> None:
    ref = replace(ref_of(payment_request()), processor_order_id="pi_none", processor_transaction_id="pi_none")
    assert await stripe_account.processor.list_disputes(ref) in (NotFound(), DisputeList((), complete=True))
    by_charge = replace(ref, processor_order_id=None, processor_transaction_id="ch_none")
    assert await stripe_account.processor.list_disputes(by_charge) == NotFound()
    unpaid = replace(ref, processor_order_id=None, processor_transaction_id=None, currency="INR")
    assert await razorpay_account.processor.list_disputes(unpaid) == NotFound()


@pytest.mark.parametrize("mode", ["http_500", "http_429", "reset_before"])
async def test_trouble_is_an_outcome(stripe_account: Account, razorpay_account: Account, mode: str) -> None:
    at_stripe, _ = await captured_at_stripe(stripe_account)
    request, payment = await captured_at_razorpay(razorpay_account)
    for account, ref in ((stripe_account, at_stripe), (razorpay_account, ref_of(request, payment))):
        # A question that meets a broken connection is asked once more on a new one.
        await account.fault("dispute.get", mode, times=2)
        assert isinstance(await account.processor.list_disputes(ref), Retryable)


async def test_an_account_that_may_not_ask_is_said(stripe_at: Start, razorpay_at: Start) -> None:
    for start, ids in ((stripe_at, "pi_1"), (razorpay_at, "pay_1")):
        processor, _ = await start(lambda _: web.json_response({"error": {"message": "No."}}, status=401))
        ref = replace(ref_of(payment_request()), processor_order_id=ids, processor_transaction_id=ids)
        assert isinstance(await processor.list_disputes(ref), Misconfigured)


async def test_one_without_a_status_is_no_answer(stripe_at: Start, razorpay_at: Start) -> None:
    thing = {"id": "dp_1", "object": "dispute", "amount": 5, "currency": "usd", "payment_id": "pay_1"}
    for start, ids, reply in (
        (stripe_at, "pi_1", {"object": "list", "data": [thing], "has_more": False}),
        (razorpay_at, "pay_1", {"items": [thing]}),
    ):
        processor, _ = await start(lambda _, reply=reply: web.json_response(reply))  # type: ignore[misc]
        ref = replace(ref_of(payment_request()), processor_order_id=ids, processor_transaction_id=ids)
        assert isinstance(await processor.list_disputes(ref), Retryable)


def test_what_closed_without_a_verdict_goes_by_the_money() -> None:
    assert words.of_razorpay("closed", 0) == "won"
    assert words.of_razorpay("closed", 1000) == "lost"
    assert words.of_razorpay("under_review", 0) == "opened"
    assert words.of_stripe("warning_closed") == words.of_stripe("prevented") == "won"
    assert words.of_stripe("warning_needs_response") == words.of_stripe("a new word") == "opened"
