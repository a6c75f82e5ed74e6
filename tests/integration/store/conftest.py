"""Stores over this test's database, near and behind a bad network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from payloops.events.store import EventStore
from tests.integration.store.blocker import Blocker
from tests.integration.store.opening import opened
from tests.integration.store.proxy import Proxy, proxied


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[EventStore]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxied(database_url) as made:
        yield made


@pytest.fixture
async def far_store(proxy: Proxy) -> AsyncIterator[EventStore]:
    """A store with the bad network between it and its database."""
    async with opened(proxy.dsn) as made:
        yield made


@pytest.fixture
async def blocker(owner_database_url: str) -> AsyncIterator[Blocker]:
    async with await psycopg.AsyncConnection.connect(owner_database_url, autocommit=True) as connection:
        yield Blocker(connection)


@pytest.fixture
def full_disk(owner_database_url: str) -> Iterator[psycopg.Connection]:
    """A switch: while ``disk`` has a row, the log can't grow."""
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE disk (is_full boolean)")
        owner.execute("GRANT SELECT ON disk TO PUBLIC")
        owner.execute(
            """
            CREATE FUNCTION refuse_on_full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF EXISTS (SELECT FROM disk) THEN
                    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
                END IF;
                RETURN NULL;
            END
            $$
            """
        )
        owner.execute(
            "CREATE TRIGGER full_disk AFTER INSERT ON stored_events"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_on_full_disk()"
        )
        yield owner
