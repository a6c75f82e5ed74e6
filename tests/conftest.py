"""Fixtures that every test can ask for, and the count of parts that were missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from payloops.db import Database
from tests import parts
from tests.databases import TestDatabase, TestServer, serve_databases


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[TestServer]:
    """The server that the whole run shares, whatever the number of workers."""
    try:
        with serve_databases() as server:
            yield server
    except (psycopg.OperationalError, RuntimeError) as problem:
        parts.missing_part("postgres", str(problem).strip().splitlines()[0])


@pytest.fixture
def test_database(postgres_server: TestServer) -> Iterator[TestDatabase]:
    """A database of this test's own with the current schema; dropped afterwards."""
    made = postgres_server.create()
    yield made
    postgres_server.drop(made)


@pytest.fixture
def empty_database(postgres_server: TestServer) -> Iterator[TestDatabase]:
    """A database of this test's own without any schema; dropped afterwards."""
    made = postgres_server.create_empty()
    yield made
    postgres_server.drop(made)


@pytest.fixture
def database_url(test_database: TestDatabase) -> str:
    """This test's database, as the application's role."""
    return test_database.app_dsn


@pytest.fixture
def owner_database_url(test_database: TestDatabase) -> str:
    """This test's database, as the owner of its schema."""
    return test_database.owner_dsn


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """This test's database, opened as the application opens it."""
    opened = Database(database_url, min_size=1, max_size=8, application_name="payloops-test")
    await opened.open(wait_s=5.0)
    yield opened
    await opened.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which parts were missing, and how many tests that cost."""
    counts: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, found, part = str(reason).partition(parts.PREFIX)
        if found:
            counts[part] = counts.get(part, 0) + 1
    if counts:
        terminalreporter.section("missing parts", sep="!", red=True)
        for part, count in sorted(counts.items()):
            terminalreporter.line(f"{count} tests skipped for want of {part}", red=True)
