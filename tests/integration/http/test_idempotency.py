"""Idempotency keys over HTTP: one effect, one answer."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.http.world import Answer, Api, Merchant


async def create(api: Api, merchant: Merchant, key: str, body: object = None, **headers: str) -> Answer:
    return await api.call(
        "POST", "/v1/orders", body or {"amount": 7}, key=merchant.api_key, headers={"Idempotency-Key": key, **headers}
    )


async def count_orders(api: Api, merchant: Merchant) -> int:
    return len((await api.call("GET", "/v1/orders?limit=100", key=merchant.api_key)).must(200)["data"])


async def test_a_replay_is_the_first_answer_byte_for_byte(api: Api, merchant: Merchant) -> None:
    first = await create(api, merchant, "k", {"amount": 7, "metadata": {"b": 1, "a": 2}})
    again = await create(api, merchant, "k", {"metadata": {"a": 2, "b": 1}, "amount": 7})
    assert (first.status, again.status) == (201, 201)
    assert again.raw == first.raw
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Correlation-ID"] != first.headers["X-Correlation-ID"]
    assert await count_orders(api, merchant) == 1


async def test_another_body_is_a_mismatch(api: Api, merchant: Merchant) -> None:
    (await create(api, merchant, "k", {"amount": 7})).must(201)
    answer = await create(api, merchant, "k", {"amount": 8})
    assert (answer.status, answer.code) == (422, "idempotency_mismatch")
    assert await count_orders(api, merchant) == 1


async def test_keys_are_apart_by_merchant_and_path(api: Api, merchant: Merchant) -> None:
    other = await api.merchant()
    first = (await create(api, merchant, "k")).must(201)
    second = (await create(api, other, "k")).must(201)
    assert first["id"] != second["id"]
    headers = {"Idempotency-Key": "k"}
    cancelled = await api.call("POST", f"/v1/orders/{first['id']}/cancel", key=merchant.api_key, headers=headers)
    assert cancelled.must(200)["status"] == "cancelled"
    assert "Idempotent-Replayed" not in cancelled.headers


async def test_an_empty_body_and_an_empty_object_are_the_same_request(api: Api, merchant: Merchant) -> None:
    order = await api.new_order(merchant)
    path, headers = f"/v1/orders/{order['id']}/cancel", {"Idempotency-Key": "k"}
    first = await api.call("POST", path, key=merchant.api_key, headers=headers)
    again = await api.call("POST", path, {}, key=merchant.api_key, headers=headers)
    assert first.must(200) == again.must(200)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_concurrent_requests_with_one_key_have_one_effect(api: Api, merchant: Merchant) -> None:
    answers = await asyncio.gather(*(create(api, merchant, "k") for _ in range(20)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert {answer.code for answer in answers if answer.status == 409} <= {"idempotency_in_flight"}
    assert len({answer.raw for answer in answers if answer.status == 201}) == 1
    assert await count_orders(api, merchant) == 1


@pytest.mark.parametrize("key", ("x" * 256, "ключ".encode().decode("latin-1"), "a\tb"))
async def test_a_key_that_is_none_is_refused(api: Api, merchant: Merchant, key: str) -> None:
    answer = await create(api, merchant, key)
    assert (answer.status, answer.json["param"]) == (400, "Idempotency-Key")
    assert await count_orders(api, merchant) == 0


async def test_refusals_are_not_kept(api: Api, merchant: Merchant) -> None:
    assert (await create(api, merchant, "k", {"amount": 0})).status == 400
    (await create(api, merchant, "k", {"amount": 1})).must(201)
    path = f"/v1/orders/{new_id()}/cancel"
    for _ in range(2):
        answer = await api.call("POST", path, key=merchant.api_key, headers={"Idempotency-Key": "k"})
        assert answer.status == 404


async def test_a_waiting_request_holds_its_key_until_its_last_word(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    path = f"/v1/orders/{order['id']}/pay"
    headers = {"Idempotency-Key": "k", "Prefer": "wait=20"}
    first = asyncio.create_task(api.call("POST", path, key=merchant.api_key, headers=headers))
    await api.reached(order["id"], 2)
    meanwhile = await api.call("POST", path, key=merchant.api_key, headers=headers)
    assert (meanwhile.status, meanwhile.code) == (409, "idempotency_in_flight")
    await api.captured(order["id"], 1000)
    done = await first
    assert done.must(200)["status"] == "captured"
    again = await api.call("POST", path, key=merchant.api_key, headers=headers)
    assert (again.status, again.raw) == (200, done.raw)
    assert again.headers["ETag"] == done.headers["ETag"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Preference-Applied"] == "wait=20"


async def test_a_client_that_goes_away_leaves_a_finished_request(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    path = f"/v1/orders/{order['id']}/pay"
    headers = {"Idempotency-Key": "k", "Prefer": "wait=20"}
    first = asyncio.create_task(api.call("POST", path, key=merchant.api_key, headers=headers))
    await api.reached(order["id"], 2)
    first.cancel()
    await asyncio.wait([first])
    await api.captured(order["id"], 1000)
    answer = await api.call("POST", path, key=merchant.api_key, headers=headers)
    for _ in range(100):
        if answer.status != 409:
            break
        await asyncio.sleep(0.02)
        answer = await api.call("POST", path, key=merchant.api_key, headers=headers)
    assert answer.must(200)["status"] == "captured"


async def test_a_shown_secret_is_kept_sealed_and_replayed_as_it_was(
    api: Api, merchant: Merchant, test_database: TestDatabase
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await api.call("POST", "/api/api-keys", {"name": "x"}, token=merchant.token, headers=headers)
    again = await api.call("POST", "/api/api-keys", {"name": "x"}, token=merchant.token, headers=headers)
    assert (again.status, again.raw) == (201, first.raw)
    assert len((await api.call("GET", "/api/api-keys", token=merchant.token)).must(200)) == 2
    with psycopg.connect(test_database.app_dsn) as connection:
        rows = connection.execute("SELECT response_body FROM idempotency_keys").fetchall()
    assert rows
    assert not any(first.json["secret"] in row[0] for row in rows)


async def test_processor_writes_are_replayed(api: Api, merchant: Merchant) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"credentials": {"secretKey": "sk_test_1"}}
    for path, method in (("/api/processors/stripe", "POST"), ("/api/processors/stripe", "DELETE")):
        first = await api.call(method, path, body, token=merchant.token, headers=headers)
        again = await api.call(method, path, body, token=merchant.token, headers=headers)
        assert first.status in {200, 204}
        assert (again.status, again.raw) == (first.status, first.raw)
        assert again.headers["Idempotent-Replayed"] == "true"
