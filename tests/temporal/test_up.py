"""``payloops up`` on the real engine: a dev server of its own, kept alive, gone with it, its workflows kept."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest
from temporalio.client import Client

from payloops import temporal_server as dev_servers
from payloops.cli.commands import run
from payloops.temporal_server import ServerAddress, TemporalServer
from tests.gauntlet.client import Client as HttpClient
from tests.gauntlet.client import new_session
from tests.gauntlet.service import Service
from tests.gauntlet.shop import open_shop
from tests.integration.test_up import BACK_S, STOP_S, Up, gone
from tests.parts import open_directory

pytestmark = [pytest.mark.temporal, pytest.mark.slow]


class Place:
    """Where a shop finds an ``up``."""

    def __init__(self, up: Up) -> None:
        self.base_url = up.base_url
        self.sandbox_url = f"http://127.0.0.1:{up.port + 1}"


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as made:
        yield made


@pytest.fixture
def up(directory: Path, temporal_server: TemporalServer) -> Iterator[Up]:
    """Asks for the tests' own server too, so that the program is there, or the test is skipped."""
    running = Up(directory / "data", WORKFLOW_ENGINE="temporal", PAY_WAIT_S="20")
    yield running
    running.close()


def server_of(up: Up) -> psutil.Process:
    return next(one for one in up.family() if "start-dev" in one.cmdline())


def address_of(up: Up) -> ServerAddress:
    found = dev_servers.find_running(up.data_dir)
    assert found is not None
    return found


async def pay(up: Up, seed: int) -> str:
    """The workflow's id of a payment that was captured."""
    async with new_session() as http:
        shop = await open_shop(cast("Service", Place(up)), HttpClient(http, up.base_url))
        return f"payment-{(await shop.paid_order(random.Random(seed)))['id']}"


async def test_it_runs_a_server_of_its_own_and_mends_it(up: Up) -> None:
    address = address_of(up)
    async with new_session() as http, http.get(address.page_url) as page:
        assert page.status == 200
    first = await pay(up, 1)

    server = server_of(up)
    server.kill()
    assert gone([server])
    deadline_s = time.monotonic() + BACK_S
    while dev_servers.find_running(up.data_dir) is None:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)
    assert address_of(up) == address
    up.part("worker").kill()
    second = await pay(up, 2)
    client = await Client.connect(address.address, namespace="loop")
    for workflow_id in (first, second):
        assert (await client.get_workflow_handle(workflow_id).result())["status"] == "captured"

    family = up.family()
    began_s = time.monotonic()
    assert up.end(signal.SIGTERM) == 0
    assert time.monotonic() - began_s < STOP_S
    assert gone(family)
    assert dev_servers.find_running(up.data_dir) is None


async def test_a_killed_one_leaves_nothing_and_a_given_server_is_used(up: Up, temporal_server: TemporalServer) -> None:
    family = up.family()
    up.process.kill()
    up.process.wait()
    up.close()
    assert gone(family)

    up.environ["TEMPORAL_ADDRESS"] = temporal_server.address
    up.start()
    assert not [one for one in up.family() if "start-dev" in one.cmdline()]
    workflow_id = await pay(up, 3)
    client = await Client.connect(temporal_server.address, namespace="loop")
    assert (await client.get_workflow_handle(workflow_id).result())["status"] == "captured"
    assert up.end(signal.SIGINT) == 0


def test_a_part_alone_says_what_it_lacks(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["worker"], {"WORKFLOW_ENGINE": "temporal", "PAYLOOPS_DATA": str(directory)}) == 2
    assert capsys.readouterr().err == (
        "payloops: TEMPORAL_ADDRESS is needed by WORKFLOW_ENGINE=temporal: set it to host:port, or run payloops up\n"
    )
