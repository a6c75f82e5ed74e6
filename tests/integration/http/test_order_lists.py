"""The dashboard's list of orders: pages, cursors, filters, search."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from payloops.http.query import order_cursor_of
from payloops.projections import order_lists
from payloops.projections.views import OrderPlace
from tests.databases import TestDatabase
from tests.integration.http.test_stats import StoppedClock
from tests.integration.http.world import Api, Merchant, open_api_at


async def listed(api: Api, merchant: Merchant, query: str = "") -> Any:
    return (await api.call("GET", f"/api/orders{query}", token=merchant.token)).must(200)


async def searched(api: Api, merchant: Merchant, text: str) -> list[str]:
    return [order["id"] for order in (await listed(api, merchant, f"?q={quote(text)}"))["data"]]


async def test_pages_and_cursors_lead_through_the_same_orders(test_database: TestDatabase) -> None:
    clock = StoppedClock(datetime(2091, 3, 1, 18, 20, tzinfo=UTC))
    async with open_api_at(clock, test_database) as api:
        merchant = await api.merchant()
        await api.new_order(await api.merchant())
        made: list[Any] = []
        # Several a quarter hour, some at the very same moment, a gap of days, and both modes.
        for step in (0, 0, 0, 7, 7, 7, 7, 4000, 0, 15, 1):
            clock.time += timedelta(minutes=step)
            made.append(await api.new_order(merchant, description=f"number {len(made)}"))
        live = await api.new_key(merchant.token, mode="live")
        made.append((await api.call("POST", "/v1/orders", {"amount": 1}, key=live["secret"])).must(201))
        expected = [order["id"] for order in sorted(made, key=lambda one: (one["createdAt"], one["id"]), reverse=True)]
        for limit in (1, 2, 5, 12, 100):
            numbered: list[str] = []
            for page in range(1, 2 + 12 // limit):
                answer = await listed(api, merchant, f"?page={page}&limit={limit}")
                assert answer["pagination"]["total"] == 12
                numbered += [order["id"] for order in answer["data"]]
            assert numbered == expected, limit
            followed: list[str] = []
            query = f"?limit={limit}"
            while True:
                answer = await listed(api, merchant, query)
                followed += [order["id"] for order in answer["data"]]
                if answer["nextCursor"] is None:
                    break
                query = f"?limit={limit}&cursor={answer['nextCursor']}"
            assert followed == expected, limit
        beyond = await listed(api, merchant, "?page=10001&limit=100")
        assert (beyond["data"], beyond["pagination"]["total"]) == ([], 12)
        assert (beyond["hasMore"], beyond["nextCursor"]) == (False, None)
        # Bounds that cut a quarter hour in two.
        begin, end = made[3]["createdAt"], made[6]["createdAt"]
        inside = [order["id"] for order in made if begin <= order["createdAt"] < end]
        answer = await listed(api, merchant, f"?from={begin}&to={end}")
        assert [order["id"] for order in answer["data"]] == inside[::-1]
        assert answer["pagination"]["total"] == len(inside) == 3


@pytest.mark.parametrize("query", ("page=10002&limit=100", "page=1000000", "page=10002&limit=100&q=x"))
async def test_a_page_too_far_back_is_refused_and_told_of_cursors(api: Api, merchant: Merchant, query: str) -> None:
    answer = await api.call("GET", f"/api/orders?{query}", token=merchant.token)
    assert (answer.status, answer.code, answer.json["param"]) == (400, "validation_error", "page")
    assert "cursor" in answer.json["message"]


@pytest.mark.parametrize(
    "query",
    ("from=9999-12-31T23:59:59Z", "to=9999-12-31T23:59:59.999Z", "from=2091-01-01&to=2001-01-01", "to=0001-01-01"),
)
async def test_the_ends_of_time_are_times_as_well(api: Api, merchant: Merchant, query: str) -> None:
    await api.new_order(merchant)
    for also in ("", "&status=pending", "&q=no such text"):
        answer = await listed(api, merchant, f"?{query}{also}")
        found = 1 if query.startswith("to=9999") and "q=" not in also else 0
        assert (len(answer["data"]), answer["pagination"]["total"]) == (found, found), also


async def test_a_cursor_at_the_end_of_time_is_a_place_too(api: Api, merchant: Merchant) -> None:
    order = await api.new_order(merchant)
    cursor = order_cursor_of(OrderPlace(253_402_300_799_999, UUID(int=0)))
    for also in ("", "&status=pending", f"&q={order['id']}"):
        assert [each["id"] for each in (await listed(api, merchant, f"?cursor={cursor}{also}"))["data"]] == [
            order["id"]
        ]
    answer = await api.call("GET", f"/v1/orders?cursor={cursor}", key=merchant.api_key)
    assert [each["id"] for each in answer.must(200)["data"]] == [order["id"]]


async def test_a_status_is_counted_and_found(api: Api, merchant: Merchant) -> None:
    for _ in range(3):
        await api.new_order(merchant)
    paid = await api.captured_order(merchant)
    answer = await listed(api, merchant, "?status=captured")
    assert ([order["id"] for order in answer["data"]], answer["pagination"]["total"]) == ([paid["id"]], 1)
    assert (await listed(api, merchant, "?status=pending&limit=2"))["pagination"]["total"] == 3
    assert (await listed(api, merchant, "?status=refunded"))["data"] == []


async def test_a_status_is_followed_by_cursor(api: Api, merchant: Merchant) -> None:
    made = [(await api.new_order(merchant))["id"] for _ in range(5)]
    await api.captured_order(merchant)
    first = await listed(api, merchant, "?status=pending&limit=2")
    second = await listed(api, merchant, f"?status=pending&limit=2&cursor={first['nextCursor']}")
    third = await listed(api, merchant, f"?status=pending&limit=2&cursor={second['nextCursor']}")
    pages = [[order["id"] for order in page["data"]] for page in (first, second, third)]
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert (second["pagination"], third["hasMore"], third["nextCursor"]) == (None, False, None)


async def test_a_search_is_followed_by_cursor(api: Api, merchant: Merchant) -> None:
    made = [(await api.new_order(merchant, customerId="cust_9"))["id"] for _ in range(3)]
    first = await listed(api, merchant, "?q=cust_9&limit=2")
    second = await listed(api, merchant, f"?q=cust_9&limit=2&cursor={first['nextCursor']}")
    assert [[order["id"] for order in page["data"]] for page in (first, second)] == [made[:0:-1], made[:1]]
    assert (first["pagination"]["total"], first["hasMore"]) == (3, True)
    assert (second["pagination"], second["hasMore"], second["nextCursor"]) == (None, False, None)


async def test_search_finds_by_every_name_of_an_order(
    api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await api.captured_order(
        merchant, externalId="A-17", customerId="cust_9", customerEmail="Jane.Doe@Shop.example", description="Blue bike"
    )
    other = await api.merchant()
    await api.captured_order(other, externalId="A-17", customerEmail="jane.doe@shop.example")
    await api.new_order(merchant, customerEmail="john@shop.example")
    for text in (order["id"], "A-17", "cust_9", "pi_1", "jane.doe@SHOP.example", " jane.doe@shop.example ", "blue"):
        assert await searched(api, merchant, text) == [order["id"]], text
    for text in ("nothing", "jane", "%", "jane.doe@shop", "nobody@shop.example"):
        assert await searched(api, merchant, text) == [], text
    # Names are found wherever the order is; parts of texts only among the newest.
    monkeypatch.setattr(order_lists, "SEARCHED_MAX", 1)
    assert await searched(api, merchant, "blue") == []
    assert await searched(api, merchant, "A-17") == [order["id"]]
    assert (await listed(api, merchant, "?q=A-17&status=failed"))["data"] == []
    assert (await listed(api, merchant, "?q=A-17&to=2001-01-01"))["data"] == []


async def test_an_erased_merchant_is_searched_by_no_address(api: Api, merchant: Merchant) -> None:
    order = await api.new_order(merchant, customerEmail="jane@shop.example")
    assert await searched(api, merchant, "jane@shop.example") == [order["id"]]
    await api.services.personal.destroy(merchant.id)
    assert await searched(api, merchant, "jane@shop.example") == []
