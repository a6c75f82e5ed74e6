"""The customer's pages, as a browser would use them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.world import World

RETURN_URL = "https://shop.example/back?cart=7"


async def intent_to_authenticate(world: World, **more: Any) -> Any:
    body: Any = {
        "amount": 123_456,
        "currency": "eur",
        "confirm": True,
        "payment_method": "pm_card_threeDSecure2Required",
        "return_url": RETURN_URL,
    } | more
    return (await world.stripe_call("POST", "/payment_intents", json=body)).body


def buttons(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="result" value="(\w+)">([^<]+)<', page))


@pytest.mark.parametrize(
    ("result", "redirect_status", "status"),
    [("succeed", "succeeded", "succeeded"), ("fail", "failed", "requires_payment_method")],
)
async def test_the_3ds_page_leads_back_to_the_shop(
    world: World, result: str, redirect_status: str, status: str
) -> None:
    intent = await intent_to_authenticate(world)
    url = intent["next_action"]["redirect_to_url"]["url"]
    page = await world.request("GET", url)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "1234.56 EUR" in page.body
    assert set(buttons(page.body)) == {"succeed", "fail"}
    secret = re.search(r'name="client_secret" value="([^"]+)"', page.body)
    assert secret is not None
    form = {"result": result, "client_secret": secret[1]}
    done = await world.request("POST", url, data=form)
    assert done.status == 303
    target = urlsplit(done.headers["Location"])
    assert (target.netloc, target.path) == ("shop.example", "/back")
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    assert query == {
        "cart": "7",
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": redirect_status,
    }
    after = (await world.stripe_call("GET", f"/payment_intents/{intent['id']}")).body
    assert after["status"] == status
    # Answering twice changes nothing.
    again = await world.request("POST", url, data=form | {"result": "succeed"})
    assert again.headers["Location"] == done.headers["Location"]
    assert "not waiting" in (await world.request("GET", url)).body


async def test_without_a_return_address_the_page_tells_the_result(world: World) -> None:
    intent = await intent_to_authenticate(world, return_url=None)
    url = intent["next_action"]["use_stripe_sdk"]["stripe_js"]
    form = {"result": "succeed", "client_secret": intent["client_secret"]}
    done = await world.request("POST", url, data=form)
    assert (done.status, "succeeded" in done.body) == (200, True)


async def test_the_3ds_page_needs_the_client_secret(world: World) -> None:
    intent = await intent_to_authenticate(world)
    page = f"{world.sandbox.stripe_url}/_sandbox/3ds/{intent['id']}"
    assert (await world.request("GET", page)).status == 404
    assert (await world.request("GET", f"{page}?client_secret=wrong")).status == 404
    assert (await world.request("POST", page, data={"result": "succeed"})).status == 404
    assert (await world.request("GET", f"{world.sandbox.stripe_url}/_sandbox/3ds/pi_unknown")).status == 404
    form = {"result": "perhaps", "client_secret": intent["client_secret"]}
    assert (await world.request("POST", page, data=form)).status == 400


@pytest.mark.parametrize("callback", ["", "https://shop.example/paid?cart=7"])
async def test_the_checkout_takes_a_payment(world: World, callback: str) -> None:
    order = await world.razorpay_order(payment_capture=True)
    url = f"{world.sandbox.razorpay_url}/_sandbox/checkout/{order['id']}"
    page = await world.request("GET", url, params={"callback_url": callback})
    assert "500.00 INR" in page.body
    done = await world.request("POST", url, data={"result": "succeed", "callback_url": callback})
    paid = (await world.razorpay("GET", f"/orders/{order['id']}/payments")).body["items"][0]
    assert paid["status"] == "captured"
    if callback:
        query = parse_qs(urlsplit(done.headers["Location"]).query)
        assert (done.status, query["cart"], query["razorpay_payment_id"]) == (303, ["7"], [paid["id"]])
        assert query["razorpay_order_id"] == [order["id"]]
        assert len(query["razorpay_signature"][0]) == 64
    else:
        assert paid["id"] in done.body
    assert "is paid" in (await world.request("GET", url)).body
    assert "is paid" in (await world.request("POST", url, data={"result": "succeed"})).body


async def test_the_checkout_can_fail(world: World) -> None:
    order = await world.razorpay_order()
    url = f"{world.sandbox.razorpay_url}/_sandbox/checkout/{order['id']}"
    form = {"result": "fail", "callback_url": "https://shop.example/paid"}
    done = await world.request("POST", url, data=form)
    assert "error%5Bcode%5D=BAD_REQUEST_ERROR" in done.headers["Location"]
    assert (await world.razorpay("GET", f"/orders/{order['id']}/payments")).body["items"][0]["status"] == "failed"


async def test_the_checkout_refuses_what_it_does_not_know(world: World) -> None:
    base = f"{world.sandbox.razorpay_url}/_sandbox/checkout"
    order = await world.razorpay_order()
    paid = await world.act(order["id"], "pay")
    for unknown in ("order_unknown", paid["id"]):
        assert (await world.request("GET", f"{base}/{unknown}")).status == 404
    fresh = await world.razorpay_order()
    url = f"{base}/{fresh['id']}"
    assert (await world.request("GET", url, params={"callback_url": "javascript:alert(1)"})).status == 400
    assert (await world.request("POST", url, data={"result": "perhaps"})).status == 400
