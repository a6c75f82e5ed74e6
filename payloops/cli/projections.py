"""``payloops projections verify``: compares the read tables with the log."""

from __future__ import annotations

import argparse
import asyncio

from payloops.cli.surroundings import run_task
from payloops.config import Settings
from payloops.projections.verify import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("action", choices=("verify",), help="fold the whole log and compare every row with it")


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - verify is the only action
    """Print what was compared and what differs; the status is 1 when something does."""
    return run_task("projections", settings, _verify)


def _verify(settings: Settings) -> int:
    report = asyncio.run(_compare(settings))
    print(f"{report.events} events of {report.streams} streams")
    for table, rows in report.rows.items():
        print(f"  {table}: {rows} rows")
    for difference in report.differences:
        column = "the row" if difference.column is None else difference.column
        print(f"DIFFERS {difference.table} {difference.key}: {column} is {difference.found}, not {difference.expected}")
    for violation in report.violations:
        print(f"BROKEN {violation}")
    print("ok" if report.ok else f"{report.difference_count} differences, {len(report.violations)} broken rules")
    return 0 if report.ok else 1


async def _compare(settings: Settings) -> Report:
    from payloops import bootstrap
    from payloops.projections.verify import verify

    async with bootstrap.core(settings, "projections") as core:
        return await verify(core.database, core.store)
