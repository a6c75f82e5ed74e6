"""Postgres is killed under running payments: all of them end, and agree with the processor."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from payloops import embedded_postgres
from payloops.db import Database
from payloops.errors import Unavailable
from payloops.migrations.runner import migrate
from payloops.sandbox.app import Sandbox
from tests.parts import open_directory
from tests.workflows.world import FAST, OPTIONS, open_world

PATIENCE_S = 60.0


@pytest.mark.slow
async def test_a_killed_database_comes_back_and_everything_ends(sandbox: Sandbox) -> None:
    with open_directory() as directory:
        server = await asyncio.to_thread(embedded_postgres.start, directory)
        try:
            await asyncio.to_thread(migrate, server.owner_dsn, app_dsn=server.app_dsn)
            database = Database(server.app_dsn, min_size=1, max_size=8)
            await database.open(wait_s=PATIENCE_S)
            async with (
                open_world(server.app_dsn, database, sandbox) as world,
                world.relaying(FAST, replace(OPTIONS, lease_s=2.0)),
            ):
                orders = [await world.create() for _ in range(20)]
                for order_id in orders:
                    await world.pay(order_id, "pm_card_visa")
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.to_thread(server.server.wait, PATIENCE_S)
                server.stop()
                server = await asyncio.to_thread(embedded_postgres.start, directory)

                async def captured(order_id: object) -> None:
                    while True:
                        try:
                            await world.reach(order_id, "captured")  # type: ignore[arg-type]
                        except Unavailable:
                            await asyncio.sleep(0.1)
                        else:
                            return

                async with asyncio.timeout(90):
                    await asyncio.gather(*(captured(order_id) for order_id in orders))
                    await world.quiet()
                for order_id in orders:
                    assert len(await world.agree(order_id)) == 1
            await database.close()
        finally:
            server.stop()
