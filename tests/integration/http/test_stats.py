"""What the dashboard counts: every currency for itself, every day in the zone that is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from payloops.commands.order_reports import RecordRefundSucceeded
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api_at

STATS = "/api/dashboard/stats"


class StoppedClock:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


async def stats(api: Api, merchant: Merchant, query: str = "") -> Any:
    return (await api.call("GET", f"{STATS}{query}", token=merchant.token)).must(200)


async def refunded(api: Api, merchant: Merchant, order: Any, amount: int) -> None:
    made = (await api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": amount}, key=merchant.api_key)).must(
        201
    )
    await api.record(
        RecordRefundSucceeded(**api.head(order["id"]), refund_id=UUID(made["refundId"]), processor_refund_id="re_1")
    )


async def test_a_new_merchant_has_nothing(api: Api, merchant: Merchant) -> None:
    found = await stats(api, merchant)
    assert (found["currency"], found["totalVolume"], found["totalTransactions"]) == ("USD", 0, 0)
    assert (found["successRate"], found["averageTicket"], found["netVolume"]) == (0, 0, 0)
    assert (found["transactionsByStatus"], found["transactionsByProcessor"], found["byCurrency"]) == ([], [], [])
    assert len(found["volumeByDay"]) == 30
    assert {(day["volume"], day["count"]) for day in found["volumeByDay"]} == {(0, 0)}


async def test_each_currency_counts_for_itself(api: Api, merchant: Merchant) -> None:
    first = await api.captured_order(merchant, amount=1000)
    await api.captured_order(merchant, amount=2001)
    declined = await api.paid_order(merchant, amount=70)
    await api.failed(declined["id"])
    await api.new_order(merchant, amount=5)
    await api.captured_order(merchant, amount=500, currency="eur")
    await refunded(api, merchant, first, 300)
    found = await stats(api, merchant)
    assert found["currency"] == "USD"
    assert (found["totalVolume"], found["refundedVolume"], found["netVolume"]) == (3001, 300, 2701)
    assert (found["totalTransactions"], found["averageTicket"], found["successRate"]) == (4, 1501, 66.67)
    assert found["transactionsByStatus"] == [
        {"status": "pending", "count": 1},
        {"status": "captured", "count": 1},
        {"status": "partially_refunded", "count": 1},
        {"status": "failed", "count": 1},
    ]
    assert found["transactionsByProcessor"] == [{"processor": "stripe", "count": 3}]
    assert sum(day["volume"] for day in found["volumeByDay"]) == 3001
    assert sum(day["count"] for day in found["volumeByDay"]) == 2
    assert [(each["currency"], each["totalVolume"]) for each in found["byCurrency"]] == [("USD", 3001), ("EUR", 500)]
    euros = await stats(api, merchant, "?currency=eur")
    assert (euros["currency"], euros["totalVolume"], euros["successRate"]) == ("EUR", 500, 100)
    assert (await stats(api, merchant, "?mode=live"))["totalTransactions"] == 0
    other = await api.merchant()
    assert (await stats(api, other))["byCurrency"] == []


async def test_a_refund_counts_on_its_own_day_in_the_zone_that_is_asked_for(test_database: TestDatabase) -> None:
    clock = StoppedClock(datetime(2091, 3, 1, 18, 20, tzinfo=UTC))
    async with open_api_at(clock, test_database) as api:
        merchant = await api.merchant()
        order = await api.captured_order(merchant, amount=1000)
        clock.time += timedelta(days=2)
        await refunded(api, merchant, order, 400)
        # In Kathmandu, 5:45 ahead, it was 00:05 of the next day.
        march = "?from=2091-03-01&to=2091-03-05"
        utc, nepal = await stats(api, merchant, march), await stats(api, merchant, march + "&tz=Asia/Kathmandu")
        assert [day["date"] for day in utc["volumeByDay"] if day["volume"]] == ["2091-03-01"]
        assert [day["date"] for day in nepal["volumeByDay"] if day["volume"]] == ["2091-03-02"]
        first = await stats(api, merchant, "?from=2091-03-01&to=2091-03-02")
        assert (first["totalVolume"], first["refundedVolume"], first["netVolume"]) == (1000, 0, 1000)
        third = await stats(api, merchant, "?from=2091-03-03&to=2091-03-04")
        assert (third["totalVolume"], third["refundedVolume"], third["netVolume"]) == (0, 400, -400)
        assert third["totalTransactions"] == 0
        exact = await stats(api, merchant, "?from=2091-03-01T18:15:00Z&to=2091-03-01T18:30:00Z")
        assert exact["totalVolume"] == 1000
        assert (await stats(api, merchant, "?from=2091-03-01T18:00:00Z&to=2091-03-01T18:15:00Z"))["totalVolume"] == 0


@pytest.mark.parametrize(
    ("query", "param"),
    (
        ("?tz=Nowhere/Town", "tz"),
        ("?tz=../../etc/passwd", "tz"),
        ("?currency=XXY", "currency"),
        ("?from=2026-02-01&to=2026-01-01", "from"),
        ("?from=2020-01-01&to=2026-01-01", "from"),
        ("?from=soon", "from"),
        ("?mode=both", "mode"),
        ("?to=0001-01-01", "to"),
        ("?from=0001-01-01&to=0001-01-02&tz=America/New_York", "to"),
        ("?from=9999-12-31T23:00:00Z&to=9999-12-31T23:59:59Z", "to"),
    ),
)
async def test_bad_questions_are_refused(api: Api, merchant: Merchant, query: str, param: str) -> None:
    answer = await api.call("GET", STATS + query, token=merchant.token)
    assert (answer.status, answer.code, answer.json["param"]) == (400, "validation_error", param)


async def test_only_the_dashboard_may_ask(api: Api, merchant: Merchant) -> None:
    assert (await api.call("GET", STATS)).status == 401
    assert (await api.call("GET", STATS, key=merchant.api_key)).status == 403
