"""Orders and transactions as CSV: whole, for spreadsheets, and no more of it in memory than a batch."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from payloops.projections import order_export
from payloops.projections.order_export import cell
from tests.integration.http.world import Api, Merchant

EXPORT = "/api/dashboard/export"


async def exported(api: Api, merchant: Merchant, query: str = "") -> list[dict[str, str]]:
    answer = await api.call("GET", f"{EXPORT}{query}", token=merchant.token)
    assert answer.status == 200, answer.raw
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "attachment; filename=" in answer.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(answer.raw.decode(), newline="")))


async def test_all_orders_are_exported_in_batches(
    api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_export, "BATCH_ORDERS", 2)
    await api.new_order(await api.merchant())
    orders = [
        await api.new_order(merchant, amount=100 + number, description=f'a "b", {number}\n') for number in range(5)
    ]
    live = await api.new_key(merchant.token, mode="live")
    orders.append((await api.call("POST", "/v1/orders", {"amount": 1}, key=live["secret"])).must(201))
    rows = await exported(api, merchant, "?format=csv&type=orders")
    assert tuple(rows[0]) == order_export.ORDER_COLUMNS
    assert [row["id"] for row in rows] == [order["id"] for order in reversed(orders)]
    assert [row["mode"] for row in rows] == ["live", *["test"] * 5]
    assert (rows[1]["amount"], rows[1]["description"], rows[1]["currency"]) == ("104", 'a "b", 4\n', "USD")
    begin, end = orders[1]["createdAt"], orders[3]["createdAt"]
    inside = [order["id"] for order in orders if begin <= order["createdAt"] < end]
    assert [row["id"] for row in await exported(api, merchant, f"?from={begin}&to={end}")] == inside[::-1]


async def test_transactions_are_those_of_the_orders(api: Api, merchant: Merchant) -> None:
    held = await api.paid_order(merchant, captureMethod="manual", externalId="A-1")
    await api.authorized(held["id"], 1000)
    (await api.call("POST", f"/v1/orders/{held['id']}/capture", {}, key=merchant.api_key)).must(200)
    rows = await exported(api, merchant, "?type=transactions")
    assert tuple(rows[0]) == order_export.TRANSACTION_COLUMNS
    assert [(row["orderId"], row["externalId"], row["type"], row["status"], row["amount"]) for row in rows] == [
        (held["id"], "A-1", "authorization", "success", "1000"),
        (held["id"], "A-1", "capture", "pending", "1000"),
    ]


@pytest.mark.parametrize("text", ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "＝1"))
async def test_no_cell_is_a_formula(api: Api, merchant: Merchant, text: str) -> None:
    await api.new_order(merchant, description=text, externalId=text.strip() or "x")
    (row,) = await exported(api, merchant)
    assert row["description"] == f"'{text}"
    assert row["externalId"].startswith("'")


@pytest.mark.parametrize(("value", "shown"), ((None, ""), (-5, -5), (7, 7), ("plain", "plain"), ("a=b", "a=b")))
def test_what_is_no_formula_stays_as_it_is(value: Any, shown: Any) -> None:
    assert cell(value) == shown


async def test_exports_are_counted(api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_export, "EXPORTS_PER_MERCHANT_MAX", 0)
    refused = await api.call("GET", EXPORT, token=merchant.token)
    assert (refused.status, refused.code) == (429, "rate_limited")
    monkeypatch.setattr(order_export, "EXPORTS_PER_MERCHANT_MAX", 1)
    for _ in range(2):
        assert await exported(api, merchant) == []
    assert not api.services.analytics.exports._running


@pytest.mark.parametrize(
    ("query", "param"),
    (("?format=xls", "format"), ("?type=secrets", "type"), ("?from=2091-01-01", "from"), ("?to=then", "to")),
)
async def test_bad_questions_are_refused(api: Api, merchant: Merchant, query: str, param: str) -> None:
    answer = await api.call("GET", EXPORT + query, token=merchant.token)
    assert (answer.status, answer.json["param"]) == (400, param)
