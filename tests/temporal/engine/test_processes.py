"""The processes as they are deployed: an API, a relay and a worker over a Temporal server, and what they say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from payloops.config import Settings
from payloops.sandbox.app import Sandbox
from payloops.temporal_server import start
from tests.databases import TestDatabase
from tests.integration.http.world import SETTINGS
from tests.parts import open_directory
from tests.ports import held_ports
from tests.temporal import servers
from tests.workflows.world import eventually

pytestmark = [pytest.mark.temporal, pytest.mark.slow]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
CHAIN = (
    "processor request",
    "activity chargePayment",
    "StartActivity:chargePayment",
    "StartWorkflow:PaymentWorkflow",
    "outbox start",
    "POST /v1/orders/:id/pay",
)
"""Spans, each the child of the next, from the processor's request to ours."""
STOP_S = 60
"""More than the ten seconds of the wire contract, for a machine that is busy with other tests."""
START_S = 60


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[Span]]]:
    received: list[Span] = []

    async def take(request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest()
        message.ParseFromString(await request.read())
        received.extend(
            one for resource in message.resource_spans for scope in resource.scope_spans for one in scope.spans
        )
        return web.Response()

    app = web.Application()

    async def leave(_request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_post("/v1/traces", take)
    app.router.add_post("/v1/metrics", leave)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}", received
    finally:
        await runner.cleanup()


@asynccontextmanager
async def part(name: str, environ: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """One part of the service; told to stop at the end, which it must do in time and with status 0."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payloops", name), env=environ, stdout=output, stderr=output, cwd=log.parent
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            finally:
                if process.returncode is None:
                    process.kill()
    assert process.returncode == 0, text_of(log)[-2000:]


def text_of(log: Path) -> str:
    return log.read_text()


async def up(condition: Callable[[], Awaitable[bool]], logs: Iterable[Path]) -> None:
    """Processes need longer than what they do."""
    for _ in range(START_S * 5):
        if await condition():
            return
        await asyncio.sleep(0.2)
    pytest.fail("\n".join(text_of(log)[-3000:] for log in logs))


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def of_the_test(span: Span) -> bool:
    return span.trace_id.hex() == TRACE_ID


def ancestry(name: str, spans: list[Span]) -> tuple[str, ...]:
    """The names from the first span of that name up to the one whose parent is the caller's."""
    by_id = {span.span_id.hex(): span for span in spans}
    span, names = next(span for span in spans if span.name == name), [name]
    while span.parent_span_id.hex() != CALLER:
        span = by_id[span.parent_span_id.hex()]
        names.append(span.name)
    return tuple(names)


class Shop:
    """A merchant over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{port}"
        self._headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self._headers
        async with self._http.request(method, self._base + path, json=body, headers=sent) as reply:
            told = await reply.json()
            assert reply.status < 300, told
            return told

    async def open(self) -> None:
        account = {"name": "A shop", "email": "jane@shop.example", "password": "correct horse"}
        token = (await self.call("POST", "/api/auth/register", account))["token"]
        self._headers = {"Authorization": f"Bearer {token}"}
        await self.call("POST", "/api/processors/stripe", {"credentials": {"secretKey": "sk_test_shop"}})
        key = (await self.call("POST", "/api/api-keys", {"name": "k"}))["secret"]
        self._headers = {"X-API-Key": key}

    async def pay(self, correlation_id: str, **headers: str) -> Any:
        order = await self.call("POST", "/v1/orders", {"amount": 1234})
        body = {"paymentMethod": {"type": "card", "token": "pm_card_visa"}}
        return await self.call(
            "POST", f"/v1/orders/{order['id']}/pay", body, X_Correlation_ID=correlation_id, Prefer="wait=20", **headers
        )


async def engine_of(shop: Shop) -> Any:
    return (await shop.call("GET", "/health/ready"))["checks"]["engine"]


async def test_one_payment_from_request_to_processor(test_database: TestDatabase, sandbox: Sandbox) -> None:
    with open_directory() as place:
        logs = {name: place / f"{name}.log" for name in ("api", "relay", "worker")}
        await take_payments(test_database, sandbox, place, logs)
        said = lines(logs["worker"])
    assert "sk_test" not in str(said)
    assert {line["level"] for line in said} <= {"info", "warning"}


async def take_payments(database: TestDatabase, sandbox: Sandbox, place: Path, logs: dict[str, Path]) -> None:
    """One as usual, one while the server is away."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(servers.dev_server(place))
        endpoint, spans = await stack.enter_async_context(collector())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        port = stack.enter_context(held_ports())
        environ = {name: value for name, value in os.environ.items() if name not in Settings.variables()} | SETTINGS
        environ |= {
            "PORT": str(port),
            "PAYLOOPS_DATA": str(place),
            "DATABASE_URL": database.app_dsn,
            "MIGRATION_DATABASE_URL": database.owner_dsn,
            "STRIPE_API_BASE": sandbox.stripe_url,
            "TEMPORAL_ADDRESS": server.address,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        for name, log in logs.items():
            await stack.enter_async_context(part(name, environ, log))
        shop = Shop(http, port)

        async def ready() -> bool:
            try:
                return (await engine_of(shop))["status"] == "ok" and "polls" in logs["worker"].read_text()
            except aiohttp.ClientError:
                return False

        await up(ready, logs.values())
        await shop.open()
        paid = await shop.pay("c-of-this-test", traceparent=f"00-{TRACE_ID}-{CALLER}-01")
        assert paid["status"] == "captured", "\n".join(text_of(log)[-3000:] for log in logs.values())

        async def one_trace() -> bool:
            return {CHAIN[0], CHAIN[-1], "activity recordPayment"} <= {each.name for each in spans if of_the_test(each)}

        await eventually(one_trace, "the trace goes from the request to the processor")
        assert ancestry("processor request", [each for each in spans if of_the_test(each)]) == CHAIN

        server.stop()

        async def degraded() -> bool:
            return bool((await engine_of(shop))["status"] == "degraded")

        await eventually(degraded, "a server that is away is told")
        health = await shop.call("GET", "/health/ready")
        assert health["status"] == "degraded"
        assert server.address in health["checks"]["engine"]["detail"]
        waiting = asyncio.create_task(shop.pay("c-while-away"))
        again = await asyncio.to_thread(start, place, namespace=servers.NAMESPACE, ports=server.ports)
        stack.callback(again.stop)
        assert (await waiting)["status"] == "captured"
        await eventually(ready, "a server that is back is told")


async def test_a_worker_stops_in_time_while_the_server_is_away(test_database: TestDatabase, sandbox: Sandbox) -> None:
    with open_directory() as place, servers.dev_server(place) as server:
        environ = {name: value for name, value in os.environ.items() if name not in Settings.variables()} | SETTINGS
        environ |= {
            "PAYLOOPS_DATA": str(place),
            "DATABASE_URL": test_database.app_dsn,
            "STRIPE_API_BASE": sandbox.stripe_url,
            "TEMPORAL_ADDRESS": server.address,
        }
        log = place / "worker.log"

        async def polls() -> bool:
            return "polls" in log.read_text()

        async with part("worker", environ, log):
            await up(polls, [log])
            server.stop()
            await asyncio.sleep(1)


async def test_a_worker_of_the_embedded_engine_is_refused(test_database: TestDatabase) -> None:
    with open_directory() as place:
        environ = {name: value for name, value in os.environ.items() if name not in Settings.variables()} | SETTINGS
        environ |= {"PAYLOOPS_DATA": str(place), "DATABASE_URL": test_database.app_dsn}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payloops", "worker"), env=environ, stderr=asyncio.subprocess.PIPE, cwd=place
        )
        _, said = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 2
    assert said.decode().strip().splitlines() == [
        "payloops: payloops worker: WORKFLOW_ENGINE is embedded, and the relay runs that one; set TEMPORAL_ADDRESS"
    ]
