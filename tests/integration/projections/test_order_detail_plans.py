"""How the database finds the parts of an order's detail, in tables with many orders of few merchants."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.projections.order_detail import _sql

MANY: Final = """
INSERT INTO orders (
    id, merchant_id, version, test_mode, external_id, amount, currency, status, amount_captured, amount_refunded,
    metadata, capture_method, outcome_unknown, created_at, updated_at)
SELECT md5('o' || n)::uuid, md5('m' || n % 2)::uuid, 1, true, 'x', 100, 'USD', 'captured', 100, 0, '{}', 'automatic',
    false, now() - n * interval '1 second', now()
FROM generate_series(0, 9999) n;
INSERT INTO refunds (id, order_id, merchant_id, version, amount, status, outcome_unknown, created_at, updated_at)
SELECT md5('r' || n)::uuid, md5('o' || n / 2)::uuid, md5('m' || n / 2 % 2)::uuid, n % 2, 1, 'success',
    false, now(), now()
FROM generate_series(0, 19999) n;
INSERT INTO transactions (id, order_id, merchant_id, version, type, amount, status, created_at, updated_at)
SELECT md5('t' || n)::uuid, md5('o' || n / 2)::uuid, md5('m' || n / 2 % 2)::uuid, n % 2, 'refund', 1,
    'success', now(), now()
FROM generate_series(0, 19999) n;
INSERT INTO webhook_deliveries (
    id, merchant_id, endpoint_id, url, order_id, event_id, event_type, sequence, status, attempts, round, workflow_id,
    correlation_id, created_at, updated_at)
SELECT md5('d' || n)::uuid, md5('m' || n / 2 % 2)::uuid, md5('e' || n % 50)::uuid, 'https://x.example',
    md5('o' || n / 2)::uuid, md5(n::text)::uuid, 'payment.captured', n % 2, 'delivered', 1, 1, 'w', 'c',
    now() - n * interval '1 second', now()
FROM generate_series(0, 19999) n;
INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, due_at)
SELECT md5('w' || n)::uuid, 'payment-' || n, 'stripe:' || md5('m' || n % 2)::uuid, 'wake', '{}', 'c',
    now() + interval '1 h'
FROM generate_series(0, 9999) n;
ANALYZE orders, refunds, transactions, webhook_deliveries, outbox
"""
INDEXES: Final = {
    "order_detail": (
        "orders_pkey",
        "stored_events_pkey",
        "refunds_order_idx",
        "transactions_order_idx",
        "webhook_deliveries_order_idx",
    ),
    "next_ask": ("outbox_key_idx",),
}


async def test_every_part_has_its_index(database: Database) -> None:
    async with database.connection() as connection:
        for statement in MANY.split(";"):
            await connection.execute(statement)
        cursor = await connection.execute("SELECT id, merchant_id FROM orders OFFSET 4321 LIMIT 1")
        order_id, merchant_id = (await cursor.fetchall())[0]
        parameters: dict[str, Any] = {
            "order": order_id,
            "merchant": merchant_id,
            "limit": 101,
            "deliveries": 21,
            "workflows": ["payment-77"],
        }
        # As a prepared statement that was used often has it.
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for block, indexes in INDEXES.items():
            cursor = await connection.execute("EXPLAIN " + _sql(block), parameters)
            plan = "\n".join(row[0] for row in await cursor.fetchall())
            for index in indexes:
                assert index in plan, f"{block}: no {index}\n{plan}"
            assert "Seq Scan" not in plan, f"{block}:\n{plan}"
            assert "merchant_idx" not in plan, f"{block}:\n{plan}"
        cursor = await connection.execute(_sql("order_detail"), parameters)
        (found,) = await cursor.fetchall()
    assert UUID(found[0]) == order_id


async def test_young_statistics_mislead_nobody(database: Database) -> None:
    """Of tables that were empty when it looked, the planner believes that to walk all that a merchant has is quick."""
    parameters = {"order": UUID(int=1), "merchant": UUID(int=2), "limit": 101, "deliveries": 21}
    async with database.connection() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        cursor = await connection.execute("EXPLAIN " + _sql("order_detail"), parameters)
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert "webhook_deliveries_merchant_idx" not in plan, plan


def test_every_query_is_looked_at() -> None:
    assert set(INDEXES) == set(load_sql("payloops.projections", "order_detail"))
