"""What any call can give, and the API's description says once: 405, 408, 431, 500, 503. Each is caused on each call."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any, Final

import pytest

from payloops.http.openapi.document import Call
from payloops.http.openapi.errors import ANYWHERE
from payloops.http.services import CheckResult, Services
from tests.databases import TestDatabase, TestServer
from tests.integration.http.walk import CALLS, example_of, set_out
from tests.integration.http.world import Api, open_api, open_api_with

ALONE: Final = frozenset(
    {
        *("GET /health", "GET /health/live", "GET /openapi.json", "GET /docs", "GET /docs/assets/{name}"),
        "GET /checkout/assets/{name}",
    }
)
"""What needs no part of the service, and so is there when nothing else is."""
GIVEN_UP_WITHIN_S: Final = 60.0
"""The service does it within 10; a slow machine has to answer all of them then."""
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def test_these_are_the_codes() -> None:
    """A code that is added needs a test here."""
    caused = {"method_not_allowed", "request_timeout", "headers_too_large", "internal_error", "unavailable"}
    assert set(ANYWHERE) == caused


async def test_a_method_that_is_not_described_is_refused_and_allow_says_which_are(api: Api) -> None:
    described: dict[str, set[str]] = {}
    for call in CALLS:
        described.setdefault(call.path, set()).add(call.route.method)
    for path, methods in described.items():
        allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in METHODS:
            if method not in methods:
                answer = await api.call(method, path.replace("{", "").replace("}", ""))
                assert (answer.status, answer.code) == (405, "method_not_allowed"), (method, path)
                assert set(answer.headers["Allow"].split(", ")) == allowed, path


async def test_headers_that_are_too_large_are_refused_on_every_call(api: Api) -> None:
    for call in CALLS:
        answer = await api.call(call.route.method, call.path, headers={"X-Much": "a" * 9000})
        assert (answer.status, answer.code) == (431, "headers_too_large"), call.name


@pytest.mark.slow
async def test_a_body_that_never_comes_is_given_up_on_every_call(api: Api) -> None:
    """All at once, for each takes as long as the service has patience."""

    async def stall(call: Call) -> tuple[str, bytes]:
        path = call.path.replace("{", "").replace("}", "")
        head = f"{call.route.method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        try:
            writer.write(head.encode())
            return call.name, await reader.read()
        finally:
            writer.close()

    async with asyncio.timeout(GIVEN_UP_WITHIN_S):
        replies = await asyncio.gather(*map(stall, CALLS))
    for name, reply in replies:
        assert reply.startswith(b"HTTP/1.1 408 "), (name, reply)
        assert b'"code":"request_timeout"' in reply, (name, reply)


class Broken:
    """A part with a fault that nobody thought of. What it still can is what ``allowed`` names."""

    def __init__(self, part: Any, *allowed: str) -> None:
        self._part = part
        self._allowed = allowed

    def __getattr__(self, name: str) -> Any:
        if name not in self._allowed:
            raise RuntimeError(f"planted: {name} is broken")
        return getattr(self._part, name)


ADMITTING: Final = {
    "views": ("api_key", "close"),
    "tokens": ("hold",),
    "rate_limits": ("admit_address", "admit_merchant", "of_key"),
    "hashing": ("verify", "require_room_for_password"),
}
"""What lets a request in; so that what breaks is the call itself."""
KEPT: Final = frozenset({"settings", "clock", "ring", "jwt", "key_uses", "key_cache", "stopping"})


def broken(services: Services) -> Services:
    parts: dict[str, Any] = {
        field.name: Broken(getattr(services, field.name), *ADMITTING.get(field.name, ()))
        for field in dataclasses.fields(services)
        if field.name not in KEPT
    }
    parts["checks"] = dict.fromkeys(services.checks, _broken_check)
    return dataclasses.replace(services, **parts)


async def _broken_check() -> CheckResult:
    raise RuntimeError("planted: the check is broken")


async def test_a_fault_of_ours_is_told_as_such_and_no_more(
    api: Api, test_database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    walk = await set_out(api, test_database)
    async with open_api_with(broken, test_database) as ill:
        for call in CALLS:
            walk.api = api
            sent = await example_of(walk, call)
            walk.api = ill
            answer = await walk.send(call, **sent)
            if call.name in ALONE:
                assert answer.status == 200, call.name
            elif call.path == "/health/ready":
                assert (answer.status, answer.code) == (503, "unavailable"), call.name
            else:
                assert answer.status == 500, (call.name, answer.raw[:200])
                assert b"planted" not in answer.raw, call.name
                assert b"RuntimeError" not in answer.raw, call.name
                if not call.operation.for_people:
                    assert answer.code == "internal_error", call.name
                    assert answer.json["correlationId"] == answer.headers["X-Correlation-ID"], call.name


@pytest.mark.slow
async def test_without_a_database_every_call_says_so_but_those_that_need_none(
    postgres_server: TestServer, test_database: TestDatabase
) -> None:
    async with open_api(test_database) as api:
        walk = await set_out(api, test_database)
        sent = [(call, await example_of(walk, call)) for call in CALLS]
        postgres_server.cut_off(test_database)
        # All at once, for each has patience with a database that may come back.
        answers = await asyncio.gather(*(walk.send(call, **request) for call, request in sent))
        for call, answer in zip((call for call, _ in sent), answers, strict=True):
            if call.name in ALONE or call.path == "/metrics":
                assert answer.status == 200, call.name
                continue
            assert answer.status == 503, (call.name, answer.raw[:200])
            assert int(answer.headers["Retry-After"]) >= 1, call.name
            if not call.operation.for_people:
                assert answer.code == "unavailable", call.name
