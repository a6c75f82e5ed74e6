"""Connections: slow, broken, too large, pipelined, given up, and stopped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from payloops.http import connection
from payloops.http.message import Reply, Request
from payloops.http.routing import Route
from payloops.http.server import HttpServer
from payloops.http.services import Services
from tests.databases import TestDatabase
from tests.integration.http.raw import Wire, request, wire
from tests.integration.http.world import Api, Merchant, open_api


class Gate:
    """A call that answers when the test says so."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.finished = asyncio.Event()
        self.seen: list[bytes] = []

    async def __call__(self, asked: Request, _services: Services) -> Reply:
        self.seen.append(asked.body)
        self.entered.set()
        await self.open.wait()
        self.finished.set()
        return Reply(200, b'{"passed":true}')


async def echo(asked: Request, _services: Services) -> Reply:
    return Reply(200, b'{"length":%d}' % len(asked.body))


async def broken(_asked: Request, _services: Services) -> Reply:
    raise ZeroDivisionError("the secret of the universe")


async def large(_asked: Request, _services: Services) -> Reply:
    return Reply(200, b'"' + b"x" * 30_000_000 + b'"')


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def api(test_database: TestDatabase, gate: Gate) -> AsyncIterator[Api]:
    further = (
        Route("POST", "/test/echo", echo, "public"),
        Route("POST", "/test/gate", gate, "public"),
        Route("GET", "/test/broken", broken, "public"),
        Route("GET", "/test/large", large, "public"),
        Route("POST", "/webhooks/test", echo, "public"),
    )
    async with open_api(test_database, *further) as opened:
        yield opened


@pytest.fixture
async def line(api: Api) -> AsyncIterator[Wire]:
    async with wire(api.port) as opened:
        yield opened


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADERS_S", "BODY_S", "KEEPALIVE_S", "LINGER_S", "WRITE_S"):
        monkeypatch.setattr(connection, name, 0.1)
    monkeypatch.setattr("payloops.http.server.SWEEP_EVERY_S", 0.02)


def test_all_slow_senders_are_closed_within_ten_seconds() -> None:
    from payloops.http.server import SWEEP_EVERY_S

    assert connection.HEADERS_S + SWEEP_EVERY_S < 10
    assert connection.BODY_S + SWEEP_EVERY_S < 10


async def test_several_requests_on_one_connection(line: Wire) -> None:
    for length in (0, 1, 10, 65536):
        await line.send(request("POST", "/test/echo", b"x" * length))
        assert (await line.answer()).json == {"length": length}


async def test_pipelined_requests_are_answered_in_order(line: Wire) -> None:
    lengths = range(1, 200)
    await line.send(b"".join(request("POST", "/test/echo", b"x" * length) for length in lengths))
    assert [(await line.answer()).json["length"] for _ in lengths] == list(lengths)


async def test_pipelined_requests_wait_for_the_one_before(line: Wire, gate: Gate) -> None:
    await line.send(request("POST", "/test/gate", b"1"))
    await gate.entered.wait()
    body = b"x" * 60_000
    await line.send(b"".join(request("POST", "/test/echo", body) for _ in range(40)))
    gate.open.set()
    assert (await line.answer()).json == {"passed": True}
    for _ in range(40):
        assert (await line.answer()).json == {"length": 60_000}


async def test_a_body_in_many_pieces(line: Wire) -> None:
    whole = request("POST", "/test/echo", b"x" * 20)
    for place in range(len(whole)):
        await line.send(whole[place : place + 1])
        await asyncio.sleep(0)
    assert (await line.answer()).json == {"length": 20}


async def test_a_chunked_body(line: Wire) -> None:
    await line.send(request("POST", "/test/echo", Transfer_Encoding="chunked"))
    await line.send(b"3\r\nabc\r\n")
    await line.send(b"2;extension=1\r\nde\r\n0\r\n\r\n")
    assert (await line.answer()).json == {"length": 5}
    await line.send(request("GET", "/health/live"))
    assert (await line.answer()).status == 200


async def test_expect_continue_is_answered_before_the_body(line: Wire) -> None:
    await line.send(request("POST", "/test/echo", Content_Length="3", Expect="100-continue"))
    assert (await line.answer()).status == 100
    await line.send(b"abc")
    assert (await line.answer()).json == {"length": 3}
    await line.send(request("POST", "/test/echo", Content_Length="99999", Expect="100-continue"))
    assert (await line.answer()).status == 413


async def test_head_is_get_without_a_body(line: Wire) -> None:
    await line.send(request("HEAD", "/health/live"))
    answer = await line.answer(head=True)
    assert (answer.status, answer.headers["Content-Length"]) == (200, "15")
    await line.send(request("HEAD", "/nothing"))
    assert (await line.answer(head=True)).status == 404


async def test_http_1_0_is_answered_and_closed(line: Wire) -> None:
    await line.send(b"GET /health/live HTTP/1.0\r\n\r\n")
    answer = await line.answer()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert await line.closed() == b""


async def test_connection_close_is_honoured(line: Wire) -> None:
    await line.send(request("GET", "/health/live", Connection="close"))
    assert (await line.answer()).headers["Connection"] == "close"
    assert await line.closed() == b""


async def test_a_client_that_is_done_sending_still_gets_its_answer(line: Wire, gate: Gate) -> None:
    await line.send(request("POST", "/test/gate", b"1"))
    line.finish_sending()
    await gate.entered.wait()
    gate.open.set()
    assert (await line.answer()).status == 200
    assert await line.closed() == b""


async def test_a_client_that_goes_away_cancels_nothing(api: Api, gate: Gate) -> None:
    async with wire(api.port) as line:
        await line.send(request("POST", "/test/gate", b"1"))
        await gate.entered.wait()
        line.reset()
    gate.open.set()
    await asyncio.wait_for(gate.finished.wait(), 60)


async def test_half_a_body_is_no_request(api: Api, gate: Gate) -> None:
    async with wire(api.port) as line:
        await line.send(request("POST", "/test/gate", Content_Length="10") + b"12345")
        line.finish_sending()
        assert await line.closed() == b""
    async with wire(api.port) as line:
        await line.send(request("POST", "/test/gate", Content_Length="10") + b"12345")
        line.reset()
    assert (await api.call("GET", "/health/live")).status == 200
    assert gate.seen == []


@pytest.mark.usefixtures("short_times")
async def test_slow_headers_are_a_timeout(line: Wire) -> None:
    await line.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-")
    answer = await line.answer()
    assert (answer.status, answer.json["code"], answer.json["retryable"]) == (408, "request_timeout", True)
    assert await line.closed() == b""


@pytest.mark.usefixtures("short_times")
async def test_headers_that_drip_are_a_timeout(line: Wire) -> None:
    closed = asyncio.create_task(line.answer())
    while not closed.done():
        await line.send(b"G" if not closed.done() else b"")
        await asyncio.wait([closed], timeout=0.02)
    assert closed.result().status in {400, 408}


@pytest.mark.usefixtures("short_times")
async def test_slow_bodies_are_a_timeout(line: Wire, gate: Gate) -> None:
    await line.send(request("POST", "/test/gate", Content_Length="10") + b"123")
    answer = await line.answer()
    assert (answer.status, answer.json["code"]) == (408, "request_timeout")
    assert await line.closed() == b""
    assert gate.seen == []


@pytest.mark.usefixtures("short_times")
async def test_idle_connections_are_closed_without_a_word(line: Wire, api: Api) -> None:
    assert await line.closed() == b""
    async with wire(api.port) as used:
        await used.send(request("GET", "/health/live"))
        await used.answer()
        assert await used.closed() == b""


@pytest.mark.usefixtures("short_times")
async def test_a_reply_that_nobody_reads_is_given_up(line: Wire, api: Api) -> None:
    await line.send(request("GET", "/test/large"))
    while api.server.connections:
        await asyncio.sleep(0.02)
    with pytest.raises((AssertionError, asyncio.IncompleteReadError, ConnectionError)):
        await line.answer()


TOO_LARGE = (
    request("POST", "/test/echo", b"x" * 65537),
    request("POST", "/test/echo", Content_Length="99999999999"),
    request("POST", "/test/echo", Transfer_Encoding="chunked") + b"ffffffff\r\n" + b"x" * 70_000,
    request("POST", "/test/echo", Transfer_Encoding="chunked") + b"1\r\nx\r\n" * 66_000,
    request("POST", "/webhooks/test", Content_Length=str(1024 * 1024 + 1)),
    request("POST", "/test/echo", Transfer_Encoding="chunked") + b"1;" + b"e" * 1_000_000,
)


@pytest.mark.parametrize("data", TOO_LARGE, ids=range(len(TOO_LARGE)))
async def test_too_large_bodies_are_413(line: Wire, data: bytes) -> None:
    sending = asyncio.create_task(line.send(data))
    answer = await line.answer()
    assert (answer.status, answer.json["code"]) == (413, "payload_too_large")
    assert answer.headers["Connection"] == "close"
    await sending


async def test_webhooks_may_be_larger(line: Wire) -> None:
    await line.send(request("POST", "/webhooks/test", b"x" * 1024 * 1024))
    assert (await line.answer()).json == {"length": 1024 * 1024}


TOO_MANY_HEADERS = (
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: %s\r\n" % (n, b"y" * 6000) for n in range(6)) + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: %s\r\n" % (n, b"y" * 6000) for n in range(6)),
)


@pytest.mark.parametrize("data", TOO_MANY_HEADERS, ids=range(len(TOO_MANY_HEADERS)))
async def test_too_large_headers_are_431(line: Wire, data: bytes) -> None:
    await line.send(data)
    answer = await line.answer()
    assert (answer.status, answer.json["code"]) == (431, "headers_too_large")
    assert b"yyy" not in answer.body
    assert await line.closed() == b""


NOT_HTTP = (
    b"hello\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
)


@pytest.mark.parametrize("data", NOT_HTTP, ids=range(len(NOT_HTTP)))
async def test_what_is_not_http_is_400_in_our_words(line: Wire, data: bytes) -> None:
    await line.send(data)
    answer = await line.answer()
    assert (answer.status, answer.json["code"]) == (400, "validation_error")
    assert not re.search(r"aiohttp|python|llhttp", repr(answer), re.IGNORECASE)
    assert await line.closed() == b""


async def test_a_chunk_that_breaks_off_is_400(line: Wire) -> None:
    await line.send(request("POST", "/test/echo", Transfer_Encoding="chunked") + b"3\r\nabc\r\n")
    await asyncio.sleep(0.05)
    await line.send(b"not a chunk\r\n")
    answer = await line.answer()
    assert (answer.status, answer.json["code"]) == (400, "validation_error")


async def test_garbage_behind_a_request_that_runs_ends_the_connection(line: Wire, gate: Gate) -> None:
    await line.send(request("POST", "/test/gate", b"1"))
    await gate.entered.wait()
    await line.send(b"garbage\r\n\r\n")
    gate.open.set()
    assert (await line.answer()).status == 200
    # The garbage is answered too when it came after the reply.
    assert (await line.closed())[:12] in {b"", b"HTTP/1.1 400"}


async def test_an_upgrade_is_declined(line: Wire) -> None:
    await line.send(request("GET", "/health/live", Upgrade="websocket", Connection="Upgrade") + b"\x81\x00")
    answer = await line.answer()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert await line.closed() == b""


@pytest.mark.parametrize(
    ("head", "status"),
    (
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET http://x/health/live HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /health/live?x=%00#y HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"TRACE /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /health/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ),
)
async def test_odd_targets(line: Wire, head: bytes, status: int) -> None:
    await line.send(head)
    assert (await line.answer()).status == status


async def test_an_error_of_ours_tells_nothing(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    answer = await api.call("GET", "/test/broken", headers={"X-Correlation-ID": "find-me"})
    assert (answer.status, answer.code, answer.json["correlationId"]) == (500, "internal_error", "find-me")
    assert b"universe" not in answer.raw
    assert b"ZeroDivision" not in answer.raw
    assert "ZeroDivisionError" in caplog.text


async def test_a_stop_lets_requests_finish(test_database: TestDatabase, gate: Gate) -> None:
    async with open_api(test_database, Route("POST", "/test/gate", gate, "public")) as api, wire(api.port) as line:
        async with wire(api.port) as idle:
            await line.send(request("POST", "/test/gate", b"1"))
            await gate.entered.wait()
            stopping = asyncio.create_task(api.server.stop(grace_s=10))
            assert await idle.closed() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", api.port)
            gate.open.set()
            answer = await line.answer()
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            await stopping
        assert api.server.connections == 0


async def test_a_stop_cuts_off_what_does_not_finish(test_database: TestDatabase, gate: Gate) -> None:
    async with open_api(test_database, Route("POST", "/test/gate", gate, "public")) as api, wire(api.port) as line:
        await line.send(request("POST", "/test/gate", b"1"))
        await gate.entered.wait()
        await api.server.stop(grace_s=0.05)
        assert await line.closed() == b""


async def test_connections_are_bounded(api: Api) -> None:
    server = HttpServer(api.server.responder, connections_max=2)
    port = await server.start("127.0.0.1", 0)
    async with wire(port) as first, wire(port) as second:
        for line in (first, second):
            await line.send(request("GET", "/health/live"))
            assert (await line.answer()).status == 200
        async with wire(port) as third:
            assert await third.closed() == b""
    await server.stop()


async def test_nothing_of_a_request_is_in_the_log(
    api: Api, merchant: Merchant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    canary = "canary4242"
    calls: list[dict[str, Any]] = [
        {"method": "POST", "path": f"/v1/orders?x={canary}", "body": {"amount": 1, "description": canary}},
        {"method": "GET", "path": f"/v1/orders/{canary}"},
        {"method": "GET", "path": f"/{canary}", "headers": {canary: canary}},
        {"method": "POST", "path": "/v1/orders", "data": canary.encode()},
        {"method": "POST", "path": "/v1/orders", "body": {"currency": canary}},
    ]
    for call in calls:
        answer = await api.call(**call, key=merchant.api_key)
        if answer.status >= 400:
            assert canary.encode() not in answer.raw
    assert canary not in caplog.text
    assert merchant.api_key not in caplog.text
