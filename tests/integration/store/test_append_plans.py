"""How append_batch finds what it looks for: by an index, even in a session that began when the tables were small."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from payloops.db import Database
from payloops.events.store import Append
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.store.appends import BY_HAND, append, by_hand, insert_api_key, key_row, stored

PLANNED_FOR_GOOD = 10
"""Calls after which a session keeps a statement's plan: PostgreSQL makes five of their own first."""
SCANS = (
    "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0 AND relname = ANY (%s) ORDER BY relname"
)
WITHOUT_SETTINGS = """
DO $$ BEGIN
    EXECUTE (
        SELECT format('ALTER FUNCTION %s RESET ALL', p.oid::regprocedure)
        FROM pg_proc p
        WHERE p.proname = 'append_batch');
END $$
"""
LOOKED_UP = ["stored_events", "api_keys", "idempotency_keys", "claims"]


def call(connection: psycopg.Connection, *appends: Append) -> list[Any]:
    return connection.execute(BY_HAND, by_hand(*appends), prepare=True).fetchall()


def fresh(api_key: UUID) -> Append:
    """A command that looks at all that is looked at."""
    owner = new_id()
    return append(owner, api_key_id=api_key, idempotency=key_row(), claim=(f"name:{owner}", owner))


@pytest.mark.parametrize("settings", ["off", "kept"])
async def test_no_look_up_reads_a_table_from_end_to_end(
    test_database: TestDatabase, database: Database, settings: str
) -> None:
    api_key = await insert_api_key(database)
    with psycopg.connect(test_database.owner_dsn, autocommit=True) as owner:
        if settings == "off":
            # What the test is worth: without the function's own settings, small tables are read whole.
            owner.execute(WITHOUT_SETTINGS)
        with psycopg.connect(test_database.app_dsn) as session:
            call(session, fresh(api_key))
            session.commit()
            owner.execute(f"VACUUM ANALYZE {', '.join(LOOKED_UP)}")
            for _ in range(PLANNED_FOR_GOOD):
                call(session, fresh(api_key))
                session.commit()
            again = fresh(api_key)
            call(session, again)
            session.commit()
            # A repeat is looked for in the log too, event by event.
            assert [row[1] for row in call(session, again)] == ["same"]
            call(session, Append([stored(new_id())], idempotency=again.idempotency))
            scans = session.execute(SCANS, (LOOKED_UP,)).fetchall()
    assert bool(scans) is (settings == "off"), scans
