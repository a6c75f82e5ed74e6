"""A server whose operator lets us make nothing: one clear line, and payments go on as far as they can."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from payloops.config import Settings
from payloops.errors import Unavailable
from payloops.temporal_server import TemporalServer
from payloops.values import new_id
from payloops.workflows_bridge.engines.base import Taken
from payloops.workflows_bridge.engines.temporal import TemporalEngine
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from tests.parts import missing_part
from tests.temporal.engine.test_engine import hand, operation
from tests.workflows.world import eventually

pytestmark = pytest.mark.temporal

PROXY = Path(__file__).with_name("strict_proxy.mjs")
PREPARATION = "payloops.workflows_bridge.temporal.preparation"


@asynccontextmanager
async def forbidding(server: TemporalServer, *words: str, **environ: str) -> AsyncIterator[str]:
    """The server's address behind a proxy that denies calls with such words in their names."""
    node = shutil.which("node")
    if node is None:
        missing_part("Node", "node is not on PATH")
    proxy = await asyncio.create_subprocess_exec(
        *(node, str(PROXY), f"http://{server.address}", *words),
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert proxy.stdout is not None
    try:
        host = "localhost" if "TLS_CERT" in environ else "127.0.0.1"
        yield f"{host}:{int(await asyncio.wait_for(proxy.stdout.readline(), 60))}"
    finally:
        proxy.kill()
        await proxy.communicate()


async def bare_namespace(server: TemporalServer) -> str:
    """A namespace without our search attributes, as an operator made it."""
    name, kept = f"bare-{new_id()}", Duration()
    kept.FromTimedelta(timedelta(days=3))
    client = await Client.connect(server.address)
    request = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=kept)
    await client.workflow_service.register_namespace(request)
    there = await Client.connect(server.address, namespace=name)

    async def known() -> bool:
        try:
            await there.count_workflows("WorkflowId = 'nobody'")
        except RPCError:
            return False
        return True

    await eventually(known, "all of the server knows the namespace")
    return name


@pytest.mark.parametrize(
    ("words", "says"),
    (
        (
            ("AddSearchAttributes",),
            "Temporal lacks the search attributes CorrelationId, MerchantId, OrderId, and we may not add them; ",
        ),
        (("OperatorService",), "Temporal refuses our search attributes; workflows start without: "),
    ),
)
async def test_attributes_that_may_not_be_made(
    temporal_server: TemporalServer, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], says: str
) -> None:
    namespace = await bare_namespace(temporal_server)
    async with forbidding(temporal_server, *words) as address:
        server = ServerAddress(address=address, namespace=namespace)
        engine = TemporalEngine(Preparation(Connection(server, part="test")))
        keys = [f"void-{new_id()}" for _ in range(3)]
        with caplog.at_level(logging.INFO, logger=PREPARATION):
            for key in keys:
                assert await engine.start(operation("o", key=key), hand(key)) == Taken()
        (line,) = [record.getMessage() for record in caplog.records if record.name == PREPARATION]
        assert line.startswith(says)
    client = await Client.connect(temporal_server.address, namespace=namespace)
    for key in keys:
        found = await client.get_workflow_handle(key).describe()
        assert "OrderId" not in found.search_attributes
        await client.get_workflow_handle(key).terminate()


async def test_a_namespace_that_may_not_be_made(
    temporal_server: TemporalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with forbidding(temporal_server, "RegisterNamespace") as address:
        missing = ServerAddress(address=address, namespace=f"missing-{new_id()}")
        preparation = Preparation(Connection(missing, part="test"))
        with pytest.raises(Unavailable, match=f"^Temporal has no namespace {missing.namespace}.$"):
            await preparation.client()
    (line,) = [record.getMessage() for record in caplog.records if record.name == PREPARATION]
    assert line == f"Temporal has no namespace {missing.namespace}, and we may not make it: no."


async def test_an_api_key_goes_along_over_tls(temporal_server: TemporalServer, certificates: Path) -> None:
    theirs = {
        "TLS_CERT": f"{certificates}/localhost.crt",
        "TLS_KEY": f"{certificates}/localhost.key",
        "API_KEY": "the-key",
    }
    async with forbidding(temporal_server, **theirs) as address:
        ours = {"TEMPORAL_ADDRESS": address, "TEMPORAL_TLS_CA": f"{certificates}/ca.crt"}
        for key, trouble in (
            ("the-key", None),
            ("another", f"Temporal at {address} does not answer: it does not accept TEMPORAL_API_KEY, or wants one."),
        ):
            server = ServerAddress.from_settings(Settings.from_env({**ours, "TEMPORAL_API_KEY": key}))
            assert await Connection(server, part="test").trouble(within_s=30) == trouble
