"""A process that appends: ``python -m tests.integration.store.writer DSN SEED COUNT``.

Each of its clients goes on with a stream of its own, now and then with a command that must fail. What was acknowledged
is printed, a line each, before the client goes on.
"""

from __future__ import annotations

import asyncio
import random
import sys
from uuid import UUID

from payloops.events.store import Append, EventStore, Outcome
from payloops.events.store.group_commit import AppendRefused
from payloops.values import new_id
from tests.integration.store.appends import append, outbox_row, stored
from tests.integration.store.opening import opened

CLIENTS = 12


async def _client(store: EventStore, chance: random.Random, count: int) -> None:
    stream, version = new_id(), 0
    while version < count:
        match chance.randrange(8):
            case 0:  # a part of a batch that fails
                try:
                    await store.append(Append([stored(new_id(), topic="nul\0")]))
                except AppendRefused:
                    continue
            case 1:  # a lost race
                assert (await store.append(append(stream, version + 2))).outcome is Outcome.CONFLICT
            case 2:  # a client that went away
                gone = asyncio.ensure_future(store.append(append()))
                await asyncio.sleep(0)
                gone.cancel()
            case _:
                size = chance.randint(1, 3)
                made = append(stream, version + 1, count=size, rows={"outbox": [outbox_row()]})
                appended = await store.append(made)
                assert appended.outcome is Outcome.APPENDED
                version += size
                _tell(stream, version, appended.position)


def _tell(stream: UUID, version: int, position: int | None) -> None:
    print(stream, version, position, flush=True)


async def _main(dsn: str, seed: int, count: int) -> None:
    async with opened(dsn) as store:
        chances = [random.Random(seed * 1000 + number) for number in range(CLIENTS)]
        await asyncio.gather(*(_client(store, chance, count) for chance in chances))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
