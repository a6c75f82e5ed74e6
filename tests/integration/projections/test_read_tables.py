"""Events to rows: what each history leaves in the read tables of a real Postgres, written by the append itself."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.rows import dict_row

from payloops.bootstrap.core import merchant_aggregate, order_aggregate
from payloops.commands.handlers import Aggregate, fold
from payloops.db import Database
from payloops.events import merchant as m
from payloops.events import order as o
from payloops.events.base import Event
from payloops.events.store import Append, EventStore, Outcome
from tests.replay import assert_replay_equals_tables
from tests.spec import AUTHORIZED, CAPTURED, ORDER_ID, REFUND_ID, SURPLUS_REFUND_ID, event, numbered

Row = dict[str, Any]

CREATED = event(o.OrderCreated)
STARTED = event(o.PaymentStarted)

ID_2 = UUID(int=77)


async def write(database: Database, *history: Event) -> None:
    """Append the history as one command does, event by event, so that each row is written and then written over."""
    of_merchant = type(history[0]).__module__ == m.__name__
    aggregate = cast("Aggregate[Any, Any]", merchant_aggregate() if of_merchant else order_aggregate())
    store = EventStore(database)
    await store.open(listen=False)
    state: Any = aggregate.initial
    try:
        for happened in numbered(history):
            state, rows = fold(aggregate, state, (happened,))
            appended = await store.append(Append([store.to_stored(happened)], rows))
            assert appended.outcome is Outcome.APPENDED
    finally:
        await store.close()
    await assert_replay_equals_tables(database)


async def read(database: Database, table: str, *columns: str, order: str) -> list[Row]:
    async with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(names, sql.Identifier(table), sql.Identifier(order))
        await cursor.execute(query)
        return await cursor.fetchall()


async def transactions(database: Database, *history: Event) -> list[tuple[str, int, str]]:
    await write(database, *history)
    rows = await read(database, "transactions", "type", "amount", "status", order="version")
    return [(row["type"], row["amount"], row["status"]) for row in rows]


TRANSACTIONS: dict[str, tuple[tuple[Event, ...], list[tuple[str, int, str]]]] = {
    "an automatic payment is one capture": (CAPTURED, [("capture", 1000, "success")]),
    "a payment under way is a pending capture": ((CREATED, STARTED), [("capture", 1000, "pending")]),
    "a failed payment is a failed capture": (
        (CREATED, STARTED, event(o.PaymentFailed)),
        [("capture", 1000, "failed")],
    ),
    "each attempt has its own": (
        (
            CREATED,
            STARTED,
            event(o.PaymentFailed),
            event(o.PaymentStarted, attempt=2),
            event(o.PaymentCaptured, attempt=2),
        ),
        [("capture", 1000, "failed"), ("capture", 1000, "success")],
    ),
    "a manual payment is an authorization": (AUTHORIZED, [("authorization", 1000, "success")]),
    "its capture may take less": (
        (*AUTHORIZED, event(o.CaptureRequested, amount=700), event(o.PaymentCaptured, amount=700)),
        [("authorization", 1000, "success"), ("capture", 700, "success")],
    ),
    "a refused capture is a failed one, and the next is another": (
        (
            *AUTHORIZED,
            event(o.CaptureRequested, amount=900),
            event(o.CaptureFailed),
            event(o.CaptureRequested, amount=800),
        ),
        [("authorization", 1000, "success"), ("capture", 900, "failed"), ("capture", 800, "pending")],
    ),
    "a void releases what is held": (
        (*AUTHORIZED, event(o.CancelRequested), event(o.OrderCancelled, released=1000)),
        [("authorization", 1000, "success"), ("void", 1000, "success")],
    ),
    "a refused void is a failed one": (
        (*AUTHORIZED, event(o.CancelRequested), event(o.CancelFailed)),
        [("authorization", 1000, "success"), ("void", 1000, "failed")],
    ),
    "a called-off payment took nothing": (
        (CREATED, STARTED, event(o.PaymentActionRequired), event(o.CancelRequested), event(o.OrderCancelled)),
        [("capture", 1000, "failed")],
    ),
    "a refund is pending, then done": (
        (*CAPTURED, event(o.RefundRequested, amount=300), event(o.RefundSucceeded)),
        [("capture", 1000, "success"), ("refund", 300, "success")],
    ),
    "a refund told by its amount shrinks when a part of it is named": (
        (
            *CAPTURED,
            event(o.RefundDiscovered, amount=500, processor_refund_id=None),
            event(o.RefundSucceeded, processor_refund_id=None),
            event(o.RefundDiscovered, refund_id=ID_2, amount=200, counted_before={str(REFUND_ID): 200}),
            event(o.RefundSucceeded, refund_id=ID_2),
        ),
        [("capture", 1000, "success"), ("refund", 300, "success"), ("refund", 200, "success")],
    ),
    "one that was others altogether counts no more": (
        (
            *CAPTURED,
            event(o.RefundDiscovered, amount=500, processor_refund_id=None),
            event(o.RefundSucceeded, processor_refund_id=None),
            event(o.RefundDiscovered, refund_id=ID_2, amount=600, counted_before={str(REFUND_ID): 500}),
            event(o.RefundSucceeded, refund_id=ID_2),
        ),
        [("capture", 1000, "success"), ("refund", 500, "failed"), ("refund", 600, "success")],
    ),
    "a dispute is pending while it is open": (
        (*CAPTURED, event(o.DisputeOpened, amount=900)),
        [("capture", 1000, "success"), ("dispute", 900, "pending")],
    ),
    "a lost one took the money": (
        (*CAPTURED, event(o.DisputeOpened), event(o.DisputeLost, amount=800)),
        [("capture", 1000, "success"), ("dispute", 800, "success")],
    ),
    "a won one did not": (
        (*CAPTURED, event(o.DisputeOpened), event(o.DisputeWon)),
        [("capture", 1000, "success"), ("dispute", 1000, "failed")],
    ),
    "a refund that fails after it succeeded is failed": (
        (*CAPTURED, event(o.RefundRequested, amount=300), event(o.RefundSucceeded), event(o.RefundFailed)),
        [("capture", 1000, "success"), ("refund", 300, "failed")],
    ),
    "a refund made elsewhere is one too": (
        (*CAPTURED, event(o.RefundDiscovered, amount=400), event(o.RefundSucceeded)),
        [("capture", 1000, "success"), ("refund", 400, "success")],
    ),
}


@pytest.mark.parametrize("rule", TRANSACTIONS)
async def test_transactions(database: Database, rule: str) -> None:
    history, expected = TRANSACTIONS[rule]
    assert await transactions(database, *history) == expected


async def test_a_surplus_payment_is_a_capture_and_a_refund_of_its_own(database: Database) -> None:
    history = (
        CREATED,
        STARTED,
        event(o.PaymentFailed),
        event(o.PaymentStarted, attempt=2),
        event(o.PaymentCaptured),
        event(o.SurplusPaymentCaptured),
        event(o.RefundSucceeded, refund_id=SURPLUS_REFUND_ID),
    )
    rows = sorted(await transactions(database, *history))
    assert rows == [
        ("capture", 1000, "pending"),
        ("capture", 1000, "success"),
        ("capture", 1000, "success"),
        ("refund", 1000, "success"),
    ]
    (order,) = await read(database, "orders", "amount_captured", "amount_refunded", "status", order="id")
    assert order == {"amount_captured": 1000, "amount_refunded": 0, "status": "captured"}


async def test_a_refund_keeps_when_it_was_asked_for_and_gets_its_result(database: Database) -> None:
    await write(database, *CAPTURED, event(o.RefundRequested, amount=300, reason="late"), event(o.RefundOutcomeUnknown))
    columns = ("id", "order_id", "version", "amount", "status", "reason", "outcome_unknown")
    (row,) = await read(database, "refunds", *columns, order="id")
    assert row == {
        "id": REFUND_ID,
        "order_id": ORDER_ID,
        "version": 4,
        "amount": 300,
        "status": "pending",
        "reason": "late",
        "outcome_unknown": True,
    }
    (order,) = await read(database, "orders", "amount_refunded", "outcome_unknown", "status", order="id")
    assert order == {"amount_refunded": 0, "outcome_unknown": True, "status": "captured"}


async def test_an_order_shows_its_failure_and_then_its_next_action(database: Database) -> None:
    history = (
        CREATED,
        STARTED,
        event(o.PaymentFailed),
        event(o.PaymentStarted, attempt=2),
        event(o.PaymentActionRequired, attempt=2),
    )
    await write(database, *history)
    (row,) = await read(database, "orders", "status", "failure", "next_action", "version", order="id")
    assert (row["status"], row["failure"], row["version"]) == ("requires_action", None, 5)
    assert row["next_action"]["redirectUrl"] == "sealed-redirect-url"


async def test_an_order_shows_its_dispute(database: Database) -> None:
    await write(database, *CAPTURED, event(o.DisputeOpened), event(o.DisputeLost))
    (order,) = await read(database, "orders", "dispute_status", "status", "amount_refunded", order="id")
    assert order == {"dispute_status": "lost", "status": "captured", "amount_refunded": 0}


async def test_a_removed_processor_keeps_no_credentials_and_makes_room(database: Database) -> None:
    await write(
        database,
        event(m.MerchantRegistered),
        event(m.ProcessorConfigured),
        event(m.ProcessorFlagsChanged, enabled=False),
        event(m.ProcessorRemoved),
        event(m.ProcessorConfigured, config_id=ID_2),
    )
    rows = await read(database, "processor_configs", "id", "credentials", "enabled", "removed_at", order="created_at")
    removed = next(row for row in rows if row["id"] != ID_2)
    assert len(rows) == 2
    assert removed["credentials"] is None
    assert removed["removed_at"] is not None
    assert not removed["enabled"]


async def test_a_revoked_key_keeps_its_row(database: Database) -> None:
    await write(database, event(m.MerchantRegistered), event(m.ApiKeyCreated), event(m.ApiKeyRevoked))
    (row,) = await read(database, "api_keys", "prefix", "scopes", "revoked_at", order="id")
    assert row["scopes"] == ["orders:read"]
    assert row["revoked_at"] is not None
