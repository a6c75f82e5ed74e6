"""A worker in a process of its own, to be killed: ``python -m tests.temporal.engine.worker_process``.

The variable WORKER says where everything is. It prints a line when it polls.
"""

from __future__ import annotations

import asyncio
import json
import os

from payloops.bootstrap.core import order_aggregate
from payloops.db import Database
from payloops.values import SystemClock
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from payloops.workflows_bridge.temporal.worker import QueueWorkers, WorkerOptions
from tests.workflows.world import RING, process


async def main() -> None:
    told = json.loads(os.environ["WORKER"])
    database = Database(told["dsn"], min_size=1, max_size=4, application_name="payloops-worker")
    await database.open(wait_s=10.0)
    async with process(database) as (handler, personal):
        clock = SystemClock()
        accounts = ProcessorAccounts(database, RING, api_bases=told["api_bases"], timeout_s=20.0)
        await accounts.open()
        workers = QueueWorkers(
            Preparation(Connection(ServerAddress(address=told["address"], namespace=told["namespace"]), part="worker")),
            WorkerOptions(queues=("stripe-payments",)),
            activities=Activities(
                handler=handler, orders=order_aggregate(), accounts=accounts, personal=personal, clock=clock
            ),
            contract_activities={},
        )
        ready = asyncio.Event()
        task = asyncio.create_task(workers.run(asyncio.Event(), ready=ready))
        await ready.wait()
        print("working", flush=True)
        await task


if __name__ == "__main__":
    asyncio.run(main())
