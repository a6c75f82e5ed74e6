"""A world, and a receiver, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payloops.db import Database
from tests.deliveries.receiver import Receiver, receiving
from tests.deliveries.world import World, open_world
from tests.replay import assert_replay_equals_tables


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Listens on loopback; each path is a receiver of its own."""
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def world(database_url: str, database: Database) -> AsyncIterator[World]:
    """Everything but relays; after the test, the log folded again must say what the tables say."""
    async with open_world(database_url, database) as opened:
        yield opened
    await assert_replay_equals_tables(database)
