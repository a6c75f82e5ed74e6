"""``payloops projections verify``: compares the read tables with the log; ``index-emails`` adds what searches lack."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.cli.surroundings import run_task
from payloops.config import Settings
from payloops.projections.verify import Report

SEALED_PREFIXES: Final = ("v1.", "p1.")
"""How encrypted values begin (crypto/encryption.py)."""
VALUE_CHARS_MAX: Final = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument(
        "action",
        choices=("verify", "index-emails"),
        help="verify: fold the whole log and compare every row with it; "
        "index-emails: let orders that are older than the search be found by their customers' addresses",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print what was compared and what differs (the status is 1 when something does), or what was added."""
    return run_task("projections", settings, _verify if arguments.action == "verify" else _index_emails)


def _verify(settings: Settings) -> int:
    report = asyncio.run(_compare(settings))
    print(f"{report.events} events of {report.streams} streams")
    for table, rows in report.rows.items():
        print(f"  {table}: {rows} rows")
    for difference in report.differences:
        column = "the row" if difference.column is None else difference.column
        found, expected = _shown(difference.found), _shown(difference.expected)
        print(f"DIFFERS {difference.table} {difference.key}: {column} is {found}, not {expected}")
    for violation in report.violations:
        print(f"BROKEN {violation}")
    print("ok" if report.ok else f"{report.difference_count} differences, {len(report.violations)} broken rules")
    return 0 if report.ok else 1


def _shown(value: Any) -> str:
    """A value for a terminal: one line, shortened, nothing sealed."""
    if value is None:
        return "absent"
    if isinstance(value, str) and value.startswith(SEALED_PREFIXES):
        return "[encrypted]"
    text = orjson.dumps(value).decode()
    return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "…"


async def _compare(settings: Settings) -> Report:
    from payloops.bootstrap.core import core
    from payloops.http.customer_email import email_digest
    from payloops.projections.order_emails import OrderEmails
    from payloops.projections.verify import verify

    async with core(settings, "projections") as base:
        emails = OrderEmails(base.database, base.personal, email_digest)
        return await verify(base.database, base.store, emails=emails)


def _index_emails(settings: Settings) -> int:
    written = asyncio.run(_write_emails(settings))
    print(f"{written} orders more are found by their customers' addresses")
    return 0


async def _write_emails(settings: Settings) -> int:
    from payloops.bootstrap.core import core
    from payloops.http.customer_email import email_digest
    from payloops.projections.order_emails import OrderEmails

    async with core(settings, "projections") as base:
        emails = OrderEmails(base.database, base.personal, email_digest)
        written, after = 0, UUID(int=0)
        while True:
            more, last = await emails.index(after)
            written += more
            if last is None:
                return written
            after = last
