"""`payloops projections verify` finds what was changed behind the log's back, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from payloops.commands import order as orders
from payloops.commands import order_results as results
from payloops.commands.handlers import Guard
from payloops.db import Database
from payloops.errors import PayloopsError
from payloops.projections import verify as verification
from payloops.projections.verify import Difference, Report
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.handlers.world import MERCHANT, Process, create_key, pay, process, rename, said_by
from tests.integration.store.appends import append, query
from tests.replay import assert_replay_equals_tables, replay_report


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Process]:
    async with process(database_url) as made:
        yield made


@pytest.fixture
async def shop(here: Process) -> Guard:
    return await here.merchant()


async def busy_order(here: Process, shop: Guard) -> Any:
    """An order with a row in every table that orders write to."""
    order_id = await here.order(shop, 1000, metadata={"cart": {"items": [1, 2.5, None, "ü"]}}, description="tea")
    await here.do(order_id, pay(order_id))
    await here.do(order_id, results.RecordFailed(order_id, attempt=1, code="declined", message="no", **said_by()))
    await here.do(order_id, pay(order_id, "pm_other"))
    await here.do(
        order_id,
        results.RecordCaptured(order_id, attempt=2, amount=1000, surplus_refund_id=new_id(), **said_by()),
    )
    refund_id = new_id()
    await here.do(order_id, orders.RefundPayment(order_id, refund_id=refund_id, amount=300, **said_by()))
    await here.do(order_id, results.RecordRefundSucceeded(order_id, refund_id=refund_id, **said_by()))
    await here.do(order_id, orders.RefundPayment(order_id, refund_id=new_id(), amount=200, **said_by()))
    return order_id


async def tampered(database: Database, statement: str, *parameters: Any) -> Report:
    assert await query(database, statement, *parameters), "nothing was changed"
    return await replay_report(database)


async def test_an_empty_database_is_fine(database: Database) -> None:
    report = await assert_replay_equals_tables(database)
    assert (report.events, report.streams) == (0, 0)
    assert set(report.rows.values()) == {0}


async def test_everything_is_compared(here: Process, shop: Guard, database: Database) -> None:
    for _ in range(3):
        await busy_order(here, shop)
    report = await assert_replay_equals_tables(database)
    assert report.events == await here.store.head()
    assert report.streams == 1 + 3
    # As many as quarters of an hour went by meanwhile, at least.
    for counts in ("order_stats", "order_stats_daily", "captures_so_far"):
        assert report.rows.pop(counts) >= 1
    assert report.rows == {
        "orders": 3,
        "transactions": 12,
        "refunds": 6,
        "merchants": 1,
        "api_keys": 1,
        "processor_configs": 0,
        "public_events": 21,
        "checkout_sessions": 0,
        "processor_events": 0,
        "webhook_endpoints": 0,
        "webhook_deliveries": 0,
        "webhook_attempts": 0,
    }


async def test_small_pages_and_batches_compare_the_same(
    here: Process, shop: Guard, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await busy_order(here, shop)
    whole = await replay_report(database)
    for pages, streams in ((1, 1), (3, 2), (7, 100)):
        monkeypatch.setattr(verification, "PAGE_EVENTS", pages)
        monkeypatch.setattr(verification, "BATCH_STREAMS", streams)
        assert await replay_report(database) == whole


CHANGES = [
    ("orders", "status", "'refunded'"),
    ("orders", "amount_captured", "999"),
    ("orders", "version", "version + 1"),
    ("orders", "metadata", """'{"cart": {"items": [1, 2, null, "ü"]}}'"""),
    ("orders", "description", "NULL"),
    ("orders", "outcome_unknown", "NOT outcome_unknown"),
    ("orders", "updated_at", "updated_at + interval '1 millisecond'"),
    ("orders", "merchant_id", "gen_random_uuid()"),
    ("refunds", "status", "'failed'"),
    ("transactions", "error_code", "'other'"),
    ("merchants", "name", "'Other'"),
    ("api_keys", "scopes", """'["orders:read"]'"""),
]


@pytest.mark.parametrize("change", CHANGES, ids=[f"{table}.{column}" for table, column, _ in CHANGES])
async def test_a_changed_column_is_found(
    here: Process, shop: Guard, database: Database, change: tuple[str, str, str]
) -> None:
    await busy_order(here, shop)
    table, column, value = change
    first = f"SELECT id FROM {table} ORDER BY id LIMIT 1"
    report = await tampered(database, f"UPDATE {table} SET {column} = {value} WHERE id = ({first}) RETURNING id")
    assert [(found.table, found.column) for found in report.differences] == [(table, column)]
    assert report.difference_count == 1
    assert report.differences[0].expected != report.differences[0].found


COUNTS = [
    ("order_stats", "pending"),
    ("order_stats", "refunded_amount"),
    ("order_stats_daily", "failed"),
    ("order_stats_daily", "captured_amount"),
    ("captures_so_far", "captures"),
    ("captures_so_far", "captured_amount"),
]


@pytest.mark.parametrize("count", COUNTS, ids=[f"{table}.{column}" for table, column in COUNTS])
async def test_a_changed_count_is_found(here: Process, shop: Guard, database: Database, count: tuple[str, str]) -> None:
    await busy_order(here, shop)
    table, column = count
    one = f"SELECT ctid FROM {table} ORDER BY bucket LIMIT 1"
    report = await tampered(
        database, f"UPDATE {table} SET {column} = {column} + 7 WHERE ctid = ({one}) RETURNING bucket"
    )
    ((found,), count_of_them) = report.differences, report.difference_count
    assert (found.table, found.column, found.found - found.expected, count_of_them) == (table, column, 7, 1)


@pytest.mark.parametrize("table", ["order_stats", "order_stats_daily", "captures_so_far"])
async def test_missing_counts_are_found(here: Process, shop: Guard, database: Database, table: str) -> None:
    await busy_order(here, shop)
    report = await tampered(database, f"DELETE FROM {table} RETURNING bucket")
    assert {found.table for found in report.differences} == {table}


@pytest.mark.parametrize("table", ["orders", "transactions", "refunds", "merchants", "api_keys"])
async def test_a_missing_row_is_found(here: Process, shop: Guard, database: Database, table: str) -> None:
    await busy_order(here, shop)
    report = await tampered(database, f"DELETE FROM {table} WHERE id = (SELECT id FROM {table} LIMIT 1) RETURNING id")
    assert len(report.differences) == 1
    found = report.differences[0]
    assert (found.table, found.column, found.found) == (table, None, None)


async def test_a_row_too_many_is_found(here: Process, shop: Guard, database: Database) -> None:
    order_id, stray = await busy_order(here, shop), new_id()
    copy = "SELECT %s, {}, merchant_id, version, type, amount, status, NULL, NULL, NULL, created_at, updated_at"
    insert = f"INSERT INTO transactions {copy} FROM transactions LIMIT 1 RETURNING id"
    report = await tampered(database, insert.format("order_id"), stray)
    assert report.differences == [Difference("transactions", str(stray), None, None, "a row")]
    orphan = new_id()
    report = await tampered(database, insert.format("gen_random_uuid()"), orphan)
    assert {found.key for found in report.differences} == {str(stray), str(orphan)}
    assert report.difference_count == 2
    assert order_id


async def test_a_row_under_a_stream_of_another_kind_is_found(here: Process, shop: Guard, database: Database) -> None:
    await busy_order(here, shop)
    report = await tampered(
        database,
        "INSERT INTO transactions SELECT gen_random_uuid(), %s, merchant_id, version, type, amount, status, NULL, NULL,"
        " NULL, created_at, updated_at FROM transactions LIMIT 1 RETURNING id",
        shop.merchant_id,
    )
    assert [(found.table, found.found) for found in report.differences] == [("transactions", "a row")]


async def test_broken_money_is_named(
    here: Process, shop: Guard, test_database: TestDatabase, database: Database
) -> None:
    order_id = await busy_order(here, shop)
    with psycopg.connect(test_database.owner_dsn, autocommit=True) as owner:
        for (name,) in owner.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype = 'c'"
        ).fetchall():
            owner.execute(psycopg.sql.SQL("ALTER TABLE orders DROP CONSTRAINT {}").format(psycopg.sql.Identifier(name)))
    report = await tampered(database, "UPDATE orders SET amount_captured = 100 RETURNING id")
    assert set(report.violations) == {
        f"order {order_id}: 0 <= refunded <= captured <= amount does not hold",
        f"order {order_id}: its refunds, pending ones included, exceed what was captured",
    }
    report = await tampered(database, "UPDATE orders SET amount_captured = 1000, amount_refunded = 0 RETURNING id")
    assert report.violations == [f"order {order_id}: amount_refunded is not the sum of its refunds"]


async def test_a_broken_head_is_named(here: Process, shop: Guard, database: Database) -> None:
    report = await tampered(database, "UPDATE log_head SET position = position + 1 RETURNING position")
    assert report.violations == ["log_head says 3, the last event is at 2"]


async def test_holes_in_the_log_are_named(here: Process, shop: Guard, database: Database) -> None:
    merchant_id = shop.merchant_id
    for _ in range(2):
        await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id))
    await query(
        database,
        "INSERT INTO stored_events SELECT originator_id, originator_version + 2, topic, state, notification_id + 5,"
        " recorded_at FROM stored_events WHERE originator_version = 4 RETURNING originator_id",
    )
    report = await replay_report(database)
    assert any("positions 1 to 9: some are missing" in sentence for sentence in report.violations)
    assert any("version 6" in sentence and "follows version 4" in sentence for sentence in report.violations)


async def test_an_event_that_nobody_knows_is_named_and_the_rest_is_compared(
    here: Process, shop: Guard, database: Database
) -> None:
    await here.store.append(append(count=2))
    report = await replay_report(database)
    assert len(report.violations) == 1
    assert "test.happened.v1" in report.violations[0]
    report = await tampered(database, "UPDATE merchants SET name = 'Other' RETURNING id")
    assert [found.column for found in report.differences] == ["name"]


async def test_a_claim_without_its_account_is_named(here: Process, shop: Guard, database: Database) -> None:
    report = await tampered(database, "INSERT INTO claims VALUES ('email:x', gen_random_uuid()) RETURNING owner")
    assert report.violations == ["claim email:x: its owner has no stream"]


async def test_many_differences_are_counted_and_some_are_named(
    here: Process, shop: Guard, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "REPORTED_MAX", 5)
    for _ in range(20):
        await here.order(shop)
    report = await tampered(database, "UPDATE orders SET description = 'x' RETURNING id")
    assert (report.difference_count, len(report.differences), report.ok) == (20, 5, False)


async def test_it_runs_while_others_write(
    here: Process, shop: Guard, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of streams and that of their rows, both change: a batch is one moment's.

    Streams go on being made, and yet it comes to an end.
    """
    monkeypatch.setattr(verification, "PAGE_EVENTS", 5)
    monkeypatch.setattr(verification, "BATCH_STREAMS", 2)
    order_ids = [await here.order(shop) for _ in range(6)]
    real = verification._compare
    written = 0

    async def write_and_compare(*arguments: Any) -> None:
        nonlocal written
        for order_id in order_ids:
            cancel = orders.CancelOrder(order_id, **said_by()) if written else pay(order_id)
            with contextlib.suppress(PayloopsError):
                await here.do(order_id, cancel)
        await here.handler.execute(MERCHANT, shop.merchant_id, create_key(shop.merchant_id, new_id()))
        await here.order(shop)
        written += 1
        await real(*arguments)

    monkeypatch.setattr(verification, "_compare", write_and_compare)
    report = await assert_replay_equals_tables(database)
    assert 7 <= report.streams <= 8
    assert written == 4
