"""Another merchant's things do not exist."""

from __future__ import annotations

import pytest

from payloops.http.routes import routes
from payloops.http.routing import Route
from payloops.values import new_id
from tests.integration.http.world import Api, Merchant

WITH_ORDER = tuple(route for route in routes() if "/orders/:id" in route.path)
SAME = {"X-Correlation-ID": "the-same"}
BODIES = (None, {"amount": 1}, {"processor": "stripe"})


@pytest.mark.parametrize("route", WITH_ORDER, ids=lambda route: route.name)
async def test_another_merchants_order_is_as_absent_as_none(api: Api, merchant: Merchant, route: Route) -> None:
    order = await api.captured_order(merchant)
    other = await api.merchant()
    await api.with_stripe(other)
    key, token = (other.api_key, None) if route.access == "api_key" else (None, other.token)
    for body in BODIES:
        theirs, absent = [
            await api.call(route.method, route.path.replace(":id", some), body, key=key, token=token, headers=SAME)
            for some in (order["id"], str(new_id()))
        ]
        assert theirs.status == 404
        assert theirs.raw == absent.raw
    assert (await api.order(merchant, order["id"]))["version"] == 3


async def test_lists_hold_ones_own_only(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant, externalId="same", customerId="same")
    other = await api.merchant()
    for query in ("", "?externalId=same", "?customerId=same", "?status=captured"):
        assert (await api.call("GET", f"/v1/orders{query}", key=other.api_key)).must(200)["data"] == []
    for query in ("", "?q=same", f"?q={order['id']}"):
        page = (await api.call("GET", f"/api/orders{query}", token=other.token)).must(200)
        assert (page["data"], page["pagination"]["total"]) == ([], 0)
    assert (await api.call("GET", "/api/processors", token=other.token)).must(200) == []
    keys = (await api.call("GET", "/api/api-keys", token=other.token)).must(200)
    assert [key["id"] for key in keys] == [other.api_key_id]


async def test_another_merchants_key_and_processor_are_absent(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    other = await api.merchant()
    for path in (f"/api/api-keys/{merchant.api_key_id}", f"/api/api-keys/{new_id()}", "/api/api-keys/x"):
        answer = await api.call("DELETE", path, token=other.token, headers=SAME)
        assert (answer.status, answer.json["message"]) == (404, "No such API key.")
    for method in ("PATCH", "DELETE"):
        assert (await api.call(method, "/api/processors/stripe", {}, token=other.token)).status == 404
    (await api.call("GET", "/v1/orders", key=merchant.api_key)).must(200)
    assert len((await api.call("GET", "/api/processors", token=merchant.token)).must(200)) == 1


async def test_a_cursor_of_another_merchant_opens_nothing(api: Api, merchant: Merchant) -> None:
    for _ in range(2):
        await api.new_order(merchant)
    page = (await api.call("GET", "/v1/orders?limit=1", key=merchant.api_key)).must(200)
    other = await api.merchant()
    theirs = await api.call("GET", f"/v1/orders?cursor={page['nextCursor']}", key=other.api_key)
    assert theirs.must(200)["data"] == []
