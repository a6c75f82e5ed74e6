"""Fixtures of the sandbox's tests. None of them needs Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from payloops.sandbox.app import build_sandbox
from payloops.values import SystemClock
from tests.sandbox.world import Receiver, World


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(trust_env=False) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def world(session: aiohttp.ClientSession, receiver: Receiver) -> AsyncIterator[World]:
    """A sandbox in memory whose processors take 20 ms for what they do by themselves, and retry webhooks as quickly."""
    sandbox = build_sandbox(None, SystemClock(), settle_delay_s=0.02, retry_delays_s=(0.02, 0.02))
    await sandbox.start()
    yield World(sandbox, session, receiver)
    await sandbox.stop()
