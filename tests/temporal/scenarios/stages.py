"""The two engines, running: a relay (and workers) of their own over a database of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from temporalio.client import Client

from payloops.db import Database
from payloops.events.base import Event
from payloops.sandbox.app import Sandbox
from payloops.temporal_server import TemporalServer
from payloops.workflows_bridge.machines.schedule import Schedule
from payloops.workflows_bridge.temporal.connection import ServerAddress
from tests.databases import TestServer
from tests.replay import assert_replay_equals_tables
from tests.temporal import servers
from tests.temporal.engine.world import TemporalWorld
from tests.temporal.scenarios.schedules import ASKING, PATIENT, QUICK
from tests.temporal.scenarios.workflows import WORKFLOWS
from tests.workflows.world import World, eventually, open_world

PROCESSOR_TIMEOUT_S = 5.0
ENDED_WITHIN_S = 90.0
SCHEDULES: dict[str, Schedule] = {"quick": QUICK, "patient": PATIENT, "asking": ASKING}


class Stage(Protocol):
    """An engine at work."""

    @property
    def dsn(self) -> str: ...
    @property
    def database(self) -> Database: ...
    async def ended(self, workflow_ids: Iterable[str]) -> None:
        """Wait until these workflows have ended."""


@dataclass(frozen=True)
class Embedded:
    """See Stage."""

    dsn: str
    database: Database

    async def ended(self, workflow_ids: Iterable[str]) -> None:
        wanted = sorted(workflow_ids)

        async def over() -> bool:
            async with self.database.connection() as connection:
                cursor = await connection.execute(
                    "SELECT count(*) FROM workflow_runs WHERE workflow_id = ANY(%s) AND status = 'finished'", (wanted,)
                )
                return (await cursor.fetchone()) == (len(wanted),)

        await eventually(over, f"workflows have ended: {wanted}")


@dataclass(frozen=True)
class OnTemporal:
    """See Stage."""

    dsn: str
    database: Database
    client: Client

    async def ended(self, workflow_ids: Iterable[str]) -> None:
        async with asyncio.timeout(ENDED_WITHIN_S):
            for one in sorted(workflow_ids):
                await self.client.get_workflow_handle(one).result()


@asynccontextmanager
async def embedded(server: TestServer, sandbox: Sandbox, schedule: str) -> AsyncIterator[Embedded]:
    """The embedded engine over a database of its own; at the end its log says what its tables say."""
    async with _database(server) as (dsn, database), open_world(dsn, database, sandbox) as base:
        async with base.relaying(SCHEDULES[schedule], timeout_s=PROCESSOR_TIMEOUT_S):
            yield Embedded(dsn, database)
        await assert_replay_equals_tables(database)


@asynccontextmanager
async def on_temporal(
    server: TestServer, sandbox: Sandbox, temporal: TemporalServer, schedule: str
) -> AsyncIterator[OnTemporal]:
    """The same over a Temporal server."""
    address = ServerAddress(address=temporal.address, namespace=servers.NAMESPACE)
    client = await Client.connect(temporal.address, namespace=servers.NAMESPACE)
    async with _database(server) as (dsn, database), open_world(dsn, database, sandbox) as base:
        world = TemporalWorld(base, client, address)
        workflows: Sequence[type[Any]] = WORKFLOWS[schedule]
        async with (
            world.relaying(),
            world.working(("stripe-payments", "razorpay-payments"), workflows=workflows, timeout_s=PROCESSOR_TIMEOUT_S),
        ):
            yield OnTemporal(dsn, database, client)
        await world.terminate_all()
        await assert_replay_equals_tables(database)


@asynccontextmanager
async def _database(server: TestServer) -> AsyncIterator[tuple[str, Database]]:
    made = await asyncio.to_thread(server.create)
    database = Database(made.app_dsn, min_size=1, max_size=12, application_name="payloops-test")
    try:
        await database.open(wait_s=10.0)
        yield made.app_dsn, database
    finally:
        await database.close()
        await asyncio.to_thread(server.drop, made)


def workflows_of(events: Sequence[Event]) -> set[str]:
    """The ids of the workflows that an order's or delivery's events started."""
    named = (getattr(event, "workflow_id", None) for event in events)
    return {str(one) for one in named if one}


async def history_on(stage: Stage, world: World, order_id: Any) -> list[Event]:
    """All that the order came to, once its workflows have ended."""
    await stage.ended(workflows_of(await world.store.load(order_id)))
    return list(await world.store.load(order_id))
