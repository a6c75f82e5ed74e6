"""An API for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api


@pytest.fixture
async def api(test_database: TestDatabase) -> AsyncIterator[Api]:
    async with open_api(test_database) as opened:
        yield opened


@pytest.fixture
async def merchant(api: Api) -> Merchant:
    return await api.merchant()
