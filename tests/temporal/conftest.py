"""A dev server for the tests of this process, a client of it, and a server that skips time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from payloops.temporal_server import TemporalServer
from tests.temporal import servers


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[TemporalServer]:
    """The dev server of this test process: namespace ``loop``, search attributes registered."""
    with servers.dev_server() as server:
        yield server


@pytest.fixture
async def temporal_client(temporal_server: TemporalServer) -> Client:
    """A client of it, as anybody's: plain JSON."""
    return await Client.connect(temporal_server.address, namespace=servers.NAMESPACE)


@pytest.fixture
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose time jumps to the next timer while nothing else happens, for this test alone."""
    async with servers.time_skipping() as environment:
        yield environment
