"""An API for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from payloops.db import Database
from payloops.http.customer_email import email_digest
from payloops.projections.order_emails import OrderEmails
from payloops.projections.personal_data import PersonalData
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api
from tests.replay import assert_replay_equals_tables


@pytest.fixture
async def api(request: pytest.FixtureRequest, test_database: TestDatabase, database: Database) -> AsyncIterator[Api]:
    """An API; after the test, the log folded again must say what the tables say."""
    async with open_api(test_database) as opened:
        yield opened
    if request.node.get_closest_marker("rewrites_tables") is None:
        personal = PersonalData(database, opened.services.ring)
        await assert_replay_equals_tables(database, OrderEmails(database, personal, email_digest))


@pytest.fixture
async def merchant(api: Api) -> Merchant:
    return await api.merchant()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that the service runs on."""
    return {"uvloop": uvloop.new_event_loop}
