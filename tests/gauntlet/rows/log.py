"""K8: writers that commit late or not at all, and a reader that must skip nothing. K9: poison."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final
from uuid import UUID

import psycopg

from payloops.db import Database
from payloops.events.store import Append, EventStore
from payloops.projections.verify import verify
from payloops.values import new_id
from payloops.workflows_bridge.outbox_table import OutboxTable
from tests.gauntlet.checker import check
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import prepared
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until_found
from tests.integration.store.appends import BY_HAND, append, by_hand

WRITERS: Final = 6
ROLLED_BACK_SHARE: Final = 0.35
DELAY_MAX_S: Final = 0.01
PER_ROUND: Final = 20
READ_WITHIN_S: Final = 60.0
PAGE: Final = "SELECT notification_id, originator_id FROM stored_events WHERE notification_id > %s ORDER BY 1 LIMIT 7"


async def k8(run: Run) -> None:
    """Transactions of their own around append_batch, held open by chance, some of them rolled back."""
    with prepared() as service:
        database = Database(
            service.app_dsn, min_size=WRITERS + 2, max_size=WRITERS + 2, application_name="payloops-gauntlet"
        )
        await database.open(wait_s=10.0)
        try:
            store = EventStore(database)
            await store.open()
            finished = asyncio.Event()
            reader = asyncio.create_task(_read(database, finished))
            committed: set[UUID] = set()
            writers = [
                _write(database, random.Random(run.rng.getrandbits(64)), run.times * PER_ROUND, committed)
                for _ in range(WRITERS)
            ]
            # Our own group commit takes part in the same order.
            ours = [append() for _ in range(run.times * PER_ROUND)]
            await asyncio.gather(*writers, *(store.append(each) for each in ours))
            committed.update(_stream(each) for each in ours)
            finished.set()
            async with asyncio.timeout(READ_WITHIN_S):
                seen = await reader
            if sorted(seen) != sorted(committed):
                raise AssertionError(f"read {len(seen)} streams, {len(committed)} were committed")
            run.say(f"{len(seen)} events read in order, none skipped")
            await store.close()
        finally:
            await database.close()


def _stream(one: Append) -> UUID:
    return UUID(str(one.events[0].originator_id))


async def _write(database: Database, rng: random.Random, count: int, committed: set[UUID]) -> None:
    for _ in range(count):
        one = append()
        async with database.connection() as connection:
            try:
                async with connection.transaction():
                    await connection.execute(BY_HAND, by_hand(one))
                    await asyncio.sleep(rng.uniform(0, DELAY_MAX_S))
                    if rng.random() < ROLLED_BACK_SHARE:
                        raise psycopg.Rollback
                    committed.add(_stream(one))
            except psycopg.errors.LockNotAvailable:
                continue


async def _read(database: Database, finished: asyncio.Event) -> list[UUID]:
    """All that is read, following the log; every position must be the one after the last."""
    seen: list[UUID] = []
    position = 0
    while True:
        last_look = finished.is_set()
        async with database.connection() as connection:
            rows = await (await connection.execute(PAGE, (position,))).fetchall()
        for number, stream in rows:
            if number != position + 1:
                raise AssertionError(f"after position {position} came {number}")
            position = number
            seen.append(stream)
        if not rows:
            if last_look:
                return seen
            await asyncio.sleep(0.001)


async def k9(run: Run) -> None:
    """A row that no engine understands, and an event that no code can read: both are named, the rest goes on."""
    with prepared() as service:
        service.part("sandbox").start()
        service.part("api").start()
        service.part("relay", wrap=("impatient:3",)).start()
        service.wait_for_ports()
        async with opened(service) as shop:
            database = Database(service.app_dsn, min_size=1, max_size=2, application_name="payloops-gauntlet")
            await database.open(wait_s=10.0)
            try:
                for _ in range(run.times):
                    async with under_load(shop, run.rng):
                        await _poison_row(database, shop, run)
                await check(shop)
                await _poison_event(database, shop, run)
            finally:
                await database.close()


async def _poison_row(database: Database, shop: Shop, run: Run) -> None:
    poison = new_id()
    await _execute(
        database,
        "INSERT INTO outbox (id, key, kind, payload, correlation_id) VALUES (%s, %s, 'nonsense', '{}', 'poison')",
        poison,
        f"poison-{poison}",
    )
    table = OutboxTable(database)

    async def parked() -> bool:
        return any(row.id == poison and row.last_error for row in await table.list_parked())

    await until_found(parked, 20.0, "the poison row is parked, with its error")
    await more_acknowledged(shop, 3)
    ready = await shop.api.ask("GET", "/health/ready")
    if (ready.status, ready.body["status"]) != (200, "degraded"):
        raise AssertionError(f"a parked row is not to be seen: {ready.raw!r}")
    await _execute(database, "DELETE FROM outbox WHERE id = %s", poison)
    run.say("a poison row was parked and shown; the rest went on")


async def _poison_event(database: Database, shop: Shop, run: Run) -> None:
    """An order's next event is of a topic that nobody knows. The order can't be used; verification says why."""
    sick = await shop.order(run.rng)
    await _execute(database, BY_HAND, *by_hand(append(UUID(sick["id"]), sick["version"] + 1)))
    paid = await shop.paid_order(run.rng)
    answer = await shop.api.once("POST", f"/v1/orders/{sick['id']}/cancel", {})
    if answer.status < 400:
        raise AssertionError(f"an order with an unreadable event was changed: {answer}")
    report = await verify(database, EventStore(database))
    if not any(sick["id"] in violation for violation in report.violations):
        raise AssertionError(f"verification does not name the stream: {report.violations}")
    if any(paid["id"] in violation for violation in report.violations):
        raise AssertionError(f"verification accuses a healthy stream: {report.violations}")
    run.say("a poison event was named; other orders went on")


async def _execute(database: Database, statement: str, *values: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, values)


ROWS: Final = (
    Row("K8", "delayed commits and rolled-back writers", "own", smoke=1, full=20, own=k8),
    Row("K9", "a poison outbox row, a poison event", "own", smoke=1, full=3, own=k9),
)
