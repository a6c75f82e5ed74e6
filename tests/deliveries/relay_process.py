"""A relay in a process of its own, to be killed: ``python -m tests.deliveries.relay_process``.

The variable RELAY says where the database is. It prints a line when it relays.
"""

from __future__ import annotations

import asyncio
import json
import os

from payloops.db import Database
from payloops.workflows_bridge.relay import RelayOptions
from tests.deliveries.world import relaying


async def main() -> None:
    told = json.loads(os.environ["RELAY"])
    database = Database(told["dsn"], min_size=1, max_size=4, application_name="payloops-relay")
    await database.open(wait_s=30.0)
    async with relaying(database, options=RelayOptions(concurrency=16, lease_s=1.5, poll_s=0.1)):
        print("relaying", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
