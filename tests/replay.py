"""The checker after every test that writes: the log, folded again, says what the read tables say."""

from __future__ import annotations

from payloops.db import Database
from payloops.events.store import EventStore
from payloops.projections.order_emails import OrderEmails
from payloops.projections.verify import Report, verify


async def replay_report(database: Database, emails: OrderEmails | None = None) -> Report:
    """What `payloops projections verify` finds; without ``emails`` it has not the keys of customers' addresses."""
    return await verify(database, EventStore(database), emails=emails)


async def assert_replay_equals_tables(database: Database, emails: OrderEmails | None = None) -> Report:
    """Fail with every difference between the log and the read tables, and every broken rule of log and money."""
    report = await replay_report(database, emails)
    lines = [
        f"{difference.table} {difference.key} {difference.column or '(row)'}:"
        f" the log says {difference.expected!r}, the table {difference.found!r}"
        for difference in report.differences
    ]
    assert report.ok, "\n".join([f"{report.difference_count} differences", *lines, *report.violations])
    return report
