"""What merchants are told, in a real Postgres: the row, the bytes that it makes, and whom it is published to."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from payloops.bootstrap.core import order_aggregate, webhook_endpoint_aggregate
from payloops.commands.handlers import Aggregate, fold
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.events import order as o
from payloops.events import webhook_endpoint as p
from payloops.events.base import Event
from payloops.events.public_events import public_event_id
from payloops.events.store import Append, EventStore, Outcome
from payloops.projections.personal_data import CLIENT_SECRET, CUSTOMER_EMAIL, REDIRECT_URL, MerchantKey, PersonalData
from payloops.projections.public_events import PublicEvents, seal_payload
from payloops.projections.public_events_backfill import PublicEventsBackfill
from tests.databases import TestDatabase
from tests.replay import assert_replay_equals_tables, replay_report
from tests.spec import CAPTURED, MERCHANT_ID, ORDER_ID, PENDING, REFUND_ID, event, numbered

RING: Final = KeyRing.from_setting("an encryption key of the tests of 48 characters")
EMAIL: Final = "jané@customer.example"
OTHER_ENDPOINT: Final = UUID(int=21)
OTHER_MERCHANT: Final = UUID(int=22)

Row = dict[str, Any]


async def append(database: Database, aggregate: Aggregate[Any, Any], *history: Event, at_once: bool = False) -> None:
    """Append the history event by event, or as one command does it."""
    store = EventStore(database)
    await store.open(listen=False)
    state: Any = aggregate.initial
    batches = [tuple(numbered(history))] if at_once else [(one,) for one in numbered(history)]
    try:
        for batch in batches:
            state, rows = fold(aggregate, state, batch)
            appended = await store.append(Append([store.to_stored(happened) for happened in batch], rows))
            assert appended.outcome is Outcome.APPENDED
    finally:
        await store.close()


async def tell(database: Database, *history: Event, at_once: bool = False) -> None:
    await append(database, order_aggregate(), *history, at_once=at_once)
    await assert_replay_equals_tables(database)


async def read(database: Database, table: str, order: str) -> list[Row]:
    async with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        query = sql.SQL("SELECT * FROM {} ORDER BY {}").format(sql.Identifier(table), sql.Identifier(order))
        await cursor.execute(query)
        return await cursor.fetchall()


@pytest.fixture
def personal(database: Database) -> PersonalData:
    return PersonalData(database, RING)


@pytest.fixture
def key(personal: PersonalData, test_database: TestDatabase) -> MerchantKey:
    """The merchant's key, in its table."""
    made, row = personal.new_key(MERCHANT_ID)
    with psycopg.connect(test_database.app_dsn) as connection:
        connection.execute(
            "INSERT INTO merchant_keys (merchant_id, wrapped) VALUES (%(merchant_id)s, %(wrapped)s)", row
        )
    return made


async def bodies(database: Database, personal: PersonalData) -> list[Row]:
    """The documents of the merchant's events, in order, each proved to be the same at a second making."""
    views = PublicEvents(database, personal)
    found = await views.after(MERCHANT_ID, 0, limit=100)
    again = [await PublicEvents(database, personal).get(one.id) for one in found]
    assert again == found
    return [orjson.loads(one.body) for one in found]


async def test_a_row_names_its_event_and_its_place(database: Database) -> None:
    await tell(database, *CAPTURED)
    processing, captured = await read(database, "public_events", "position")
    assert processing["state"]["order"]["status"] == "processing"
    assert {name: value for name, value in captured.items() if name != "state"} == {
        "id": public_event_id(ORDER_ID, 3),
        "merchant_id": MERCHANT_ID,
        "stream_id": ORDER_ID,
        "stream_version": 3,
        "order_id": ORDER_ID,
        "sequence": 2,
        "type": "payment.captured",
        "position": 3,
        "correlation_id": "past",
        "traceparent": None,
        "created_at": CAPTURED[-1].timestamp,
    }


async def test_a_body_is_the_order_as_it_was_at_that_event(database: Database, personal: PersonalData) -> None:
    await tell(database, *CAPTURED, event(o.RefundRequested, amount=400), event(o.RefundSucceeded))
    processing, captured, pending, processed = await bodies(database, personal)
    assert list(processing) == [
        *("id", "eventType", "type", "createdAt", "sequence", "orderId", "externalId", "amount", "currency"),
        *("status", "processor", "payload", "data"),
    ]
    payload = captured["payload"]
    assert captured == {
        "id": str(public_event_id(ORDER_ID, 3)),
        "eventType": "payment.captured",
        "type": "payment.captured",
        "createdAt": "2026-01-02T03:00:00.000Z",
        "sequence": 2,
        "orderId": str(ORDER_ID),
        "externalId": "cart-1",
        "amount": 1000,
        "currency": "USD",
        "status": "captured",
        "processor": "stripe",
        "payload": payload,
        "data": payload,
    }
    assert (payload["id"], payload["version"], payload["amountCaptured"]) == (str(ORDER_ID), 3, 1000)
    assert (payload["amountRefunded"], payload["disputeStatus"], payload["metadata"]) == (0, None, {})
    assert [one["payload"]["amountRefunded"] for one in (pending, processed)] == [0, 400]
    assert processed["payload"]["refund"] == {
        "refundId": str(REFUND_ID),
        "orderId": str(ORDER_ID),
        "amount": 400,
        "currency": "USD",
        "status": "success",
        "reason": None,
        "processorRefundId": "re_1",
        "errorCode": None,
        "errorMessage": None,
        "createdAt": "2026-01-02T03:00:00.000Z",
    }
    assert pending["payload"]["refund"]["status"] == "pending"


async def test_a_dispute_stands_beside_its_order(database: Database, personal: PersonalData) -> None:
    await tell(database, *CAPTURED, event(o.DisputeOpened, amount=900), event(o.DisputeLost, amount=800))
    *_, opened, lost = await bodies(database, personal)
    assert (opened["amount"], opened["payload"]["dispute"]["amount"]) == (1000, 900)
    assert lost["payload"]["disputeStatus"] == lost["payload"]["dispute"]["status"] == "lost"
    assert lost["payload"]["dispute"]["processorDisputeId"] == "dp_1"


async def test_two_events_of_one_command_are_told_in_their_order(database: Database, personal: PersonalData) -> None:
    await tell(database, *CAPTURED, event(o.RefundDiscovered), event(o.RefundSucceeded), at_once=True)
    told = await bodies(database, personal)
    assert [(one["sequence"], one["type"]) for one in told] == [
        (1, "payment.processing"),
        (2, "payment.captured"),
        (3, "refund.pending"),
        (4, "refund.processed"),
    ]


async def test_what_is_personal_or_secret_is_sealed_in_the_row_and_open_in_the_body(
    database: Database, personal: PersonalData, key: MerchantKey
) -> None:
    created = event(
        o.OrderCreated,
        customer_email=key.seal(CUSTOMER_EMAIL, ORDER_ID, EMAIL),
        metadata={"z": 1, "a": [1.5, None, "é\u2028"], "big": 2**53 - 1},
    )
    waiting = event(
        o.PaymentActionRequired,
        client_secret=key.seal(CLIENT_SECRET, ORDER_ID, "pi_1_secret_x"),
        redirect_url=key.seal(REDIRECT_URL, ORDER_ID, "https://bank.example/3ds"),
    )
    published = event(
        o.ExternalEventPublished,
        event_type="checkout.completed",
        sealed_payload=seal_payload(key, ORDER_ID, {"note": "call Jane", "status": "never the order's"}),
    )
    await tell(database, created, event(o.PaymentStarted), waiting, published)
    stored = orjson.dumps([row["state"] for row in await read(database, "public_events", "position")]).decode()
    for secret in (EMAIL, "pi_1_secret_x", "bank.example", "Jane"):
        assert secret not in stored
    processing, required, completed = await bodies(database, personal)
    assert processing["payload"]["customerEmail"] == EMAIL
    assert processing["payload"]["metadata"] == created.metadata
    assert required["payload"]["nextAction"] == {
        "type": "redirect",
        "redirectUrl": "https://bank.example/3ds",
        "clientSecret": "pi_1_secret_x",
        "processorData": None,
    }
    assert completed["payload"]["note"] == "call Jane"
    assert completed["payload"]["status"] == completed["status"] == "requires_action"

    await personal.destroy(MERCHANT_ID)
    _, required, completed = await bodies(database, PersonalData(database, RING))
    assert required["payload"]["customerEmail"] is None
    assert required["payload"]["nextAction"]["clientSecret"] is None
    assert required["payload"]["nextAction"]["redirectUrl"] is None
    assert "note" not in completed["payload"]


async def test_a_session_stands_beside_its_order(database: Database, personal: PersonalData) -> None:
    session = {"id": str(UUID(int=5)), "amount": 1000, "status": "complete"}
    published = event(o.ExternalEventPublished, event_type="checkout.completed", payload={"session": session})
    await tell(database, *PENDING, published)
    (told,) = await bodies(database, personal)
    assert (told["type"], told["status"], told["payload"]["session"]) == ("checkout.completed", "pending", session)


async def test_the_feed_is_the_merchants_own_and_can_be_narrowed(database: Database, personal: PersonalData) -> None:
    await tell(database, *CAPTURED)
    views = PublicEvents(database, personal)
    assert await views.after(OTHER_MERCHANT, 0, limit=10) == []
    (captured,) = await views.after(MERCHANT_ID, 0, types=["payment.captured"], limit=10)
    assert (captured.position, captured.sequence) == (3, 2)
    assert [one.position for one in await views.after(MERCHANT_ID, 0, limit=1)] == [2]
    assert await views.after(MERCHANT_ID, 3, limit=10) == []
    assert await views.get(UUID(int=1)) is None
    assert EMAIL not in repr(captured)
    assert "external" not in repr(captured)


async def test_each_event_is_published_once_its_merchant_has_an_endpoint(database: Database) -> None:
    await append(database, webhook_endpoint_aggregate(), event(p.EndpointCreated))
    await append(
        database,
        webhook_endpoint_aggregate(),
        event(p.EndpointCreated, originator_id=OTHER_ENDPOINT),
    )
    await tell(database, *CAPTURED)
    published = [row for row in await read(database, "outbox", "seq") if row["kind"] == "publish"]
    assert [row["id"] for row in published] == [public_event_id(ORDER_ID, version) for version in (2, 3)]
    assert published[1]["payload"] == {
        "eventId": str(public_event_id(ORDER_ID, 3)),
        "merchantId": str(MERCHANT_ID),
        "orderId": str(ORDER_ID),
        "type": "payment.captured",
        "sequence": 2,
    }
    assert {row["key"] for row in published} == {f"order-events-{ORDER_ID}"}
    assert {(row["lane"], row["correlation_id"]) for row in published} == {(f"publish:{MERCHANT_ID}", "past")}


@pytest.mark.parametrize(
    "history",
    [
        (),
        (event(p.EndpointCreated), event(p.EndpointDisabled)),
        (event(p.EndpointCreated), event(p.EndpointRemoved)),
        (event(p.EndpointCreated, merchant_id=OTHER_MERCHANT),),
    ],
    ids=["none", "a disabled one", "a removed one", "another merchant's"],
)
async def test_without_an_endpoint_nothing_is_published(database: Database, history: tuple[Event, ...]) -> None:
    if history:
        await append(database, webhook_endpoint_aggregate(), *history)
    await tell(database, *CAPTURED)
    assert [row["type"] for row in await read(database, "public_events", "position")] == [
        "payment.processing",
        "payment.captured",
    ]
    assert [row for row in await read(database, "outbox", "seq") if row["kind"] == "publish"] == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            "UPDATE public_events SET position = 9 WHERE sequence = 2",
            "its position is not its event's place in the log",
        ),
        ("UPDATE public_events SET sequence = 3 WHERE sequence = 2", "are not numbered from 1 without gaps"),
    ],
)
async def test_a_misplaced_event_is_found(
    database: Database, test_database: TestDatabase, change: str, finding: str
) -> None:
    await tell(database, *CAPTURED)
    with psycopg.connect(test_database.owner_dsn) as connection:
        connection.execute(change.encode())
    assert any(finding in violation for violation in (await replay_report(database)).violations)


async def test_orders_older_than_the_feed_are_filled_in(
    database: Database, test_database: TestDatabase, personal: PersonalData
) -> None:
    """As after the migration that made the table: the log is older. Nobody is told of what is long past."""
    await append(database, webhook_endpoint_aggregate(), event(p.EndpointCreated))
    await tell(database, *CAPTURED, event(o.RefundRequested))
    told = await read(database, "public_events", "position")
    with psycopg.connect(test_database.owner_dsn) as connection:
        connection.execute("DELETE FROM public_events")
        connection.execute("UPDATE schema_migrations SET applied_at = now() + interval '1 day' WHERE version = 5")
        connection.execute("DELETE FROM outbox")
    assert (await replay_report(database)).differences != []
    store = EventStore(database)
    backfill = PublicEventsBackfill(database, store)
    assert await backfill.run(page=1) == len(told) == 3
    assert await read(database, "public_events", "position") == told
    assert await read(database, "outbox", "seq") == []
    assert [one["sequence"] for one in await bodies(database, personal)] == [1, 2, 3]
    assert await backfill.run() == 0
    await assert_replay_equals_tables(database)


async def test_orders_of_the_feeds_own_time_are_not_looked_at(database: Database, test_database: TestDatabase) -> None:
    await tell(database, *CAPTURED)
    with psycopg.connect(test_database.owner_dsn) as connection:
        connection.execute("DELETE FROM public_events")
        connection.execute("UPDATE schema_migrations SET applied_at = '2020-01-01' WHERE version = 5")
    assert await PublicEventsBackfill(database, EventStore(database)).run() == 0
