"""Headers of every answer there is: on each call of the route table, on each refusal, and before there is a route.

Who may keep an answer, show it in a frame, or read it from another origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from payloops.http.openapi.document import Call, parameters
from payloops.http.routes import routes
from tests.conformance import document
from tests.databases import TestDatabase
from tests.integration.http.raw import wire
from tests.integration.http.walk import CALLS, Walk, example_of, set_out, with_token_to_spend
from tests.integration.http.world import Answer, Api

OURS: Final = "https://app.example.com"
"""One of CORS_ORIGINS in the world of these tests."""
STRANGERS: Final = (
    *("null", "https://evil.example", "https://app.example.com.evil.example", "http://app.example.com"),
    *(
        "https://app.example.com:8443",
        "https://app.example.com/",
        "HTTPS://APP.EXAMPLE.COM",
        "https://xapp.example.com",
    ),
    *("https://evil.example/https://app.example.com", "https://app.example.com, https://evil.example", "*"),
)
ALWAYS_READABLE: Final = frozenset({"Content-Type", "Content-Length", "Cache-Control"})
"""Of an answer from another origin, by the fetch standard."""
NEVER_ASKED: Final = frozenset({"Accept", "Stripe-Signature", "X-Razorpay-Signature", "X-Razorpay-Event-Id"})
"""Request headers that need no leave, or that no browser sends."""


def kept_for_ever(call: Call) -> bool:
    return call.path.endswith("/assets/{name}")


def require_guarded(answer: Answer, name: str, *, lasting: bool = False) -> None:
    """The headers that each answer has; ``lasting``: whoever reads it may keep it."""
    headers = answer.headers
    expected = "public, max-age=31536000, immutable" if lasting else "no-store"
    assert headers.get("Cache-Control") == expected, name
    assert headers.get("X-Content-Type-Options") == "nosniff", name
    assert headers.get("Referrer-Policy") == "no-referrer", name
    assert headers.get("X-Correlation-ID"), name
    assert "Server" not in headers, name
    if lasting:
        assert headers.get("Cross-Origin-Resource-Policy") == "same-origin", name
        return
    assert headers.get("X-Frame-Options") == "DENY", name
    policy = headers.get("Content-Security-Policy", "")
    assert "default-src 'none'" in policy, name
    assert "frame-ancestors 'none'" in policy, name
    assert "unsafe" not in policy, name


async def test_every_call_and_each_way_to_refuse_it_is_guarded(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    for call in CALLS:
        await with_token_to_spend(walk, call)
        good = await walk.send(call, **await example_of(walk, call))
        assert good.status < 400, (call.name, good.raw[:200])
        require_guarded(good, call.name, lasting=kept_for_ever(call))
        for name, refusal in (await _refusals(walk, call)).items():
            if refusal.status >= 400:
                require_guarded(refusal, f"{call.name}, {name}")


async def _refusals(walk: Walk, call: Call) -> Mapping[str, Answer]:
    nowhere = dict.fromkeys(walk.ids(call), "nothing")
    return {
        "no credential": await walk.send(call, credential="none"),
        "another credential": await walk.send(call, credential="other"),
        "nothing there": await walk.send(call, ids=nowhere),
        "a broken body": await walk.send(call, data=b"{"),
        "another method": await walk.api.call("TRACE", call.path),
        "headers that are too large": await walk.send(call, headers={"X-Much": "a" * 9000}),
    }


NO_REQUESTS: Final = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    "a broken header": b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a broken chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a long target": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_REQUESTS)
async def test_what_is_no_request_is_guarded_too(api: Api, name: str) -> None:
    async with wire(api.port) as connection:
        await connection.send(NO_REQUESTS[name])
        answer = await connection.answer()
    assert answer.status in {400, 431}, name
    require_guarded(Answer(answer.status, answer.headers, answer.body), name)
    assert set(answer.json) >= {"code", "message", "correlationId"}


async def test_paths_and_methods_that_are_not_there_are_guarded(api: Api) -> None:
    absent = (("GET", "/"), ("GET", "/nothing"), ("POST", "/health"), ("OPTIONS", "/v1/orders"), ("FOO", "/"))
    for method, path in absent:
        require_guarded(await api.call(method, path), f"{method} {path}")


# ------------------------------------------------------------------------------------------------------ other origins


def _grants(answer: Answer) -> list[str]:
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_a_known_origin_may_read_every_answer_and_all_of_its_headers(
    api: Api, test_database: TestDatabase
) -> None:
    walk = await set_out(api, test_database)
    described = set(document()["components"]["headers"]) - ALWAYS_READABLE
    for call in CALLS:
        for credential in ("right", "none"):
            answer = await walk.send(call, credential=credential, headers={"Origin": OURS})
            assert answer.headers["Access-Control-Allow-Origin"] == OURS, call.name
            assert "Access-Control-Allow-Credentials" not in answer.headers, call.name
            assert "Origin" in answer.headers["Vary"], call.name
            assert described <= set(answer.headers["Access-Control-Expose-Headers"].split(", ")), call.name


async def test_a_known_origin_is_told_once_what_it_may_send(api: Api) -> None:
    methods: dict[str, set[str]] = {}
    for call in CALLS:
        methods.setdefault(call.path, set()).add(call.route.method)
    for call in CALLS:
        headers = {"Origin": OURS, "Access-Control-Request-Method": call.route.method}
        answer = await api.call("OPTIONS", call.path.replace("{", "").replace("}", ""), headers=headers)
        assert (answer.status, answer.raw) == (204, b""), call.name
        assert methods[call.path] <= set(answer.headers["Access-Control-Allow-Methods"].split(", ")), call.name
        wanted = {each.name for each in parameters(call) if each.where == "header"} - NEVER_ASKED
        wanted |= {"Authorization", "X-API-Key", "Content-Type"}
        assert wanted <= set(answer.headers["Access-Control-Allow-Headers"].split(", ")), call.name
        assert 0 < int(answer.headers["Access-Control-Max-Age"]) <= 7200, call.name
        assert answer.headers["Vary"] == "Origin", call.name


async def test_no_other_origin_is_told_anything(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    for number, call in enumerate(CALLS):
        # Each call with some, each of them with some calls: all with all says no more.
        for origin in (STRANGERS[number % len(STRANGERS)], "null", "https://app.example.com.evil.example"):
            headers = {"Origin": origin, "Access-Control-Request-Method": call.route.method}
            for answer in (
                await walk.send(call, headers=headers),
                await api.call("OPTIONS", call.path.replace("{", "").replace("}", ""), headers=headers),
            ):
                assert _grants(answer) == [], (call.name, origin)


async def test_two_origins_are_none(api: Api) -> None:
    async with wire(api.port) as connection:
        await connection.send(f"GET /health HTTP/1.1\r\nHost: x\r\nOrigin: {OURS}\r\nOrigin: {OURS}\r\n\r\n".encode())
        answer = await connection.answer()
    assert _grants(Answer(answer.status, answer.headers, answer.body)) == []


def test_the_walk_takes_in_a_route_that_is_added_by_itself() -> None:
    """These tests walk what ``routes()`` says, so a new route is in them as soon as it is served."""
    assert {call.route.name for call in CALLS} == {route.name for route in routes()}
