"""One process, and another one over the same database; every test's tables must be what its log says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payloops.commands.handlers import Guard
from payloops.db import Database
from tests.integration.handlers.world import Process, process
from tests.replay import assert_replay_equals_tables


@pytest.fixture
async def here(database_url: str, database: Database) -> AsyncIterator[Process]:
    async with process(database_url, listen=True) as made:
        yield made
    await assert_replay_equals_tables(database)


@pytest.fixture
async def there(database_url: str) -> AsyncIterator[Process]:
    async with process(database_url) as made:
        yield made


@pytest.fixture
async def shop(here: Process) -> Guard:
    return await here.merchant()
