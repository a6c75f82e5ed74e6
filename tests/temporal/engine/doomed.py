"""Worker processes that are to die: at the beginning or the end of one activity's call, or when somebody kills them.

They are forked from a process that has loaded everything, so that each costs little. Their workflows live by a quick
schedule, but wait for a customer however slow the machine is. A lost worker is noticed after HEARTBEAT_S; nothing is
kept in memory between two tasks, so no task is ever sent to a dead process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkServerProcess
from typing import Any, Final, Literal
from unittest.mock import patch

from payloops.bootstrap.core import order_aggregate
from payloops.db import Database
from payloops.values import SystemClock
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.temporal import driver
from payloops.workflows_bridge.temporal.calls import CallRules
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from payloops.workflows_bridge.temporal.worker import QueueWorkers, WorkerOptions
from tests.deliveries.world import DELIVERING, opened_deliveries
from tests.temporal.scenarios.workflows import WORKFLOWS
from tests.workflows.world import RING, process

HEARTBEAT_S: Final = 2.0
RULES: Final = CallRules(attempt_s=30, heartbeat_s=HEARTBEAT_S, first_pause_s=0.1, pause_max_s=1.0)
STARTS_WITHIN_S: Final = 60.0
DIES_WITHIN_S: Final = 60.0
When = Literal["before", "after"]


@dataclass(frozen=True)
class Doom:
    """``subject`` is the id of the order or delivery whose activity is the last."""

    activity: str
    when: When
    subject: str


@dataclass(frozen=True)
class Places:
    """Where everything is."""

    dsn: str
    address: str
    namespace: str
    api_bases: Mapping[str, str]


class DoomedActivities(Activities):
    """They kill their process."""

    doom: Doom | None = None

    async def call(self, name: str, told: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        doom = self.doom
        named = doom is not None and name == doom.activity and doom.subject in told.values()
        if doom is not None and named and doom.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await super().call(name, dict(told), caller)
        if named:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


@asynccontextmanager
async def worker(places: Places, doom: Doom | None = None) -> AsyncIterator[ForkServerProcess]:
    """A process that works; it is killed at the end, if it has not died before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    told, tells = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(places, doom, tells), daemon=True)
    await asyncio.to_thread(process.start)
    tells.close()
    try:
        assert await asyncio.to_thread(told.poll, STARTS_WITHIN_S), "the worker does not start"
        assert told.recv() == "working"
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        told.close()


async def dies(process: ForkServerProcess) -> None:
    """Wait until it is dead."""
    await asyncio.to_thread(process.join, DIES_WITHIN_S)
    assert process.exitcode == -signal.SIGKILL, process.exitcode


def _live(places: Places, doom: Doom | None, tells: Pipe) -> None:
    with patch.object(driver, "rules_of", lambda _activity: RULES):
        asyncio.run(_work(places, doom, tells))


async def _work(places: Places, doom: Doom | None, tells: Pipe) -> None:
    database = Database(places.dsn, min_size=1, max_size=4, application_name="payloops-worker")
    await database.open(wait_s=10.0)
    async with (
        process(database) as (handler, personal),
        opened_deliveries(database, handler, personal, DELIVERING) as parts,
    ):
        accounts = ProcessorAccounts(database, RING, api_bases=places.api_bases, timeout_s=20.0)
        await accounts.open()
        activities = DoomedActivities(
            handler=handler,
            orders=order_aggregate(),
            accounts=accounts,
            personal=personal,
            clock=SystemClock(),
            others=parts.activities,
        )
        activities.doom = doom
        address = ServerAddress(address=places.address, namespace=places.namespace)
        workers = QueueWorkers(
            Preparation(Connection(address, part="worker")),
            WorkerOptions(queues=("stripe-payments", "backend-operations"), cached_workflows_max=0),
            activities=activities,
            contract_activities={},
            payment_workflows=WORKFLOWS["lasting"],
        )
        ready = asyncio.Event()
        task = asyncio.create_task(workers.run(asyncio.Event(), ready=ready))
        await ready.wait()
        tells.send("working")
        await task
