"""One answer for all processes: sums that never drop, levels of the living only."""

from __future__ import annotations

from payloops.db import Database
from payloops.projections.process_metrics import PAST, ProcessMetrics
from payloops.telemetry.metrics import Metrics
from payloops.values import new_id

PAID = ("stripe", "captured", "USD")


def process(database: Database, *, ended_s: float = 3600.0) -> tuple[Metrics, ProcessMetrics]:
    """A process of its own."""
    metrics = Metrics()
    return metrics, ProcessMetrics(database, metrics, "relay", process=new_id(), ended_s=ended_s)


def paid(metrics: Metrics) -> float:
    values = [sample.value for sample in metrics.payment_attempts.family().samples]
    return values[0] if values else 0


async def grow_old(database: Database, age_s: float) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE process_metrics SET updated_at = updated_at - %s * interval '1 second'", (age_s,)
        )


async def processes(database: Database) -> set[object]:
    async with database.connection() as connection:
        return {row[0] for row in await (await connection.execute("SELECT process FROM process_metrics")).fetchall()}


async def test_the_sum_is_of_all_and_of_each_once(database: Database) -> None:
    (ours, api), (theirs, relay) = process(database), process(database)
    ours.payment_attempts.add(PAID, 2)
    theirs.payment_attempts.add(PAID, 3)
    theirs.payment_latency_s.observe(0.2, ("stripe", "captured"))
    for _ in range(2):
        await api.write()
        await relay.write()
    total = await api.total()
    assert paid(total) == 5
    counts = {s.name: s.value for s in total.payment_latency_s.family().samples if not s.labels.get("le")}
    assert (counts["payment_latency_seconds_count"], counts["payment_latency_seconds_sum"]) == (1, 0.2)
    assert paid(ours) == 2, "the process's own are as they were"


async def test_of_a_process_that_ended_the_counts_stay_and_the_levels_go(database: Database) -> None:
    (_, api), (theirs, relay) = process(database), process(database)
    theirs.payment_attempts.add(PAID)
    theirs.append_queue.set(7)
    await relay.write()
    assert [s.value for s in (await api.total()).append_queue.family().samples] == [7]
    await grow_old(database, 60)
    total = await api.total()
    assert paid(total) == 1
    assert total.append_queue.family().samples == []


async def test_what_ended_long_ago_is_one_row_and_the_sum_the_same(database: Database) -> None:
    for _ in range(3):
        metrics, ended = process(database)
        metrics.payment_attempts.add(PAID, 4)
        await ended.write()
    await grow_old(database, 100)
    living, api = process(database, ended_s=50)
    living.payment_attempts.add(PAID)
    await api.write()
    for _ in range(2):
        await api.fold()
        assert paid(await api.total()) == 13
    assert PAST in await processes(database)
    assert len(await processes(database)) == 2


async def test_counts_of_another_release_do_no_harm(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            """INSERT INTO process_metrics (process, part, counts) VALUES (gen_random_uuid(), 'api',
               '{"no_longer_there": [[[], 1]], "append_batch_commands": [[[], [1, 2]]]}')"""
        )
    ours, api = process(database)
    ours.append_commands.observe(1)
    total = await api.total()
    assert {s.value for s in total.append_commands.family().samples if s.name.endswith("_count")} == {1}
