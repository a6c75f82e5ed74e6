"""GET /metrics: what moves with a payment, and who may read it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api

TOKEN = "a token of these tests that is long enough"
PRODUCTION = {
    "PAYLOOPS_ENV": "production",
    "DATABASE_URL": "postgresql://replaced.by.the.test/db",
    "JWT_SECRET": "Zk3vQ8xTn1LpYw6RbS0dHg5uJc7mXa2E",
    "ENCRYPTION_KEY": "p9WqLr4NzT8yVb1KsD6hGf3jMx0cUa5R",
    "TEMPORAL_ADDRESS": "127.0.0.1:1",
    "PUBLIC_URL": "https://pay.example.com",
}


async def read(api: Api) -> dict[tuple[str, tuple[str, ...]], float]:
    """The samples by name and label values, in the order of the labels' names."""
    answer = await api.call("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.raw.decode())
        for sample in family.samples
    }


async def status(api: Api, **headers: str) -> int:
    return (await api.call("GET", "/metrics", headers=headers)).status


async def test_a_payment_moves_its_metrics(api: Api, merchant: Merchant) -> None:
    before = await read(api)
    await api.captured_order(merchant, amount=4999, currency="USD")
    failed = await api.paid_order(merchant)
    await api.failed(failed["id"])
    after = await read(api)

    def moved(name: str, *labels: str) -> float:
        return after.get((name, labels), 0) - before.get((name, labels), 0)

    assert moved("payment_attempts_total", "USD", "stripe", "captured") == 1
    assert moved("payment_attempts_total", "USD", "stripe", "failed") == 1
    assert moved("payment_amount_total", "USD", "stripe") == 4999
    assert moved("payment_latency_seconds_count", "stripe", "captured") == 1
    assert moved("http_requests_total", "POST", "/v1/orders/:id/pay", "200") == 2
    assert moved("http_request_duration_seconds_count", "POST", "/v1/orders/:id/pay") == 2
    assert moved("append_batch_commands_sum") >= 6
    assert after["outbox_due_rows", ()] == 2


async def test_an_unknown_path_makes_no_series_of_its_own(api: Api) -> None:
    for method in ("GET", "PROPFIND"):
        await api.call(method, "/no/such/path")
    assert not [
        labels for _, labels in await read(api) if any("such" in label or label == "PROPFIND" for label in labels)
    ]


async def test_with_a_token_only_its_bearer_reads(test_database: TestDatabase) -> None:
    async with open_api(test_database, METRICS_TOKEN=TOKEN) as api:
        assert await status(api) == 401
        assert await status(api, Authorization=f"Bearer {TOKEN}x") == 401
        assert await status(api, Authorization="Bearer ünknown") == 401
        assert await status(api, Authorization=f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize(("header", "expected"), (({}, 200), ({"X-Forwarded-For": "203.0.113.9"}, 404)))
async def test_in_production_a_stranger_finds_nothing(
    test_database: TestDatabase, header: dict[str, str], expected: int
) -> None:
    async with open_api(test_database, **PRODUCTION) as api:
        assert await status(api, **header) == expected
