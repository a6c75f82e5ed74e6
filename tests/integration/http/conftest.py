"""An API for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api


@pytest.fixture
async def api(test_database: TestDatabase) -> AsyncIterator[Api]:
    async with open_api(test_database) as opened:
        yield opened


@pytest.fixture
async def merchant(api: Api) -> Merchant:
    return await api.merchant()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that the service runs on."""
    return {"uvloop": uvloop.new_event_loop}
