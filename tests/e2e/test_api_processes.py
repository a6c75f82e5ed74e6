"""Two API processes on one port: what one of them did, both know."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from payloops.client import (
    ApiError,
    AsyncDashboard,
    AsyncPayLoops,
    AuthenticationFailed,
    Conflict,
    InvalidRequest,
    Retries,
)
from payloops.config import Settings
from tests.databases import TestDatabase
from tests.integration.http.world import SETTINGS, open_api
from tests.ports import held_ports

pytestmark = pytest.mark.slow

WORKERS = 2
START_S = 60
STOP_S = 10


@asynccontextmanager
async def processes(database: TestDatabase, directory: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    kept = {name: value for name, value in os.environ.items() if name not in Settings.variables()}
    environ = kept | SETTINGS
    environ |= {"API_WORKERS": str(WORKERS), "PAYLOOPS_DATA": str(directory / "data")}
    environ |= {"DATABASE_URL": database.app_dsn, "MIGRATION_DATABASE_URL": database.owner_dsn}
    log = directory / "log"
    with held_ports() as port:
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "payloops", "api"),
                env=environ | {"PORT": str(port)},
                stdout=output,
                stderr=output,
                cwd=directory,
            )
        try:
            base_url = f"http://127.0.0.1:{port}"
            await until_ready(base_url, process)
            yield base_url, process
        except BaseException:
            print(log.read_text()[-4000:])
            raise
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(STOP_S):
                    await process.wait()
    assert process.returncode == 0, log.read_text()[-2000:]


async def until_ready(base_url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_S), httpx.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"{base_url}/health/ready")).status_code == 200:
                    break
            assert process.returncode is None
            await asyncio.sleep(0.1)


T = TypeVar("T")


async def outcomes(kind: type[ApiError], *calls: Awaitable[T]) -> tuple[list[T], list[ApiError]]:
    """What the calls answered, and the refusals of that kind; anything else is raised."""
    answers: list[T] = []
    refusals: list[ApiError] = []
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, kind):
            refusals.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers.append(outcome)
    return answers, refusals


async def test_two_processes_are_one_service(test_database: TestDatabase, tmp_path: Path) -> None:
    async with (
        processes(test_database, tmp_path) as (base_url, process),
        # Each call has a connection of its own, and goes to whichever process takes it.
        httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http,
    ):
        dashboard = await AsyncDashboard.register(
            name="A shop", email="jane@shop.example", password="correct horse", base_url=base_url, http_client=http
        )
        key = await dashboard.api_keys.create("k")
        await dashboard.processors.configure_stripe(secret_key="sk_test_1")
        client = AsyncPayLoops(key.secret, base_url=base_url, http_client=http, retries=Retries(attempts_max=1))
        orders = client.orders

        # One idempotency key, many connections: one order.
        made, in_flight = await outcomes(Conflict, *(orders.create(5, idempotency_key="k") for _ in range(20)))
        assert {refusal.code for refusal in in_flight} <= {"idempotency_in_flight"}
        assert len({order.id for order in made}) == 1
        order_id = made[0].id

        # Fifty payments, one of which is begun; it is waited for in one process and reported in another.
        payments = [orders.pay(order_id, wait=20) for _ in range(50)]
        paying = asyncio.create_task(outcomes(InvalidRequest, *payments))
        async with open_api(test_database) as reporter:
            await reporter.reached(order_id, 2)
            await reporter.captured(order_id, 5)
        paid, refused = await paying
        assert [payment.status for payment in paid] == ["captured"]
        assert [refusal.code for refusal in refused] == ["invalid_status"] * 49

        # A key that one process revoked holds for neither.
        await dashboard.api_keys.revoke(key.api_key.id)
        read, refused = await outcomes(AuthenticationFailed, *(orders.get(order_id) for _ in range(20)))
        assert (read, len(refused)) == ([], 20)
        assert process.returncode is None
