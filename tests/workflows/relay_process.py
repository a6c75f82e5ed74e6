"""A relay in a process of its own, to be killed and stopped: ``python -m tests.workflows.relay_process``.

The variable RELAY says where the database and the simulated processors are. It prints a line when it relays.
"""

from __future__ import annotations

import asyncio
import json
import os

from payloops.bootstrap.core import order_aggregate
from payloops.db import Database
from payloops.values import SystemClock
from payloops.workflows_bridge.embedded_relay import embedded_relay
from payloops.workflows_bridge.relay import RelayOptions
from tests.workflows.world import FAST, RING, process


async def main() -> None:
    told = json.loads(os.environ["RELAY"])
    database = Database(told["dsn"], min_size=1, max_size=4, application_name="payloops-relay")
    await database.open(wait_s=10.0)
    options = RelayOptions(concurrency=8, lease_s=told["lease_s"], poll_s=0.1)
    async with (
        process(database) as (handler, personal),
        embedded_relay(
            database,
            handler,
            order_aggregate(),
            ring=RING,
            personal=personal,
            clock=SystemClock(),
            api_bases=told["api_bases"],
            processor_timeout_s=5.0,
            options=options,
            schedule=FAST,
        ),
    ):
        print("relaying", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
