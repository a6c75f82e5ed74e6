"""Answers that are lost after the service has acted: whatever is sent again, it happens once."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.client import NoAnswer, Retries
from tests.checkout.world import Shop
from tests.client.both import Both
from tests.client.flaky import Between, Got, serving

QUICK = Retries(base_s=0.001, step_max_s=0.002)


def first_writes(count: int) -> Any:
    """Loses the answers to the first writes."""
    left = count

    def loses(got: Got) -> bool:
        nonlocal left
        if got.method == "GET" or left == 0:
            return False
        left -= 1
        return True

    return loses


async def test_one_order_though_its_answer_was_lost_twice(both: Both, shop: Shop) -> None:
    async with serving(Between(shop.api.port, first_writes(2))) as between:
        client = both.payloops(shop.merchant.api_key, base_url=between.url, retries=QUICK)
        order = await both.do(client.orders.create, 2599, external_id="cart-1")
        assert len(between.lost) == 2
        # The service had acted: what was lost is the very order.
        assert all(f'"id":"{order.id}"'.encode() in answer for _, answer in between.lost)
        assert len({got.key for got in between.got}) == 1
        assert [one.id for one in await both.items(client.orders.list())] == [order.id]


async def test_one_payment_and_one_refund(both: Both, shop: Shop) -> None:
    async with serving(Between(shop.api.port, first_writes(0))) as between:
        client = both.payloops(shop.merchant.api_key, base_url=between.url, retries=QUICK)
        order = await both.do(client.orders.create, 2599)
        between.lose(first_writes(1))
        assert (await both.do(client.orders.pay, order.id, token="pm_card_visa", wait=30)).status == "captured"
        between.lose(first_writes(1))
        refund = await both.do(client.orders.refund, order.id, amount=599, wait=30)
        assert len(between.lost) == 2
    assert [one.refund_id for one in await both.do(client_of(both, shop).orders.refunds, order.id)] == [
        refund.refund_id
    ]
    (payment,) = await shop.payments()
    assert (payment["amountCaptured"], payment["amountRefunded"]) == (2599, 599)


async def test_who_gave_up_asks_again_with_the_same_key(both: Both, shop: Shop) -> None:
    async with serving(Between(shop.api.port, first_writes(2))) as between:
        client = both.payloops(
            shop.merchant.api_key, base_url=between.url, retries=Retries(attempts_max=2, base_s=0.001)
        )
        with pytest.raises(NoAnswer) as raised:
            await both.do(client.orders.create, 2599)
        order = await both.do(client.orders.create, 2599, idempotency_key=raised.value.idempotency_key)
        assert [one.id for one in await both.items(client.orders.list())] == [order.id]


def client_of(both: Both, shop: Shop) -> Any:
    return both.payloops(shop.merchant.api_key, base_url=shop.base_url)
