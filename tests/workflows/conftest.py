"""A world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payloops.db import Database
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock
from tests.replay import assert_replay_equals_tables
from tests.workflows.world import World, open_world


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Simulators of both processors, forgotten afterwards. They take 0.3 s for what they do by themselves."""
    running = build_sandbox(None, SystemClock(), settle_delay_s=0.3, hold_s=20)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@pytest.fixture
async def world(database_url: str, database: Database, sandbox: Sandbox) -> AsyncIterator[World]:
    """Everything but HTTP and relays; after the test, the log folded again must say what the tables say."""
    async with open_world(database_url, database, sandbox) as opened:
        yield opened
    await assert_replay_equals_tables(database)
