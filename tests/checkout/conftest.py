"""A shop for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payloops.db import Database
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock
from tests.checkout.world import Shop, open_shop
from tests.databases import TestDatabase
from tests.replay import assert_replay_equals_tables


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Simulators of both processors, forgotten afterwards."""
    running = build_sandbox(None, SystemClock(), settle_delay_s=0.05, hold_s=20)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@pytest.fixture
async def shop(test_database: TestDatabase, database: Database, sandbox: Sandbox) -> AsyncIterator[Shop]:
    """A shop with a relay; after the test, the log folded again must say what the tables say."""
    async with open_shop(test_database, sandbox) as opened:
        yield opened
    await assert_replay_equals_tables(database)
