"""A request that waited, whose last word can't be kept: it is answered with what its key will give."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import IdempotencyKey, Response
from payloops.errors import Unavailable
from tests.databases import TestDatabase
from tests.integration.http.world import Answer, Api, Merchant, open_api

KEY = {"Idempotency-Key": "the-key"}


async def pay(api: Api, merchant: Merchant, order_id: str) -> Answer:
    headers = {**KEY, "Prefer": "wait=20"}
    return await api.call("POST", f"/v1/orders/{order_id}/pay", {}, key=merchant.api_key, headers=headers)


def end_flight(database: TestDatabase) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        connection.execute("UPDATE idempotency_keys SET in_flight_until = clock_timestamp()")


async def paid_meanwhile(api: Api, merchant: Merchant, database: TestDatabase) -> tuple[Answer, Answer]:
    """The answer of a pay whose flight ended while it waited, and a replay of it."""
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    paying = asyncio.create_task(pay(api, merchant, order["id"]))
    await api.reached(order["id"], 2)
    end_flight(database)
    await api.captured(order["id"], 1000)
    first = await paying
    again = await pay(api, merchant, order["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    return first, again


async def test_a_last_word_that_comes_too_late_is_not_told(test_database: TestDatabase) -> None:
    async with open_api(test_database) as api:
        first, again = await paid_meanwhile(api, await api.merchant(), test_database)
    assert (first.status, first.raw) == (again.status, again.raw)
    assert first.json["status"] == "processing"


async def test_a_last_word_that_can_not_be_kept_is_not_told(
    test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: CommandHandler, key: IdempotencyKey, response: Response) -> bool:
        raise Unavailable("The database can't serve at the moment.")

    async with open_api(test_database) as api:
        merchant = await api.merchant()
        monkeypatch.setattr(CommandHandler, "finish", away)
        first, again = await paid_meanwhile(api, merchant, test_database)
    assert (first.status, first.raw) == (again.status, again.raw)
