"""Test keys and live keys: to the one, what was made with the other does not exist."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.http.routes import routes
from payloops.http.routing import Route
from payloops.values import new_id
from tests.integration.http.world import Api, Merchant

SAME = {"X-Correlation-ID": "the-same"}
BY_ORDER = tuple(r for r in routes() if r.access == "api_key" and r.path.startswith("/v1/orders/:id"))
BY_SESSION = tuple(r for r in routes() if r.access == "api_key" and r.path.startswith("/v1/checkout/sessions/:id"))
UNKNOWN = [r.name for r in routes() if r.access == "api_key" and ":" in r.path and r not in (*BY_ORDER, *BY_SESSION)]
BODIES = (None, {"amount": 1}, {"processor": "stripe"})
SESSION = {"amount": 100, "successUrl": "https://shop.example/y", "cancelUrl": "https://shop.example/n"}


@pytest.fixture
async def live(api: Api, merchant: Merchant) -> str:
    """The merchant's live key."""
    secret: str = (await api.new_key(merchant.token, mode="live"))["secret"]
    return secret


async def configure(api: Api, merchant: Merchant, processor: str, *, test_mode: bool) -> None:
    credentials = {"stripe": {"secretKey": "sk_test_1"}, "razorpay": {"keyId": "rzp_1", "keySecret": "secret"}}
    body = {"credentials": credentials[processor], "testMode": test_mode}
    (await api.call("POST", f"/api/processors/{processor}", body, token=merchant.token)).must(200)


async def require_absent(api: Api, route: Route, there: str, key: str) -> None:
    for body in BODIES:
        theirs, absent = [
            await api.call(route.method, route.path.replace(":id", some), body, key=key, headers=SAME)
            for some in (there, str(new_id()))
        ]
        assert theirs.status == 404
        assert theirs.raw == absent.raw


def test_every_route_with_an_id_is_tried() -> None:
    assert UNKNOWN == []


@pytest.mark.parametrize("route", BY_ORDER, ids=lambda route: route.name)
async def test_an_order_of_the_other_mode_is_absent(api: Api, merchant: Merchant, live: str, route: Route) -> None:
    test_order = await api.captured_order(merchant)
    live_order = (await api.call("POST", "/v1/orders", {"amount": 1000}, key=live)).must(201)
    await require_absent(api, route, test_order["id"], live)
    await require_absent(api, route, live_order["id"], merchant.api_key)
    # Their own see them, as they were; and the dashboard sees both.
    for order_id, key, version in ((test_order["id"], merchant.api_key, 3), (live_order["id"], live, 1)):
        assert (await api.call("GET", f"/v1/orders/{order_id}", key=key)).must(200)["version"] == version
        assert (await api.call("GET", f"/api/orders/{order_id}", token=merchant.token)).must(200)["version"] == version


@pytest.mark.parametrize("route", BY_SESSION, ids=lambda route: route.name)
async def test_a_session_of_the_other_mode_is_absent(api: Api, merchant: Merchant, live: str, route: Route) -> None:
    made = (await api.call("POST", "/v1/checkout/sessions", SESSION, key=merchant.api_key)).must(201)
    await require_absent(api, route, made["id"], live)
    path = f"/v1/checkout/sessions/{made['id']}"
    assert (await api.call("GET", path, key=merchant.api_key)).must(200)["status"] == "open"


async def test_lists_hold_ones_own_mode_only(api: Api, merchant: Merchant, live: str) -> None:
    references = {"externalId": "same", "customerId": "same"}
    ids: dict[str, list[str]] = {live: [], merchant.api_key: []}
    for n in range(5):
        key = (live, merchant.api_key)[n % 2]
        made = await api.call("POST", "/v1/orders", {"amount": 1, **references}, key=key)
        ids[key].insert(0, made.must(201)["id"])
    for key, own in ids.items():
        for query in ("", "externalId=same", "customerId=same", "status=pending"):
            assert await listed(api, key, query) == own
        assert await listed(api, key, "limit=1") == own
    page = (await api.call("GET", "/api/orders", token=merchant.token)).must(200)
    assert page["pagination"]["total"] == 5


async def listed(api: Api, key: str, query: str) -> list[str]:
    found: list[str] = []
    cursor = ""
    for _ in range(10):
        page = (await api.call("GET", f"/v1/orders?{query}{cursor}", key=key)).must(200)
        found += [order["id"] for order in page["data"]]
        if not page["hasMore"]:
            return found
        cursor = f"&cursor={page['nextCursor']}"
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("test_mode", (True, False))
async def test_only_a_processor_of_the_mode_takes_a_payment(
    api: Api, merchant: Merchant, live: str, test_mode: bool
) -> None:
    own, other = (merchant.api_key, live) if test_mode else (live, merchant.api_key)
    await configure(api, merchant, "stripe", test_mode=test_mode)

    async def pay(key: str, body: Any = None) -> Any:
        order = (await api.call("POST", "/v1/orders", {"amount": 1, "currency": "USD"}, key=key)).must(201)
        return await api.call("POST", f"/v1/orders/{order['id']}/pay", body, key=key)

    assert (await pay(own)).must(200)["processor"] == "stripe"
    none = await pay(other)
    assert (none.status, none.code) == (400, "no_processor")
    named = await pay(other, {"processor": "stripe"})
    assert (named.status, named.code, named.json["param"]) == (400, "invalid_processor", "processor")
    await configure(api, merchant, "razorpay", test_mode=not test_mode)
    assert (await pay(own)).must(200)["processor"] == "stripe"
    assert (await pay(other)).must(200)["processor"] == "razorpay"


async def test_an_idempotency_key_of_the_other_mode_is_another(api: Api, merchant: Merchant, live: str) -> None:
    async def create(key: str) -> Any:
        return await api.call("POST", "/v1/orders", {"amount": 1}, key=key, headers={"Idempotency-Key": "cart-1"})

    test_order, live_order = [(await create(key)).must(201)["id"] for key in (merchant.api_key, live)]
    assert test_order != live_order
    for key, order_id in ((merchant.api_key, test_order), (live, live_order)):
        again = await create(key)
        assert (again.must(201)["id"], again.headers["Idempotent-Replayed"]) == (order_id, "true")
    # Two keys of one mode are one merchant.
    second = await api.new_key(merchant.token)
    assert (await create(second["secret"])).must(201)["id"] == test_order


async def test_a_rolled_key_is_of_the_same_mode(api: Api, merchant: Merchant, live: str) -> None:
    key = next(key for key in await keys(api, merchant) if key["prefix"] == live[:20])
    rolled = (await api.call("POST", f"/api/api-keys/{key['id']}/roll", token=merchant.token)).must(201)
    assert rolled["secret"].startswith("sk_live_")


async def keys(api: Api, merchant: Merchant) -> Any:
    return (await api.call("GET", "/api/api-keys", token=merchant.token)).must(200)
