"""What a merchant's server does, by both clients, on the real service with real (simulated) payments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payloops.client import (
    AuthenticationFailed,
    Conflict,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    UnreadableAnswer,
)
from payloops.client.models import Order
from tests.checkout.world import CANCEL_URL, SUCCESS_URL, Shop
from tests.client.both import Both

WAIT = 30


async def test_a_payment_and_what_is_to_be_read_of_it(both: Both, client: Any) -> None:
    order = await both.do(
        client.orders.create,
        2599,
        currency="eur",
        external_id="cart-77",
        customer_id="c-1",
        customer_email="jane@home.example",
        metadata={"snake_key": {"camelKey": [1, None]}},
        return_url="https://shop.example/back",
    )
    assert isinstance(order, Order)
    assert (order.status, order.currency, order.external_id, order.version) == ("pending", "EUR", "cart-77", 1)
    assert order.metadata == {"snake_key": {"camelKey": [1, None]}}
    assert abs(order.created_at - datetime.now(UTC)) < timedelta(minutes=5)
    paid = await both.do(client.orders.pay, order.id, token="pm_card_visa", wait=WAIT)
    assert (paid.status, paid.processor, paid.redirect_url) == ("captured", "stripe", None)
    read = await both.do(client.orders.get, order.id)
    assert (read.amount_captured, read.amount_refunded, read.failure) == (2599, 0, None)
    (transaction,) = await both.do(client.orders.transactions, order.id)
    assert (transaction.type, transaction.amount, transaction.status) == ("capture", 2599, "success")
    trail = await both.items(client.orders.events(order.id, limit=1))
    assert [entry.stream_version for entry in trail] == list(range(len(trail), 0, -1))
    assert trail[-1].actor.type == "api_key"


async def test_refunds(both: Both, client: Any) -> None:
    order = await both.do(client.orders.create, 3000, currency="JPY")
    await both.do(client.orders.pay, order.id, token="pm_card_visa", wait=WAIT)
    first = await both.do(client.orders.refund, order.id, amount=1200, reason="one came back", wait=WAIT)
    assert (first.amount, first.status) == (1200, "success")
    rest = await both.do(client.orders.refund, order.id, wait=WAIT)
    assert rest.amount == 1800
    with pytest.raises(InvalidRequest) as raised:
        await both.do(client.orders.refund, order.id, amount=1)
    assert raised.value.code == "refund_exceeds_captured"
    listed = await both.do(client.orders.refunds, order.id)
    assert [(one.refund_id, one.reason) for one in listed] == [
        (rest.refund_id, None),
        (first.refund_id, "one came back"),
    ]


async def test_a_decline_and_what_can_be_read_of_it(both: Both, client: Any) -> None:
    order = await both.do(client.orders.create, 4200)
    declined = "pm_card_visa_chargeDeclinedInsufficientFunds"
    assert (await both.do(client.orders.pay, order.id, token=declined, wait=WAIT)).status == "failed"
    failure = (await both.do(client.orders.get, order.id)).failure
    assert (failure.code, failure.decline_code) == ("card_declined", "insufficient_funds")


async def test_holding_capturing_and_cancelling(both: Both, client: Any) -> None:
    held = await both.do(client.orders.create, 10_000, capture_method="manual")
    assert (await both.do(client.orders.pay, held.id, token="pm_card_visa", wait=WAIT)).status == "authorized"
    captured = await both.do(client.orders.capture, held.id, amount=8000, wait=WAIT)
    assert (captured.status, captured.amount_captured) == ("captured", 8000)
    other = await both.do(client.orders.create, 10_000, capture_method="manual")
    await both.do(client.orders.pay, other.id, token="pm_card_visa", wait=WAIT)
    assert (await both.do(client.orders.cancel, other.id, reason="out of stock", wait=WAIT)).status == "cancelled"


async def test_razorpay_is_paid_in_the_browser(both: Both, client: Any) -> None:
    order = await both.do(client.orders.create, 500, currency="INR")
    paid = await both.do(client.orders.pay, order.id, processor="razorpay", wait=WAIT)
    assert paid.status == "requires_action"
    assert paid.processor_data["amount"] == 500


async def test_a_list_asks_for_page_after_page(both: Both, client: Any, shop: Shop) -> None:
    made = [(await both.do(client.orders.create, 5 + number, customer_id="c")).id for number in range(5)]
    await both.do(client.orders.create, 5)
    listed = await both.items(client.orders.list(customer_id="c", limit=2))
    assert [order.id for order in listed] == made[::-1]
    page = await both.do(client.orders.list(customer_id="c", limit=2).first_page)
    assert (len(page.data), page.has_more) == (2, True)
    assert (await both.do(client.orders.list(customer_id="c", limit=2).first)).id == made[-1]
    assert await both.do(client.orders.list(customer_id="nobody").first) is None
    assert await both.items(client.orders.list(status="captured")) == []
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await both.items(client.orders.list(created_from=later)) == []
    assert len(await both.items(client.orders.list(created_to=later))) == 6
    with pytest.raises(ValueError, match="zone"):
        client.orders.list(created_from=datetime(2026, 1, 1))  # noqa: DTZ001 - what is tried


async def test_the_same_key_is_the_same_order(both: Both, client: Any) -> None:
    first = await both.do(client.orders.create, 5, idempotency_key="cart-1")
    assert (await both.do(client.orders.create, 5, idempotency_key="cart-1")).id == first.id
    with pytest.raises(IdempotencyMismatch) as raised:
        await both.do(client.orders.create, 6, idempotency_key="cart-1")
    assert (raised.value.code, raised.value.idempotency_key) == ("idempotency_mismatch", "cart-1")
    for bad in ("", "k" * 256, "é", "a\nb"):
        with pytest.raises(ValueError, match="idempotency key"):
            await both.do(client.orders.create, 5, idempotency_key=bad)


async def test_only_while_it_is_as_it_was(both: Both, client: Any) -> None:
    order = await both.do(client.orders.create, 5)
    with pytest.raises(Conflict) as raised:
        await both.do(client.orders.cancel, order.id, if_match=order.version + 1)
    assert raised.value.code == "version_conflict"
    assert (await both.do(client.orders.cancel, order.id, if_match=order.version)).status == "cancelled"


async def test_errors_of_the_service(both: Both, client: Any, shop: Shop) -> None:
    with pytest.raises(NotFound):
        await both.do(client.orders.get, "0198c0de-0000-7000-8000-000000000001")
    with pytest.raises(InvalidRequest) as raised:
        await both.do(client.with_options(correlation_id="mine").orders.create, 0, currency="XXQ")
    assert {detail.param for detail in raised.value.details} == {"amount", "currency"}
    assert (raised.value.code, raised.value.correlation_id) == ("validation_error", "mine")
    stranger = both.payloops("sk_test_nobody", base_url=shop.base_url)
    with pytest.raises(AuthenticationFailed) as refused:
        await both.do(stranger.orders.get, "x")
    assert refused.value.code == "invalid_api_key"
    lost = both.payloops(shop.merchant.api_key, base_url=f"{shop.base_url}/elsewhere")
    with pytest.raises(NotFound):
        await both.do(lost.orders.get, "x")


async def test_checkout_sessions(both: Both, client: Any, shop: Shop) -> None:
    made = await both.do(
        client.checkout_sessions.create,
        2599,
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
        line_items=[{"name": "Shirt", "amount": 1000, "quantity": 2}, {"name": "Postage", "amount": 599}],
        expires_in_minutes=45,
    )
    assert made.url == f"{shop.base_url}/checkout/{made.id}"
    session = await both.do(client.checkout_sessions.get, made.id)
    assert (session.status, session.amount, session.order_id) == ("open", 2599, None)
    assert [(item.name, item.quantity) for item in session.line_items] == [("Shirt", 2), ("Postage", 1)]
    assert session.expires_at - session.created_at == timedelta(minutes=45)
    assert (await both.do(client.checkout_sessions.expire, made.id)).status == "expired"
    with pytest.raises(InvalidRequest) as raised:
        await both.do(client.checkout_sessions.expire, made.id)
    assert raised.value.code == "invalid_status"


async def test_an_http_client_of_ones_own_has_its_hooks_and_stays_open(both: Both, shop: Shop) -> None:
    seen: list[str] = []

    def note(request: httpx.Request) -> None:
        seen.append(f"{request.method} {request.url.path}")

    async def note_later(request: httpx.Request) -> None:
        note(request)

    http = both.http(event_hooks={"request": [note if both.kind == "sync" else note_later]})
    client = both.payloops(shop.merchant.api_key, base_url=shop.base_url, http_client=http)
    order = await both.do(client.orders.create, 5)
    await both.do(client.close if both.kind == "sync" else client.aclose)
    assert not http.is_closed
    await both.do(client.orders.get, order.id)
    assert seen == ["POST /v1/orders", f"GET /v1/orders/{order.id}"]


async def test_another_service_is_none(both: Both, shop: Shop) -> None:
    """The sandbox answers 404 in a form of its own; a page is no order."""
    client = both.payloops(shop.merchant.api_key, base_url=shop.sandbox.stripe_url)
    with pytest.raises((NotFound, UnreadableAnswer, AuthenticationFailed)):
        await both.do(client.orders.get, "x")
