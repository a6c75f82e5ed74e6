"""The audit trail of a merchant."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from payloops.projections import audit_log
from payloops.projections.audit import MASK
from tests.integration.http.world import Api, Merchant

FIELDS = {
    *("position", "id", "streamId", "streamVersion", "type", "occurredAt", "recordedAt", "actor", "correlationId"),
    *("causationId", "data"),
}


async def trail(api: Api, merchant: Merchant, query: str = "") -> Any:
    return (await api.call("GET", f"/api/audit{query}", token=merchant.token)).must(200)


async def test_the_trail_is_whole_newest_first_and_paged(
    api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a reader has more than one batch to catch up with.
    monkeypatch.setattr(audit_log, "BATCH_EVENTS", 3)
    order = await api.captured_order(merchant, customerEmail="jane@shop.example")
    other = await api.merchant()
    await api.captured_order(other)
    answer = await trail(api, merchant)
    entries = answer["data"]
    assert [entry["type"] for entry in entries] == [
        "order.payment_captured",
        "order.payment_started",
        "order.created",
        "merchant.processor_configured",
        "merchant.api_key_created",
        "merchant.registered",
    ]
    assert all(set(entry) == FIELDS for entry in entries)
    assert entries[2]["data"]["customerEmail"] == MASK
    assert (answer["hasMore"], answer["nextCursor"]) == (False, None)
    first = await trail(api, merchant, "?limit=4")
    rest = await trail(api, merchant, f"?limit=4&cursor={first['nextCursor']}")
    assert first["data"] + rest["data"] == entries
    assert order["id"] == entries[0]["streamId"]


async def test_what_is_asked_for_is_found(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant)
    await api.captured_order(merchant)
    everything = (await trail(api, merchant))["data"]
    created = next(entry for entry in everything if entry["streamId"] == order["id"] and entry["streamVersion"] == 1)
    later = quote(everything[2]["recordedAt"])
    cases = {
        "type=order.created": {"order.created"},
        f"orderId={order['id']}": {"order.created", "order.payment_started", "order.payment_captured"},
        f"actor={merchant.api_key_id}": {"order.created", "order.payment_started"},
        f"correlationId={created['correlationId']}": {"order.created"},
        f"type=order.created&orderId={order['id']}": {"order.created"},
        "to=2001-01-01": set(),
        "from=2091-01-01": set(),
        "actor=nobody": set(),
    }
    for query, types in cases.items():
        found = (await trail(api, merchant, f"?{query}"))["data"]
        assert {entry["type"] for entry in found} == types, query
    assert (await trail(api, merchant, f"?orderId={order['id']}"))["data"] == [
        entry for entry in everything if entry["streamId"] == order["id"]
    ]
    newest = (await trail(api, merchant, f"?from={later}"))["data"]
    assert newest == everything[: len(newest)]
    assert len(newest) >= 1
    before = (await trail(api, merchant, f"?to={later}"))["data"]
    assert newest + before == everything


async def test_nobody_sees_anothers_trail(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant)
    other = await api.merchant()
    for query in (f"orderId={order['id']}", f"actor={merchant.api_key_id}"):
        assert (await trail(api, other, f"?{query}"))["data"] == []
    assert (await api.call("GET", "/api/audit", key=merchant.api_key)).status == 403
    assert (await api.call("GET", "/api/audit?orderId=1", token=merchant.token)).status == 400
