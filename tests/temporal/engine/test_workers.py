"""Workers that are killed, stopped, or have nobody to work for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from payloops.events.order_state import RequiresAction
from payloops.temporal_server import start
from payloops.workflows_bridge.temporal.connection import ServerAddress
from tests.parts import open_directory
from tests.temporal import servers
from tests.temporal.engine.world import TemporalWorld
from tests.workflows.world import eventually

pytestmark = pytest.mark.temporal

ROOT = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def worker_process(temporal: TemporalWorld) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own; killed at the end if it still runs."""
    told = {
        "dsn": temporal.base.dsn,
        "api_bases": temporal.api_bases,
        "address": temporal.server.address,
        "namespace": temporal.server.namespace,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.temporal.engine.worker_process",
        cwd=ROOT,
        env={**os.environ, "WORKER": json.dumps(told)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"working\n"
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.slow
async def test_a_worker_that_is_killed_in_the_middle_of_a_charge_has_charged_once(temporal: TemporalWorld) -> None:
    world = temporal.base
    await world.fault("payment.create", "slow", times=1)
    async with temporal.relaying():
        async with worker_process(temporal) as process:
            order_id = await world.paid("pm_card_visa")

            async def asked() -> bool:
                return bool((await world.ledger())["calls"].get("payment.create"))

            await eventually(asked, "the processor was asked")
            process.kill()
            await process.wait()
        async with temporal.working(("stripe-payments",)):
            # The server notices by the heartbeats that do not come.
            result = await asyncio.wait_for(temporal.payment(order_id).result(), 60)
            await world.reach(order_id, "captured")
    assert result["success"]
    assert len(await world.agree(order_id)) == 1
    assert (await world.ledger())["calls"]["payment.create"] == 2
    assert (await world.history(order_id)).count("PaymentCaptured") == 1


async def test_a_worker_that_stops_breaks_off_a_long_call_which_is_made_again(temporal: TemporalWorld) -> None:
    world = temporal.base
    await world.fault("payment.create", "slow", times=1)
    loop = asyncio.get_running_loop()
    async with temporal.relaying():
        async with temporal.working(("stripe-payments",), timeout_s=20.0, grace_s=0.3):
            order_id = await world.paid("pm_card_visa")

            async def asked() -> bool:
                return bool((await world.ledger())["calls"].get("payment.create"))

            await eventually(asked, "the processor was asked")
            began_s = loop.time()
        assert loop.time() - began_s < 5.0
        async with temporal.working(("stripe-payments",)):
            await world.reach(order_id, "captured")
    assert len(await world.agree(order_id)) == 1


async def test_a_worker_waits_for_a_server_that_is_away_and_says_so_once(
    temporal: TemporalWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = temporal.base
    with open_directory() as place, servers.dev_server(place) as first:
        first.stop()
        late = TemporalWorld(world, temporal.client, ServerAddress(address=first.address, namespace=servers.NAMESPACE))
        with caplog.at_level(logging.INFO, logger="payloops.workflows_bridge.temporal.worker"):

            async def come_back() -> None:
                while "the worker waits" not in caplog.text:
                    await asyncio.sleep(0.05)
                late_servers.append(
                    await asyncio.to_thread(start, place, namespace=servers.NAMESPACE, ports=first.ports)
                )

            late_servers: list[object] = []
            coming = asyncio.create_task(come_back())
            try:
                async with late.serving():
                    order_id = await world.paid("pm_card_visa")
                    await world.reach(order_id, "captured")
            finally:
                await coming
                for server in late_servers:
                    server.stop()  # type: ignore[attr-defined]
        said = [r.getMessage() for r in caplog.records if r.name.endswith("temporal.worker")]
    assert [line for line in said if "waits" in line] == [
        f"the worker waits: Temporal at {first.address} does not answer."
    ]
    assert any("polls" in line for line in said)


async def test_a_payment_stays_with_the_version_that_began_it(temporal: TemporalWorld) -> None:
    """Worker versioning: a later version takes new payments; what the earlier one began waits for it."""
    with open_directory() as place, servers.dev_server(place) as own:
        address = ServerAddress(address=own.address, namespace=servers.NAMESPACE)
        client = await Client.connect(own.address, namespace=servers.NAMESPACE)
        await stay_with_versions(TemporalWorld(temporal.base, client, address))


async def stay_with_versions(temporal: TemporalWorld) -> None:
    world = temporal.base

    async def serve_now(build_id: str) -> None:
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=servers.NAMESPACE, deployment_name="payloops", build_id=build_id, ignore_missing_task_queues=True
        )

        async def accepted() -> bool:
            try:
                await temporal.client.workflow_service.set_worker_deployment_current_version(request)
            except RPCError:
                return False
            return True

        await eventually(accepted, f"the server knows version {build_id}")

    def working(build_id: str) -> AbstractAsyncContextManager[None]:
        return temporal.working(("stripe-payments",), deployment="payloops", build_id=build_id)

    async def began_with(order_id: UUID) -> str:
        found = await temporal.payment(order_id).describe()
        return str(found.raw_description.workflow_execution_info.versioning_info.deployment_version.build_id)

    async with temporal.relaying():
        async with working("1"):
            await serve_now("1")
            early = await world.paid("pm_card_authenticationRequired")
            await world.reach(early, "requires_action")
            await temporal.waits(early)
        async with working("2"):
            await serve_now("2")
            late = await world.paid("pm_card_visa")
            await world.reach(late, "captured")
            await world.authenticate(early, "succeed")
            await world.complete(early)
            await world.quiet()
            assert (await began_with(early), await began_with(late)) == ("1", "2")
            assert isinstance(await world.state(early), RequiresAction)
            async with working("1"):
                await world.reach(early, "captured")
