"""``payloops projections verify``: compares the read tables with the log."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any, Final

import orjson

from payloops.cli.surroundings import run_task
from payloops.config import Settings
from payloops.projections.verify import Report

SEALED_PREFIXES: Final = ("v1.", "p1.")
"""How encrypted values begin (crypto/encryption.py)."""
VALUE_CHARS_MAX: Final = 200


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
    from payloops import bootstrap
    from payloops.projections.verify import verify

    async with bootstrap.core(settings, "projections") as core:
        return await verify(core.database, core.store)
