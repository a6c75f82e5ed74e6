"""Webhook endpoints, deliveries and attempts in a real Postgres, and whose turn is next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import pytest
from psycopg import sql
from psycopg.rows import dict_row

from payloops.bootstrap.core import webhook_delivery_aggregate
from payloops.commands import aggregates
from payloops.commands.handlers import Aggregate, CommandHandler, Companion, fold
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.webhook_delivery import GiveUpDelivery, RecordAttempt, RetryDelivery, ScheduleDelivery
from payloops.crypto import KeyRing
from payloops.db import Database, load_sql
from payloops.events import webhook_delivery as d
from payloops.events import webhook_endpoint as p
from payloops.events.base import Event
from payloops.events.store import Append, EventStore, Outcome
from payloops.projections.webhook_deliveries import WEBHOOK_ATTEMPTS, WEBHOOK_DELIVERIES
from payloops.projections.webhook_endpoints import WEBHOOK_ENDPOINTS
from payloops.projections.webhook_views import compose
from payloops.values import new_id
from tests.replay import assert_replay_equals_tables
from tests.spec import MERCHANT_ID, ORDER_ID, PAST, command, event, numbered
from tests.webhook_specs import DELIVERY_ID, ENDPOINT_ID, NEXT_AT, NO_MORE, RETRY_LATER, URL

Row = dict[str, Any]

ENDPOINTS: Final = aggregates.webhook_endpoints(WEBHOOK_ENDPOINTS)
DELIVERIES: Final = aggregates.webhook_deliveries(WEBHOOK_DELIVERIES, WEBHOOK_ATTEMPTS)
RING: Final = KeyRing.from_setting("a secret of at least thirty-two characters")
OTHER_ENDPOINT: Final = UUID(int=5)


async def write(database: Database, aggregate: Aggregate[Any, Any], *history: Event) -> None:
    """Append the history event by event, so that each row is written and then written over."""
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


async def read(database: Database, table: str, order: str = "id") -> list[Row]:
    async with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        query = sql.SQL("SELECT * FROM {} ORDER BY {}").format(sql.Identifier(table), sql.Identifier(order))
        await cursor.execute(query)
        return await cursor.fetchall()


async def test_an_endpoint_shows_its_settings_and_secrets(database: Database) -> None:
    history = (
        event(p.EndpointCreated, event_types=("payment.*",)),
        event(p.EndpointSecretRotated),
        event(p.EndpointDisabled, reason="failing"),
    )
    await write(database, ENDPOINTS, *history)
    (row,) = await read(database, "webhook_endpoints")
    assert row == {
        "id": ENDPOINT_ID,
        "merchant_id": MERCHANT_ID,
        "version": 3,
        "url": URL,
        "event_types": ["payment.*"],
        "enabled": False,
        "disabled_reason": "failing",
        "is_default": False,
        "secret": "sealed-newer-secret",
        "previous_secret": "sealed-secret",
        "previous_expires_at": NEXT_AT,
        "removed_at": None,
        "created_at": PAST,
        "updated_at": PAST,
    }


async def test_a_removed_endpoint_keeps_no_secret_and_gets_it_back(database: Database) -> None:
    created, rotated = event(p.EndpointCreated, is_default=True), event(p.EndpointSecretRotated)
    await write(database, ENDPOINTS, created, rotated, event(p.EndpointRemoved))
    (row,) = await read(database, "webhook_endpoints")
    assert (row["secret"], row["previous_secret"], row["previous_expires_at"]) == (None, None, None)
    assert (row["enabled"], row["removed_at"]) == (False, PAST)


async def test_a_restored_endpoint_signs_with_the_secret_that_it_had(database: Database) -> None:
    await write(
        database,
        ENDPOINTS,
        event(p.EndpointCreated, is_default=True),
        event(p.EndpointRemoved),
        event(p.EndpointRestored, url="https://other.example"),
    )
    (row,) = await read(database, "webhook_endpoints")
    assert (row["secret"], row["enabled"], row["removed_at"]) == ("sealed-secret", True, None)
    assert row["url"] == "https://other.example"


async def test_a_delivery_shows_its_last_attempt_and_all_of_them_have_a_row(database: Database) -> None:
    first = event(d.DeliveryAttempted, **RETRY_LATER)
    await write(database, DELIVERIES, event(d.DeliveryScheduled), first)
    (row,) = await read(database, "webhook_deliveries")
    assert (row["status"], row["attempts"], row["round"]) == ("retrying", 1, 1)
    assert (row["next_retry_at"], row["last_status_code"], row["last_error"]) == (NEXT_AT, 500, "it answered 500")
    assert (row["order_id"], row["sequence"], row["correlation_id"]) == (ORDER_ID, 2, "past")
    (attempt,) = await read(database, "webhook_attempts")
    assert (attempt["delivery_id"], attempt["number"], attempt["duration_ms"]) == (DELIVERY_ID, 1, 120)
    assert attempt["response_body"] == "sealed-answer"


async def test_a_delivery_that_is_sent_anew_keeps_its_attempts(database: Database) -> None:
    second = event(d.DeliveryRetried, signal=False, round=2, workflow_id="webhook-2")
    failed = event(d.DeliveryAttempted, **NO_MORE)
    await write(database, DELIVERIES, event(d.DeliveryScheduled), failed, second, event(d.DeliveryAttempted, attempt=2))
    (row,) = await read(database, "webhook_deliveries")
    assert (row["status"], row["attempts"], row["round"], row["workflow_id"]) == ("delivered", 2, 2, "webhook-2")
    assert (row["delivered_at"], row["next_retry_at"], row["last_error"]) == (PAST, None, None)
    assert [one["number"] for one in await read(database, "webhook_attempts", "number")] == [1, 2]


class Deliveries:
    """Commands on deliveries, as a relay sends them."""

    def __init__(self, database: Database, store: EventStore) -> None:
        self.database = database
        self.handler = CommandHandler(store, ResponseKeeper(RING))

    async def scheduled(
        self, sequence: int, *, endpoint_id: UUID = ENDPOINT_ID, order_id: UUID | None = ORDER_ID
    ) -> UUID:
        delivery_id = uuid5(endpoint_id, f"{order_id}-{sequence}")
        await self.told(
            ScheduleDelivery,
            delivery_id,
            endpoint_id=endpoint_id,
            order_id=order_id,
            sequence=sequence,
            workflow_id=f"webhook-{delivery_id}",
        )
        return delivery_id

    async def told(self, command_class: type[Any], delivery_id: UUID, **fields: Any) -> None:
        asked: Any = command(command_class, delivery_id=delivery_id, **fields)
        await self.handler.execute(DELIVERIES, delivery_id, asked)

    async def turns(self) -> list[tuple[str, str]]:
        """Key and signal of each outbox row."""
        rows = await read(self.database, "outbox", "seq")
        return [(row["key"], row["payload"]["signal"]) for row in rows]


@pytest.fixture
async def deliveries(database: Database) -> AsyncIterator[Deliveries]:
    store = EventStore(database)
    await store.open(listen=False)
    yield Deliveries(database, store)
    await store.close()
    await assert_replay_equals_tables(database)


class TestTurns:
    async def test_when_one_ends_the_next_of_its_order_and_endpoint_is_told(self, deliveries: Deliveries) -> None:
        first, second = await deliveries.scheduled(1), await deliveries.scheduled(2)
        await deliveries.scheduled(3)
        assert await deliveries.turns() == []
        await deliveries.told(RecordAttempt, first)
        assert await deliveries.turns() == [(f"webhook-{second}", "proceed")]
        (row,) = await read(deliveries.database, "outbox")
        assert row["payload"] == {
            "workflowId": f"webhook-{second}",
            "signal": "proceed",
            "payload": {},
            "merchantId": str(MERCHANT_ID),
            "orderId": str(ORDER_ID),
            "attempt": 0,
        }
        assert (row["kind"], row["lane"]) == ("signal", f"deliver:{MERCHANT_ID}:{ENDPOINT_ID}")
        assert row["correlation_id"] == "now"

    @pytest.mark.parametrize(
        ("command_class", "fields", "passes"),
        [
            (RecordAttempt, {}, True),
            (RecordAttempt, dict(NO_MORE), True),
            (RecordAttempt, dict(RETRY_LATER), False),
            (GiveUpDelivery, {}, True),
            (RetryDelivery, {}, False),
        ],
        ids=["delivered", "failed", "retrying", "given up", "asked for"],
    )
    async def test_only_an_end_passes_the_turn_on(
        self, deliveries: Deliveries, command_class: type, fields: dict[str, Any], *, passes: bool
    ) -> None:
        first = await deliveries.scheduled(1)
        await deliveries.scheduled(2)
        await deliveries.told(command_class, first, **fields)
        assert len(await deliveries.turns()) == int(passes)

    async def test_what_has_ended_is_passed_over(self, deliveries: Deliveries) -> None:
        first, second, third = [await deliveries.scheduled(number) for number in (1, 2, 3)]
        await deliveries.told(GiveUpDelivery, second)
        await deliveries.told(RecordAttempt, first)
        assert await deliveries.turns() == [(f"webhook-{third}", "proceed"), (f"webhook-{third}", "proceed")]

    async def test_other_orders_and_endpoints_have_turns_of_their_own(self, deliveries: Deliveries) -> None:
        first = await deliveries.scheduled(1)
        await deliveries.scheduled(2, endpoint_id=OTHER_ENDPOINT)
        await deliveries.scheduled(2, order_id=new_id())
        await deliveries.told(RecordAttempt, first)
        assert await deliveries.turns() == []

    async def test_samples_wait_for_nobody(self, deliveries: Deliveries) -> None:
        first = await deliveries.scheduled(1, order_id=None)
        await deliveries.scheduled(2, order_id=None)
        await deliveries.told(RecordAttempt, first)
        assert await deliveries.turns() == []

    async def test_an_end_is_told_once_and_the_end_of_another_round_again(self, deliveries: Deliveries) -> None:
        first, second = await deliveries.scheduled(1), await deliveries.scheduled(2)
        await deliveries.told(GiveUpDelivery, first)
        await deliveries.told(RecordAttempt, first)
        assert len(await deliveries.turns()) == 1
        async with deliveries.database.connection() as connection:
            await connection.execute("DELETE FROM outbox")
        await deliveries.told(RecordAttempt, first, attempt=2)
        assert await deliveries.turns() == [], "it had ended before"
        await deliveries.told(RetryDelivery, first)
        await deliveries.told(RecordAttempt, first, attempt=3)
        assert await deliveries.turns() == [(f"webhook-{second}", "proceed")]

    async def test_a_workflow_starts_before_it_is_told(self, deliveries: Deliveries) -> None:
        """Though the delivery before it ends in the very transaction that schedules it."""
        first, second = await deliveries.scheduled(1), uuid5(ENDPOINT_ID, "second")
        aggregate = webhook_delivery_aggregate()
        ended: Any = command(RecordAttempt, delivery_id=first)
        schedule: Any = command(ScheduleDelivery, delivery_id=second, sequence=2, workflow_id=f"webhook-{second}")
        await deliveries.handler.execute(aggregate, first, ended, also=[Companion(aggregate, second, schedule)])
        rows = await read(deliveries.database, "outbox", "seq")
        assert [(row["kind"], row["key"]) for row in rows] == [
            ("start", f"webhook-{second}"),
            ("signal", f"webhook-{second}"),
        ]

    async def test_a_refused_command_passes_nothing_on(self, deliveries: Deliveries, database: Database) -> None:
        """Of one batch: a command that meets a conflict ends nothing."""
        first = await deliveries.scheduled(1)
        await deliveries.scheduled(2)
        store = EventStore(database)
        await store.open(listen=False)
        try:
            state = await deliveries.handler.load(DELIVERIES, first)
            stale = DELIVERIES.decide(command(RecordAttempt, delivery_id=first), state)
            _, rows = fold(DELIVERIES, state, tuple(stale))
            await deliveries.told(RetryDelivery, first)
            appended = await store.append(Append([store.to_stored(one) for one in stale], rows))
        finally:
            await store.close()
        assert appended.outcome is Outcome.CONFLICT
        assert await deliveries.turns() == []


INDEXES: Final = {
    "endpoints": "webhook_endpoints_merchant_idx",
    "endpoint_count": "webhook_endpoints_merchant_idx",
    "open_until": "webhook_endpoints_pkey",
    "deliveries_numbered": "webhook_deliveries_",
    "deliveries_numbered_of_status": "webhook_deliveries_status_idx",
    "deliveries_numbered_of_endpoint": "webhook_deliveries_endpoint_idx",
    "deliveries_numbered_of_order": "webhook_deliveries_order_idx",
    "delivery_target": "webhook_deliveries_pkey",
    "attempts": "webhook_attempts_delivery_idx",
    "retryable": "webhook_deliveries_",
    "without_default_endpoint": "webhook_endpoints_default_idx",
}
"""The index by which each query finds its rows; where two would do, what their names begin with."""
UNFILTERED: Final[dict[str, dict[str, Any]]] = {
    "deliveries_numbered_of_endpoint": {"status": None},
    "retryable": {"endpoint": None},
}
"""Filters that bring an index of their own, which may then be the better one."""
ANYBODY_TO_TELL: Final = (
    "SELECT FROM webhook_endpoints WHERE merchant_id = %(merchant)s AND enabled AND removed_at IS NULL"
)
MANY: Final = """
INSERT INTO webhook_endpoints (id, merchant_id, version, url, event_types, enabled, is_default, created_at, updated_at)
SELECT md5('e' || n)::uuid, md5('m' || n % 500)::uuid, 1, 'https://x.example', '[]', true, n < 500, now(), now()
FROM generate_series(0, 4999) n;
INSERT INTO merchants (id, version, name, email, email_digest, password_hash, webhook_url, created_at, updated_at)
SELECT md5('m' || n)::uuid, 1, 'x', 'x', n::text, 'x', 'https://x.example', now(), now() FROM generate_series(0, 999) n;
INSERT INTO webhook_deliveries (
    id, merchant_id, endpoint_id, url, order_id, event_id, event_type, sequence, status, attempts, round, workflow_id,
    correlation_id, created_at, updated_at)
SELECT md5('d' || n)::uuid, md5('m' || n % 20)::uuid, md5('e' || n % 5000)::uuid, 'https://x.example',
    md5('o' || n / 4)::uuid, md5(n::text)::uuid, 'payment.captured', n % 4,
    CASE n / 20 % 50 WHEN 0 THEN 'failed' ELSE 'delivered' END, 1, 1, 'w', 'c',
    now() - n * interval '1 second', now() - n * interval '1 second'
FROM generate_series(0, 19999) n;
INSERT INTO webhook_attempts (id, delivery_id, number, started_at, duration_ms)
SELECT md5('a' || n)::uuid, md5('d' || n)::uuid, 1, now(), 1 FROM generate_series(0, 19999) n;
ANALYZE webhook_endpoints, webhook_deliveries, webhook_attempts, merchants
"""


async def test_every_query_has_its_index(database: Database) -> None:
    """By what the planner makes of a table with many merchants in it."""
    asked = {**INDEXES, "anybody to tell": "webhook_endpoints_merchant_idx"}
    async with database.connection() as connection:
        for statement in MANY.split(";"):
            await connection.execute(statement)
        cursor = await connection.execute(
            "SELECT merchant_id, endpoint_id, order_id, id, created_at FROM webhook_deliveries WHERE status = 'failed'"
        )
        merchant_id, endpoint_id, order_id, delivery, created_at = (await cursor.fetchall())[7]
        parameters = {
            "merchant": merchant_id,
            "endpoint": endpoint_id,
            "order": order_id,
            "delivery": delivery,
            "status": "failed",
            "from": created_at - timedelta(hours=9),
            "to": created_at + timedelta(hours=1),
            "after": merchant_id,
            "limit": 20,
            "offset": 0,
        }
        for block, index in asked.items():
            query = ANYBODY_TO_TELL if block == "anybody to tell" else compose(block)
            cursor = await connection.execute("EXPLAIN " + query, parameters | UNFILTERED.get(block, {}))
            plan = "\n".join(row[0] for row in await cursor.fetchall())
            assert index in plan, f"{block}:\n{plan}"
            assert "Seq Scan on webhook_deliveries" not in plan, f"{block}:\n{plan}"
            assert "Seq Scan on webhook_attempts" not in plan, f"{block}:\n{plan}"


def test_every_query_is_looked_at() -> None:
    assert {*INDEXES, "endpoint_turn", "endpoint_columns", "delivery_columns"} == set(
        load_sql("payloops.projections", "webhook_views")
    )
