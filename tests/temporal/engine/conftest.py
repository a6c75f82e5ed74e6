"""A world over a Temporal server for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from payloops.db import Database
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.temporal_server import TemporalServer
from payloops.values import SystemClock
from payloops.workflows_bridge.temporal.connection import ServerAddress
from tests.parts import open_directory
from tests.replay import assert_replay_equals_tables
from tests.temporal import servers
from tests.temporal.engine.certificates import make_certificates
from tests.temporal.engine.world import TemporalWorld
from tests.workflows.world import open_world


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Simulators of both processors, forgotten afterwards."""
    running = build_sandbox(None, SystemClock(), settle_delay_s=0.3, hold_s=20)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@pytest.fixture
async def temporal(
    database_url: str,
    database: Database,
    sandbox: Sandbox,
    temporal_server: TemporalServer,
    temporal_client: Client,
) -> AsyncIterator[TemporalWorld]:
    """Everything but relays and workers; afterwards no workflow runs, and the log says what the tables say."""
    server = ServerAddress(address=temporal_server.address, namespace=servers.NAMESPACE)
    async with open_world(database_url, database, sandbox) as base:
        world = TemporalWorld(base, temporal_client, server)
        yield world
        await world.terminate_all()
    await assert_replay_equals_tables(database)


@pytest.fixture(scope="session")
def certificates() -> Iterator[Path]:
    """A directory of certificates; see the module of that name."""
    with open_directory() as place:
        make_certificates(place)
        yield place
