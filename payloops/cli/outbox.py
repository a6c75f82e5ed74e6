"""``payloops outbox list`` and ``payloops outbox retry ID``: rows that were parked after too many failures."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from payloops.cli.surroundings import run_task
from payloops.config import Settings
from payloops.values import iso
from payloops.workflows_bridge.outbox_table import OutboxTable

LISTED_MAX = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help=f"the oldest {LISTED_MAX} parked rows, and how much waits")
    retry = actions.add_parser("retry", help="give a parked row its tries back")
    retry.add_argument("id", type=UUID, help="the row's id, as list prints it")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the parked rows, or let one go on; the status is 1 when there is no such row."""
    if arguments.action == "list":
        return run_task("outbox", settings, lambda ready: asyncio.run(_list(ready)))
    return run_task("outbox", settings, lambda ready: asyncio.run(_retry(ready, arguments.id)))


async def _list(settings: Settings) -> int:
    async with _outbox(settings) as outbox:
        backlog = await outbox.backlog()
        print(f"{backlog.due} rows are due, the first for {backlog.overdue_s:.1f} s; {backlog.parked} are parked")
        for row in await outbox.list_parked(LISTED_MAX):
            print(f"{row.id}  {row.kind}  {row.key}  since {iso(row.parked_at)}  {row.attempts} tries")
            print(f"    {row.last_error or 'no error was kept'}  (correlation id {row.correlation_id})")
    return 0


async def _retry(settings: Settings, row_id: UUID) -> int:
    async with _outbox(settings) as outbox:
        if not await outbox.unpark(row_id):
            print(f"no parked row has the id {row_id}")
            return 1
    print(f"{row_id} is due now")
    return 0


@asynccontextmanager
async def _outbox(settings: Settings) -> AsyncIterator[OutboxTable]:
    from payloops.bootstrap.core import core

    async with core(settings, "outbox") as base:
        outbox = OutboxTable(base.database)
        try:
            yield outbox
        finally:
            await outbox.close()
