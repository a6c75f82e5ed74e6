"""Checkout sessions as merchants use them: the wire contract's three calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from payloops.events.base import Sealed
from payloops.events.checkout_session import CheckoutSessionCreated
from payloops.sandbox.app import Sandbox
from payloops.values import new_id
from tests.checkout.world import CANCEL_URL, SUCCESS_URL, Shop, open_shop
from tests.databases import TestDatabase

URLS = {"successUrl": SUCCESS_URL, "cancelUrl": CANCEL_URL}


def minutes(session: Any) -> float:
    created, expires = (datetime.fromisoformat(session[name]) for name in ("createdAt", "expiresAt"))
    return (expires - created).total_seconds() / 60


async def test_creation_says_where_and_until_when(shop: Shop) -> None:
    body = {"amount": 2599, **URLS}
    made = (await shop.api.call("POST", "/v1/checkout/sessions", body, key=shop.merchant.api_key)).must(201)
    assert set(made) == {"id", "url", "expiresAt"}
    assert made["url"] == f"{shop.base_url}/checkout/{made['id']}"
    read = await shop.read(made["id"])
    assert {name: read[name] for name in made} == made
    assert minutes(read) == 30
    assert read == {
        **made,
        "status": "open",
        "amount": 2599,
        "currency": "USD",
        "orderId": None,
        "customerId": None,
        "customerEmail": None,
        "metadata": {},
        "lineItems": [],
        **URLS,
        "completedAt": None,
        "createdAt": read["createdAt"],
    }


async def test_all_that_is_given_comes_back(shop: Shop) -> None:
    given = {
        "currency": "eur",
        "customerId": "c-7",
        "customerEmail": "Ann@shop.example",
        "metadata": {"cart": 7},
        "lineItems": [{"name": "Shirt", "amount": 1000, "quantity": 2}, {"name": "Cap", "amount": 599}],
        "expiresInMinutes": 1440,
    }
    session = await shop.session(**given)
    read = await shop.read(session["id"])
    assert minutes(read) == 1440
    assert (read["currency"], read["customerId"], read["metadata"]) == ("EUR", "c-7", {"cart": 7})
    assert read["customerEmail"] == "Ann@shop.example"
    assert read["lineItems"] == [
        {"name": "Shirt", "amount": 1000, "quantity": 2},
        {"name": "Cap", "amount": 599, "quantity": 1},
    ]
    (created,) = await shop.history(UUID(session["id"]))
    assert isinstance(created, CheckoutSessionCreated)
    assert created.customer_email is not None
    assert "shop.example" not in Sealed(created.customer_email)


NO_ADDRESSES = (
    "JavaScript:alert(1)",
    "java\nscript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example/",
    "/thanks",
    "https:/shop.example",
    "https:\\\\evil.example",
    "https://shop.example\\@evil.example/",
    "https://shop.example/\\evil",
    "https://user:pass@shop.example/",
    "https://shop.example@evil.example/",
    "https://shop.example/ x",
    "https://shop.example/\r\nSet-Cookie: a=b",
    "https://shop.example:99999/",
    "https://",
    "https://[::1/",
)


async def test_line_items_at_the_edges(shop: Shop) -> None:
    """A hundred lines, the longest name, the largest quantity, and pieces that cost nothing."""
    lines = [{"name": "x" * 255, "amount": 1, "quantity": 1_000_000}, *[{"name": "Gift", "amount": 0}] * 99]
    session = await shop.session(amount=1_000_000, lineItems=lines)
    assert len((await shop.read(session["id"]))["lineItems"]) == 100
    assert (await shop.page(session["path"])).status == 200


async def test_line_items_that_do_not_add_up_are_told_what_they_come_to(shop: Shop) -> None:
    lines = [{"name": "Shirt", "amount": 1000, "quantity": 2}, {"name": "Cap", "amount": 598}]
    body = {"amount": 2599, **URLS, "lineItems": lines}
    answer = await shop.api.call("POST", "/v1/checkout/sessions", body, key=shop.merchant.api_key)
    assert (answer.status, answer.code, answer.json["param"]) == (400, "validation_error", "lineItems")
    assert answer.json["message"] == (
        "lineItems must add up to the amount: amount × quantity of all lines comes to 2598, "
        "the session's amount is 2599."
    )


async def test_what_is_not_right_is_named(shop: Shop) -> None:
    line = {"name": "Shirt", "amount": 2599, "quantity": 1}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": "2599"}, "amount"),
        ({"currency": "nope"}, "currency"),
        ({"successUrl": None}, "successUrl"),
        ({"cancelUrl": None}, "cancelUrl"),
        ({"successUrl": "javascript:alert(1)"}, "successUrl"),
        ({"cancelUrl": "ftp://shop.example"}, "cancelUrl"),
        ({"successUrl": f"https://shop.example/{'x' * 2048}"}, "successUrl"),
        *(({name: url}, name) for name in URLS for url in NO_ADDRESSES),
        ({"expiresInMinutes": 29}, "expiresInMinutes"),
        ({"expiresInMinutes": 1441}, "expiresInMinutes"),
        ({"expiresInMinutes": 30.5}, "expiresInMinutes"),
        ({"lineItems": [line, line]}, "lineItems"),
        ({"lineItems": [{**line, "quantity": 0}]}, "lineItems.0.quantity"),
        ({"lineItems": [{**line, "amount": -1}]}, "lineItems.0.amount"),
        ({"lineItems": [{**line, "name": ""}]}, "lineItems.0.name"),
        ({"lineItems": [{**line, "name": "x" * 256}]}, "lineItems.0.name"),
        ({"lineItems": [{**line, "quantity": 1_000_001}]}, "lineItems.0.quantity"),
        ({"lineItems": [{**line, "quantity": 1.5}]}, "lineItems.0.quantity"),
        ({"lineItems": [{**line, "amount": 2**53}]}, "lineItems.0.amount"),
        ({"lineItems": [{"amount": 2599}]}, "lineItems.0.name"),
        ({"lineItems": [line["name"]]}, "lineItems.0"),
        ({"lineItems": [{**line, "amount": 0}] * 101}, "lineItems"),
        ({"customerEmail": "nobody"}, "customerEmail"),
        ({"metadata": {"k" * 41: 1}}, "metadata"),
    ]
    for fields, param in cases:
        body = {"amount": 2599, **URLS, **fields}
        answer = await shop.api.call("POST", "/v1/checkout/sessions", body, key=shop.merchant.api_key)
        assert (answer.status, answer.code, answer.json["param"]) == (400, "validation_error", param), fields
    assert await shop.rows("SELECT count(*) FROM checkout_sessions") == [(0,)]


async def test_the_same_key_makes_the_same_session(shop: Shop) -> None:
    async def create(**fields: object) -> Any:
        body = {"amount": 2599, **URLS, **fields}
        headers = {"Idempotency-Key": "cart-7"}
        return await shop.api.call("POST", "/v1/checkout/sessions", body, key=shop.merchant.api_key, headers=headers)

    first, again = await create(), await create()
    assert (first.status, again.status, again.raw) == (201, 201, first.raw)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await create(amount=1)).status == 422


async def test_expire(shop: Shop) -> None:
    session = await shop.session(customerEmail="Ann@shop.example")
    expired = await shop.expire(session["id"], **{"Idempotency-Key": "stop"})
    assert (expired.must(200)["status"], expired.json["customerEmail"]) == ("expired", "Ann@shop.example")
    assert expired.json == await shop.read(session["id"])
    again = await shop.expire(session["id"])
    assert (again.status, again.code) == (400, "invalid_status")
    replayed = await shop.expire(session["id"], **{"Idempotency-Key": "stop"})
    assert (replayed.status, replayed.raw) == (200, expired.raw)
    assert await shop.public_events(session["id"]) == [("checkout.expired", 1)]


async def test_a_complete_session_is_not_expired_any_more(shop: Shop) -> None:
    session = await shop.session()
    await shop.press_pay(session)
    # It may not say so itself yet; that its order is paid is enough.
    await shop.until_order(session["id"], "captured")
    answer = await shop.expire(session["id"])
    assert (answer.status, answer.code) == (400, "invalid_status")
    read = await shop.read(session["id"])
    assert read["status"] == "complete"
    assert datetime.fromisoformat(read["completedAt"]) >= datetime.fromisoformat(read["createdAt"])


async def test_sessions_of_others_and_of_the_other_mode_do_not_exist(shop: Shop) -> None:
    session = await shop.session()
    other = await shop.api.merchant()
    live = (await shop.api.new_key(shop.merchant.token, mode="live"))["secret"]
    ids = (session["id"], str(new_id()), "nothing")
    for key in (other.api_key, live):
        for method, place in (("GET", ""), ("POST", "/expire")):
            answers = [
                await shop.api.call(method, f"/v1/checkout/sessions/{one}{place}", key=key, headers=SAME) for one in ids
            ]
            assert {answer.status for answer in answers} == {404}
            assert len({answer.raw for answer in answers}) == 1
    assert (await shop.read(session["id"]))["status"] == "open"


SAME = {"X-Correlation-ID": "same"}


async def test_scopes(shop: Shop) -> None:
    session = await shop.session()
    path = f"/v1/checkout/sessions/{session['id']}"
    reads = (await shop.api.new_key(shop.merchant.token, scopes=["checkout:read"]))["secret"]
    orders = (await shop.api.new_key(shop.merchant.token, scopes=["orders:write"]))["secret"]
    assert (await shop.api.call("GET", path, key=reads)).status == 200
    assert (await shop.api.call("POST", f"{path}/expire", key=reads)).status == 403
    assert (await shop.api.call("POST", "/v1/checkout/sessions", {}, key=reads)).status == 403
    assert (await shop.api.call("GET", path, key=orders)).status == 403
    assert (await shop.api.call("GET", path)).status == 401


async def test_a_live_key_makes_live_sessions_and_orders(shop: Shop) -> None:
    live = (await shop.api.new_key(shop.merchant.token, mode="live"))["secret"]
    made = (await shop.api.call("POST", "/v1/checkout/sessions", {"amount": 1, **URLS}, key=live)).must(201)
    page = await shop.page(urlsplit(made["url"]).path)
    assert b"Test mode" not in page.raw
    # The merchant's configurations are all of test mode.
    assert b"can&#39;t take payments" in page.raw or b"can't take payments" in page.raw
    await shop.press_pay({"path": urlsplit(made["url"]).path})
    assert await shop.payments() == []


async def test_the_address_is_kept_when_the_service_moves(test_database: TestDatabase, shop: Shop) -> None:
    session = await shop.session()
    moving = {"CHECKOUT_BASE_URL": "https://new.example/pay"}
    async with open_shop(test_database, shop.sandbox, moving, relaying=False) as moved:
        body = await moved.api.call("GET", f"/v1/checkout/sessions/{session['id']}", key=shop.merchant.api_key)
        assert body.json["url"] == session["url"]
        # Pages are served below whatever path the proxy in front gives them.
        assert b'action="/pay/checkout/' in (await moved.page(session["path"])).raw


PRODUCTION = {
    "PAYLOOPS_ENV": "production",
    "DATABASE_URL": "postgresql://x@y/z",
    "TEMPORAL_ADDRESS": "localhost:7233",
    "STRIPE_API_BASE": "https://api.stripe.com",
    "RAZORPAY_API_BASE": "https://api.razorpay.com",
    "JWT_SECRET": "Zq8#rT2!mVx5@Lp9$Kw3^Nb7&Hd1*Fg6(Js4)",
    "ENCRYPTION_KEY": "Ux7%cY2+eRa9=Wi5-Oz3_Pt8~Sk1|Gf6;Mh4:",
    "WEBHOOK_ALLOW_LOOPBACK": "false",
}


async def test_production_sends_nobody_to_an_address_in_the_clear(
    test_database: TestDatabase, sandbox: Sandbox
) -> None:
    async with open_shop(test_database, sandbox, PRODUCTION, relaying=False) as shop:
        for name in URLS:
            body = {"amount": 1, **URLS, name: "http://shop.example"}
            answer = await shop.api.call("POST", "/v1/checkout/sessions", body, key=shop.merchant.api_key)
            assert (answer.status, answer.json["param"]) == (400, name)
        # Without a publishable key Stripe's form can't be shown, so only the other processor is offered.
        session = await shop.session()
        page = await shop.page(session["path"])
        assert b'name="processor" value="razorpay"' in page.raw
        assert b"stripe" not in page.raw
        assert b"script-src 'self';" in page.headers["Content-Security-Policy"].encode()
