"""Deliveries over a Temporal server: a relay, and a worker of the queue that they are made on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from payloops.temporal_server import TemporalServer
from payloops.values import Clock
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.deliveries.parts import Deliveries, DeliveryOptions
from payloops.workflows_bridge.embedded_relay import embedded_relay
from payloops.workflows_bridge.engines.temporal import TemporalEngine
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from payloops.workflows_bridge.temporal.worker import QueueWorkers, WorkerOptions
from tests.clock import CLOCK
from tests.deliveries.world import DELIVERING, NOWHERE, OPTIONS, World, opened_deliveries
from tests.temporal import servers
from tests.workflows.world import RING, opened, process

BASES = {"stripe": NOWHERE, "razorpay": NOWHERE}


@asynccontextmanager
async def serving(world: World, server: TemporalServer) -> AsyncIterator[None]:
    """A relay and a worker of ``backend-operations``, over the dev server."""
    address = ServerAddress(address=server.address, namespace=servers.NAMESPACE)
    async with serving_by(world, lambda: Preparation(Connection(address, part="test"))):
        yield


@asynccontextmanager
async def relaying_by(
    world: World,
    preparation: Callable[[], Preparation],
    delivering: DeliveryOptions = DELIVERING,
    clock: Clock | None = None,
) -> AsyncIterator[Deliveries]:
    """A relay with a database and deliveries of its own; gives the deliveries."""
    async with (
        opened(world.dsn) as database,
        process(database) as (handler, personal),
        opened_deliveries(database, handler, personal, delivering, clock) as parts,
        embedded_relay(
            database,
            handler,
            world.orders,
            ring=RING,
            personal=personal,
            clock=CLOCK,
            api_bases=BASES,
            options=OPTIONS,
            tasks=parts.tasks,
            others=parts.activities,
            engine=TemporalEngine(preparation()),
        ),
    ):
        yield parts


@asynccontextmanager
async def serving_by(
    world: World,
    preparation: Callable[[], Preparation],
    delivering: DeliveryOptions = DELIVERING,
    clock: Clock | None = None,
) -> AsyncIterator[None]:
    """The same and a worker, over any server, by another schedule and clock."""
    stopping, ready = asyncio.Event(), asyncio.Event()
    async with relaying_by(world, preparation, delivering, clock) as parts:
        activities = Activities(
            handler=world.handler,
            orders=world.orders,
            accounts=cast("ProcessorAccounts", None),
            personal=world.personal,
            clock=CLOCK,
            others=parts.activities,
        )
        workers = QueueWorkers(
            preparation(),
            WorkerOptions(queues=("backend-operations",), grace_s=1.0),
            activities=activities,
            contract_activities=parts.contract.by_name,
        )
        task = asyncio.create_task(workers.run(stopping, ready=ready))
        try:
            await asyncio.wait_for(ready.wait(), 60)
            yield
        finally:
            stopping.set()
            await asyncio.wait_for(task, 60)
