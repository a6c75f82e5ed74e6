"""What the merchant's endpoint is sent of a checkout: the whole way, from the press of a button to a signed webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.checkout.world import Shop
from tests.sandbox.world import Receiver


@pytest.fixture
async def receiver(shop: Shop) -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    endpoint = {"url": made.url, "eventTypes": ["checkout.*"]}
    (await shop.api.call("POST", "/api/webhook-endpoints", endpoint, token=shop.merchant.token)).must(201)
    yield made
    await made.stop()


async def test_completion_is_told_with_the_order_and_the_session(shop: Shop, receiver: Receiver) -> None:
    session = await shop.session(metadata={"cart": 7})
    await shop.press_pay(session)
    told = (await receiver.next()).body
    order = await shop.order(session["id"])
    read = await shop.read(session["id"])
    assert (told["type"], told["sequence"], told["orderId"]) == ("checkout.completed", 3, order["id"])
    assert (told["status"], told["amount"]) == ("captured", 2599)
    assert told["payload"]["session"] == {name: value for name, value in read.items() if name != "customerEmail"}
    assert told["payload"]["id"] == order["id"]


async def test_expiry_is_told_whether_there_is_an_order_or_not(shop: Shop, receiver: Receiver) -> None:
    for declined in (False, True):
        session = await shop.session()
        if declined:
            await shop.press_pay(session, token="pm_card_visa_chargeDeclined")
        (await shop.expire(session["id"])).must(200)
        told = (await receiver.next()).body
        assert told["type"] == "checkout.expired"
        assert told["payload"]["session"]["id"] == session["id"]
        assert told["payload"]["session"]["status"] == "expired"
        assert (told["orderId"] is None) is not declined
        assert told["amount"] == 2599
