"""What a type checker sees of the clients. mypy is the test: an ignore that it did not need is an error."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import assert_type

from payloops.client import AsyncDashboard, AsyncPayLoops, Dashboard, PayLoops
from payloops.client.core.binding import AsyncPager, Pager
from payloops.client.models import (
    CreatedApiKey,
    FeedEvent,
    ListedRefund,
    NumberedOrders,
    Order,
    OrderDetail,
    OrderPage,
    Payment,
    Stats,
)


def the_client_that_waits(client: PayLoops, dashboard: Dashboard) -> None:
    assert_type(client.orders.create(5, currency="USD"), Order)
    assert_type(client.orders.pay("id", token="t", wait=5), Payment)
    assert_type(client.orders.refunds("id"), list[ListedRefund])
    assert_type(client.orders.list(), Pager[Order, OrderPage])
    assert_type(client.orders.list().first(), Order | None)
    for order in client.orders.list():
        assert_type(order, Order)
    assert_type(dashboard.api_keys.create("name"), CreatedApiKey)
    assert_type(dashboard.api_keys.revoke("id"), None)
    assert_type(dashboard.stats(currency="USD"), Stats)
    assert_type(dashboard.orders.get("id"), OrderDetail)
    assert_type(dashboard.orders.list().first_page(), NumberedOrders)
    assert_type(dashboard.events.stream(), Generator[FeedEvent, None, None])


async def the_client_of_asyncio(client: AsyncPayLoops, dashboard: AsyncDashboard) -> None:
    assert_type(await client.orders.create(5, currency="USD"), Order)
    assert_type(client.orders.list(), AsyncPager[Order, OrderPage])
    async for order in client.orders.list():
        assert_type(order, Order)
    assert_type(await client.orders.list().first(), Order | None)
    assert_type(await dashboard.stats(), Stats)
    assert_type(dashboard.events.stream(), AsyncGenerator[FeedEvent, None])


def what_is_wrong_is_seen(client: PayLoops) -> None:
    client.orders.create()  # type: ignore[call-arg]
    client.orders.create("5")  # type: ignore[arg-type]
    client.orders.create(5, curency="USD")  # type: ignore[call-arg]
    client.orders.create(5, "USD")  # type: ignore[call-arg]
    client.orders.get("id").amount = 3  # type: ignore[misc]
    client.orders.get("id").ammount  # type: ignore[attr-defined] # noqa: B018
