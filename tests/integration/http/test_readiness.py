"""/health/ready: which parts decide, and what it says of each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import aiohttp
import pytest

from payloops.http import health
from payloops.http.app import build_app
from payloops.http.server import HttpServer
from payloops.http.services import CheckResult, ReadinessCheck
from tests.integration.http.world import Answer, Api

OK = CheckResult("ok", "fine")


def always(result: CheckResult) -> ReadinessCheck:
    async def check() -> CheckResult:
        return result

    return check


async def hangs() -> CheckResult:
    await asyncio.Event().wait()
    return OK


async def breaks() -> CheckResult:
    raise ZeroDivisionError("a secret")


async def ready(api: Api, checks: Mapping[str, ReadinessCheck]) -> Answer:
    server = HttpServer(build_app(dataclasses.replace(api.services, checks=checks)))
    port = await server.start("127.0.0.1", 0)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/health/ready", headers={"X-Correlation-ID": "c"}) as reply,
        ):
            return Answer(reply.status, reply.headers, await reply.read())
    finally:
        await server.stop()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.05)


async def test_all_well_is_ok(api: Api) -> None:
    answer = await ready(api, {"database": always(OK), "schema": always(OK), "engine": always(OK)})
    assert answer.must(200)["status"] == "ok"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("check", (always(CheckResult("down", "gone")), always(CheckResult("degraded", "lag")), hangs))
async def test_other_parts_only_degrade(api: Api, check: ReadinessCheck) -> None:
    answer = await ready(api, {"database": always(OK), "schema": always(OK), "engine": check})
    assert answer.must(200)["status"] == "degraded"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("part", ("database", "schema"))
@pytest.mark.parametrize("check", (always(CheckResult("down", "gone")), hangs, breaks))
async def test_without_database_or_schema_it_is_an_error_as_well(api: Api, part: str, check: ReadinessCheck) -> None:
    answer = await ready(api, {"database": always(OK), "schema": always(OK), part: check})
    body = answer.must(503)
    assert (body["status"], body["code"], body["correlationId"]) == ("degraded", "unavailable", "c")
    assert body["checks"][part]["status"] == "down"
    assert answer.headers["Retry-After"] == "1"
    assert b"secret" not in answer.raw


async def test_it_is_asked_twice_a_second_at_most(api: Api) -> None:
    asked = 0

    async def counting() -> CheckResult:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return OK

    server = HttpServer(build_app(dataclasses.replace(api.services, checks={"database": counting})))
    port = await server.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/health/ready"
    async with aiohttp.ClientSession() as session:

        async def get() -> int:
            async with session.get(url) as reply:
                return reply.status

        assert set(await asyncio.gather(*(get() for _ in range(30)))) == {200}
    await server.stop()
    assert asked <= 3
