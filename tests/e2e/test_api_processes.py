"""Two API processes on one port: what one of them did, both know."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from payloops.config import Settings
from tests.databases import TestDatabase
from tests.integration.http.world import SETTINGS, open_api

pytestmark = pytest.mark.slow

WORKERS = 2
START_S = 60
STOP_S = 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """Calls that go to whichever process takes the connection: each call has its own."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self._base + path, json=body, headers=sent) as reply,
        ):
            return reply.status, await reply.json() if reply.content_length else None


@asynccontextmanager
async def processes(
    database: TestDatabase, directory: Path
) -> AsyncIterator[tuple[Client, asyncio.subprocess.Process]]:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name not in Settings.variables()}
    environ = kept | SETTINGS
    environ |= {"PORT": str(port), "API_WORKERS": str(WORKERS), "PAYLOOPS_DATA": str(directory / "data")}
    environ |= {"DATABASE_URL": database.app_dsn, "MIGRATION_DATABASE_URL": database.owner_dsn}
    log = directory / "log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payloops", "api"), env=environ, stdout=output, stderr=output, cwd=directory
        )
    try:
        client = Client(port)
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if (await client.call("GET", "/health/ready"))[0] == 200:
                        break
                assert process.returncode is None, log.read_text()[-2000:]
                await asyncio.sleep(0.1)
        yield client, process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(STOP_S):
                await process.wait()
    assert process.returncode == 0, log.read_text()[-2000:]


async def test_two_processes_are_one_service(test_database: TestDatabase, tmp_path: Path) -> None:
    async with processes(test_database, tmp_path) as (client, process):
        account = {"name": "A shop", "email": "jane@shop.example", "password": "correct horse"}
        status, made = await client.call("POST", "/api/auth/register", account)
        assert status == 201
        bearer = {"Authorization": f"Bearer {made['token']}"}
        status, key = await client.call("POST", "/api/api-keys", {"name": "k"}, **bearer)
        by_key = {"X_API_Key": key["secret"]}
        credentials = {"credentials": {"secretKey": "sk_test_1"}}
        assert (await client.call("POST", "/api/processors/stripe", credentials, **bearer))[0] == 200

        # One idempotency key, many connections: one order.
        answers = await asyncio.gather(
            *(client.call("POST", "/v1/orders", {"amount": 5}, Idempotency_Key="k", **by_key) for _ in range(20))
        )
        assert {status for status, _ in answers} <= {201, 409}
        orders = {order["id"] for status, order in answers if status == 201}
        assert len(orders) == 1
        path = f"/v1/orders/{orders.pop()}"

        # Fifty payments, one of which is begun; it is waited for in one process and reported in another.
        paying = [
            asyncio.create_task(client.call("POST", f"{path}/pay", {}, Prefer="wait=20", **by_key)) for _ in range(50)
        ]
        async with open_api(test_database) as reporter:
            await reporter.reached(path.rpartition("/")[2], 2)
            await reporter.captured(path.rpartition("/")[2], 5)
        paid = await asyncio.gather(*paying)
        assert sorted(status for status, _ in paid) == [200] + [400] * 49
        assert [body["status"] for status, body in paid if status == 200] == ["captured"]

        # A key that one process revoked holds for neither.
        assert (await client.call("DELETE", f"/api/api-keys/{key['apiKey']['id']}", **bearer))[0] == 204
        refused = await asyncio.gather(*(client.call("GET", path, **by_key) for _ in range(20)))
        assert {status for status, _ in refused} == {401}
        assert process.returncode is None
