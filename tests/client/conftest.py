"""Both clients, and the real service for them to speak to: API, relay, simulated processors, all on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from payloops.db import Database
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock
from tests.checkout.world import Shop, open_shop
from tests.client.both import KINDS, Both
from tests.databases import TestDatabase
from tests.replay import assert_replay_equals_tables


@pytest.fixture(params=KINDS)
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    made = Both(request.param)
    yield made
    await made.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    running = build_sandbox(None, SystemClock(), settle_delay_s=0.05, hold_s=20)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@pytest.fixture
async def shop(test_database: TestDatabase, database: Database, sandbox: Sandbox) -> AsyncIterator[Shop]:
    """One merchant with Stripe and Razorpay, and a relay; afterwards, a replay of the log equals the tables."""
    async with open_shop(test_database, sandbox) as opened:
        yield opened
    await assert_replay_equals_tables(database)


@pytest.fixture
async def client(both: Both, shop: Shop) -> Any:
    """The merchant's server."""
    return both.payloops(shop.merchant.api_key, base_url=shop.base_url)


@pytest.fixture
async def dashboard(both: Both, shop: Shop) -> Any:
    """The merchant at the dashboard."""
    return both.dashboard(shop.merchant.token, base_url=shop.base_url)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that the service runs on."""
    return {"uvloop": uvloop.new_event_loop}
