"""The checker after every test that writes: the log, folded again, says what the read tables say."""

from __future__ import annotations

from payloops.db import Database
from payloops.events.store import EventStore
from payloops.projections.verify import Report, verify


async def replay_report(database: Database) -> Report:
    """What `payloops projections verify` finds."""
    return await verify(database, EventStore(database))


async def assert_replay_equals_tables(database: Database) -> Report:
    """Fail with every difference between the log and the read tables, and every broken rule of log and money."""
    report = await replay_report(database)
    lines = [
        f"{difference.table} {difference.key} {difference.column or '(row)'}:"
        f" the log says {difference.expected!r}, the table {difference.found!r}"
        for difference in report.differences
    ]
    assert report.ok, "\n".join([f"{report.difference_count} differences", *lines, *report.violations])
    return report
