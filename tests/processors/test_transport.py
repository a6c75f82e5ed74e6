"""Bounds and meanings of one request, against servers that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct

import aiohttp
import pytest
from aiohttp import web

from payloops.workflows_bridge.processors.transport import (
    CredentialsRefused,
    MaybeExecuted,
    NotExecuted,
    Transport,
    processor_session,
)
from tests.processors.conftest import Seen, StartRawServer, StartServer

GET_AND_POST = pytest.mark.parametrize(("method", "verdict"), (("GET", NotExecuted), ("POST", MaybeExecuted)))
Verdict = type[NotExecuted | MaybeExecuted]


async def ask(transport: Transport, url: str, method: str = "POST") -> None:
    body = None if method == "GET" else "amount=1"
    await transport.send(method, url, headers={"Authorization": "Bearer canary"}, body=body)


def is_quick(started_s: float, timeout_s: float) -> bool:
    return asyncio.get_running_loop().time() - started_s < timeout_s + 2


async def test_a_settled_answer(http: aiohttp.ClientSession, start_server: StartServer) -> None:
    server = await start_server(lambda _: web.json_response({"id": "pi_1"}, headers={"Request-Id": "req_1"}))
    reply = await Transport(http, timeout_s=5).send("POST", server.url + "/v1/x", headers={"A": "b"}, body="amount=1")
    assert (reply.status, reply.document, reply.headers["request-id"]) == (200, {"id": "pi_1"}, "req_1")
    [seen] = server.seen
    assert (seen.method, seen.path, seen.body, seen.headers["A"]) == ("POST", "/v1/x", "amount=1", "b")
    assert (seen.headers["User-Agent"], seen.headers["Accept-Encoding"]) == ("payloops", "identity")


@pytest.mark.parametrize("status", (400, 402, 404))
async def test_refusals_with_a_reason_are_settled(
    http: aiohttp.ClientSession, start_server: StartServer, status: int
) -> None:
    server = await start_server(lambda _: web.json_response({"error": {}}, status=status))
    assert (await Transport(http, timeout_s=5).send("POST", server.url, headers={})).status == status


@GET_AND_POST
@pytest.mark.parametrize("status", (100, 204, 301, 302, 307, 308, 405, 408, 409, 418, 500, 502, 503, 504, 599))
async def test_other_statuses_settle_nothing(
    http: aiohttp.ClientSession, start_server: StartServer, status: int, method: str, verdict: Verdict
) -> None:
    def answer(_: Seen) -> web.Response:
        return web.json_response({"id": "x"}, status=status, headers={"Location": "/elsewhere"})

    server = await start_server(answer)
    with pytest.raises(verdict):
        await ask(Transport(http, timeout_s=2), server.url, method)
    assert [seen.path for seen in server.seen] == ["/"]


@pytest.mark.parametrize("method", ("GET", "POST"))
@pytest.mark.parametrize("status", (401, 403))
async def test_refused_credentials(
    http: aiohttp.ClientSession, start_server: StartServer, status: int, method: str
) -> None:
    server = await start_server(lambda _: web.Response(status=status, text="<html>"))
    with pytest.raises(CredentialsRefused) as refused:
        await ask(Transport(http, timeout_s=5), server.url, method)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("header", "expected"),
    (("7", 7), ("99999999", 3600), ("9" * 30, None), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("-1", None), ("", None)),
)
async def test_too_many_requests(
    http: aiohttp.ClientSession, start_server: StartServer, header: str, expected: int | None
) -> None:
    server = await start_server(lambda _: web.Response(status=429, headers={"Retry-After": header}))
    with pytest.raises(NotExecuted) as refused:
        await ask(Transport(http, timeout_s=5), server.url)
    assert refused.value.retry_after_s == expected


@GET_AND_POST
@pytest.mark.parametrize("body", (b"", b"{", b"[]", b"null", b"\xff", b'"text"', b'{"a": NaN}', b"[" * 100_000))
async def test_an_answer_that_is_no_object(
    http: aiohttp.ClientSession, start_server: StartServer, body: bytes, method: str, verdict: Verdict
) -> None:
    server = await start_server(lambda _: web.Response(body=body))
    with pytest.raises(verdict):
        await ask(Transport(http, timeout_s=5), server.url, method)


async def test_nobody_listens(http: aiohttp.ClientSession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NotExecuted):
            await ask(Transport(http, timeout_s=5), f"http://127.0.0.1:{port}")


async def test_a_name_that_does_not_exist(http: aiohttp.ClientSession) -> None:
    with pytest.raises(NotExecuted):
        await ask(Transport(http, timeout_s=20), "http://processor.invalid")


async def test_no_free_connection(start_raw_server: StartRawServer) -> None:
    """Waiting for a place in the pool is not sending."""
    taken = asyncio.Event()

    async def keep(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        taken.set()
        await asyncio.Event().wait()

    url = await start_raw_server(keep)
    async with processor_session(connections_max=1) as http:
        blocker = asyncio.create_task(ask(Transport(http, timeout_s=30), url))
        await taken.wait()
        with pytest.raises(NotExecuted):
            await ask(Transport(http, timeout_s=0.2), url)
        blocker.cancel()
        await asyncio.gather(blocker, return_exceptions=True)


async def _forever() -> None:
    await asyncio.Event().wait()


@GET_AND_POST
async def test_silence(
    http: aiohttp.ClientSession, start_raw_server: StartRawServer, method: str, verdict: Verdict
) -> None:
    url = await start_raw_server(lambda _reader, _writer: _forever())
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(verdict, match="in time"):
        await ask(Transport(http, timeout_s=0.3), url, method)
    assert is_quick(started_s, 0.3)


async def _drip(writer: asyncio.StreamWriter, head: bytes) -> None:
    """One byte at a time, for ever: no read ever waits long."""
    writer.write(head)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


@GET_AND_POST
@pytest.mark.parametrize("head", (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"))
async def test_a_drip(
    http: aiohttp.ClientSession, start_raw_server: StartRawServer, head: bytes, method: str, verdict: Verdict
) -> None:
    url = await start_raw_server(lambda _, writer: _drip(writer, head))
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(verdict, match="in time"):
        await ask(Transport(http, timeout_s=0.3), url, method)
    assert is_quick(started_s, 0.3)


async def test_the_deadline_is_one_for_all_requests_of_an_ask(
    http: aiohttp.ClientSession, start_server: StartServer
) -> None:
    """Each request alone would stay within the time allowed."""

    async def slowly(_: Seen) -> web.Response:
        await asyncio.sleep(0.25)
        return web.json_response({})

    server = await start_server(slowly)
    transport = Transport(http, timeout_s=0.6)

    async def ask_often() -> None:
        with transport.one_ask():
            for _ in range(10):
                await transport.send("GET", server.url, headers={})

    with pytest.raises(NotExecuted, match="in time"):
        await ask_often()
    assert len(server.seen) <= 3
    await transport.send("GET", server.url, headers={})


@GET_AND_POST
async def test_a_flood(
    http: aiohttp.ClientSession, start_raw_server: StartRawServer, method: str, verdict: Verdict
) -> None:
    written = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" " * 65536)
            written += 65536
            await writer.drain()

    url = await start_raw_server(flood)
    with pytest.raises(verdict, match="too large"):
        await ask(Transport(http, timeout_s=10, reply_bytes_max=1_000_000), url, method)
    assert written < 100_000_000


async def test_a_flood_of_headers(http: aiohttp.ClientSession, start_raw_server: StartRawServer) -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    with pytest.raises(MaybeExecuted):
        await ask(Transport(http, timeout_s=10), await start_raw_server(flood))


async def test_a_compressed_bomb_stays_compressed(http: aiohttp.ClientSession, start_server: StartServer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    server = await start_server(lambda _: web.Response(body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(MaybeExecuted, match="no JSON object"):
        await ask(Transport(http, timeout_s=10), server.url)


async def _reset(writer: asyncio.StreamWriter, first: bytes) -> None:
    """A TCP reset, as a crashed host or a firewall sends it."""
    writer.write(first)
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@GET_AND_POST
@pytest.mark.parametrize(
    "first", (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"nonsense\r\n\r\n")
)
async def test_a_broken_connection(
    http: aiohttp.ClientSession, start_raw_server: StartRawServer, first: bytes, method: str, verdict: Verdict
) -> None:
    url = await start_raw_server(lambda _, writer: _reset(writer, first))
    with pytest.raises(verdict):
        await ask(Transport(http, timeout_s=10), url, method)


async def test_a_post_is_sent_once(http: aiohttp.ClientSession, start_raw_server: StartRawServer) -> None:
    """Also over a kept connection that the other side closes: the library repeats only what changes nothing."""
    requests = 0

    async def once_then_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await reader.readexactly(8)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        requests += 1

    url = await start_raw_server(once_then_close)
    transport = Transport(http, timeout_s=10)
    await ask(transport, url)
    with pytest.raises(MaybeExecuted):
        await ask(transport, url)
    assert requests == 2


async def test_the_environment_has_no_say(
    monkeypatch: pytest.MonkeyPatch, http: aiohttp.ClientSession, start_server: StartServer
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await start_server(lambda _: web.json_response({}, headers={"Set-Cookie": "session=1; Path=/"}))
    for _ in range(2):
        await ask(Transport(http, timeout_s=5), server.url)
    assert not any("Cookie" in seen.headers for seen in server.seen)


async def test_a_session_that_asks_the_environment_is_refused() -> None:
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(ValueError, match="environment"):
            Transport(session, timeout_s=5)


@pytest.mark.parametrize("timeout_s", (0, -1, 30.1, float("nan"), float("inf")))
async def test_a_time_out_of_bounds_is_refused(http: aiohttp.ClientSession, timeout_s: float) -> None:
    with pytest.raises(ValueError, match="at most 30 s"):
        Transport(http, timeout_s=timeout_s)


async def test_trouble_tells_no_secret(http: aiohttp.ClientSession, start_raw_server: StartRawServer) -> None:
    url = await start_raw_server(lambda _, writer: _reset(writer, b"HTTP/1.1 canary"))
    with pytest.raises(MaybeExecuted) as lost:
        await ask(Transport(http, timeout_s=5), url + "/canary")
    assert "canary" not in f"{lost.value!r} {lost.value} {lost.value.reason}"
    assert lost.value.__suppress_context__
