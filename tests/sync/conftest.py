"""An API with simulated processors for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payloops.db import Database
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock
from payloops.workflows_bridge.relay import Relay
from tests.databases import TestDatabase
from tests.inbox.world import Inbox, open_inbox_at
from tests.integration.http.world import Merchant
from tests.replay import assert_replay_equals_tables
from tests.sync.world import MovableClock, relaying


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Simulators of both processors, forgotten afterwards."""
    running = build_sandbox(None, SystemClock(), settle_delay_s=0.2, hold_s=20)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def inbox(
    test_database: TestDatabase, database: Database, sandbox: Sandbox, clock: MovableClock
) -> AsyncIterator[Inbox]:
    """An API; after the test, the log folded again must say what the tables say."""
    async with open_inbox_at(clock, test_database, sandbox) as opened:
        yield opened
    await assert_replay_equals_tables(database)


@pytest.fixture
async def merchant(inbox: Inbox) -> Merchant:
    """A merchant with both processors and their webhook secrets."""
    return await inbox.merchant("stripe", "razorpay")


@pytest.fixture
async def relay(inbox: Inbox) -> AsyncIterator[Relay]:
    async with relaying(inbox) as running:
        yield running
