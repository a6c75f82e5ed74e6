"""One running service for the rows that break none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from payloops.embedded_postgres import EmbeddedPostgresError
from tests.gauntlet.service import Service, running
from tests.parts import missing_part


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Callable[[], Service]]:
    """Starts the service when it is first asked for; every row makes merchants of its own in it."""
    started: list[Service] = []
    with ExitStack() as stack:

        def service() -> Service:
            if not started:
                try:
                    started.append(stack.enter_context(running()))
                except (psycopg.OperationalError, EmbeddedPostgresError) as problem:
                    missing_part("postgres", str(problem).strip().splitlines()[0])
                asyncio.run(started[0].ready())
            return started[0]

        yield service
