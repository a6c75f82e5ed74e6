"""I1, I2, I4, I5, I6: what clients must not be able to do with bytes."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
import zlib
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import orjson

from payloops.db import Database
from tests.gauntlet.checker import check
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import HOST, Service
from tests.gauntlet.shop import Shop, opened

CLOSED_WITHIN_S: Final = 10.5
BODY_MAX: Final = 64 * 1024

BROKEN_JSON: Final[dict[str, bytes]] = {
    "NaN": b'{"amount":NaN}',
    "Infinity": b'{"amount":-Infinity}',
    "1e400": b'{"amount":1e400}',
    "1e400 in metadata": b'{"amount":1,"metadata":{"a":1e400}}',
    "duplicate names": b'{"amount":1,"amount":2}',
    "duplicate names deep down": b'{"amount":1,"metadata":{"a":{"b":1,"b":1}}}',
    "duplicate names by escapes": b'{"amount":1,"\\u0061mount":2}',
    "nested 100000 deep": b'{"amount":1,"metadata":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "nested 33 deep": b'{"amount":1,"metadata":' + b"[" * 32 + b"]" * 32 + b"}",
    "an integer of 5000 digits": b'{"amount":' + b"9" * 5000 + b"}",
    "a long integer in metadata": b'{"amount":1,"metadata":{"a":' + b"9" * 5000 + b"}}",
    "NUL": b'{"amount":1,"description":"a\\u0000b"}',
    "NUL in a name": b'{"amount":1,"metadata":{"a\\u0000":1}}',
    "a lone surrogate": b'{"amount":1,"description":"\\ud800"}',
    "a lone surrogate in a name": b'{"amount":1,"metadata":{"\\udfff":1}}',
    "surrogates the wrong way round": b'{"amount":1,"description":"\\udc00\\ud800"}',
    "bad UTF-8": b'{"amount":1,"description":"\xff\xfe"}',
    "overlong UTF-8": b'{"amount":1,"description":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"amount":1,"description":"\xed\xa0\x80"}',
    "UTF-16": '{"amount":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"amount":1}',
    "a raw control character": b'{"amount":1,"description":"a\nb"}',
    "a trailing comma": b'{"amount":1,}',
    "two values": b'{"amount":1}{"amount":1}',
    "a comment": b'{"amount":1/*x*/}',
    "a single quote": b"{'amount':1}",
    "a list": b"[]",
    "a string": b'"amount"',
    "null": b"null",
    "cut off": b'{"amount":1',
    "a NUL byte": b"\0",
}


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


async def i1(run: Run, service: Service) -> None:
    """Bodies that are not JSON, or JSON that two parsers read differently: 400, nothing done."""
    async with opened(service) as shop:
        for name, body in BROKEN_JSON.items():
            answer = await shop.api.once("POST", "/v1/orders", raw=body)
            _require(answer.status == 400, f"{name} was answered {answer.status}: {answer.raw!r}")
            _require(answer.code in {"invalid_json", "validation_error"}, f"{name}: {answer.raw!r}")
            _require_error_form(answer.raw, name)
        for name, encoding, body, status in _compressed():
            answer = await shop.api.once("POST", "/v1/orders", raw=body, headers={"Content-Encoding": encoding})
            _require(answer.status in status, f"{name} was answered {answer.status}: {answer.raw!r}")
        await _mutilated(shop, run)
        run.say(str(await check(shop)))


def _compressed() -> Iterator[tuple[str, str, bytes, set[int]]]:
    whole = gzip.compress(b'{"amount":1}')
    yield "half a gzip", "gzip", whole[:-9], {400}
    yield "no gzip", "gzip", b"not gzip at all", {400}
    yield "a damaged gzip", "gzip", whole[:12] + b"\xff" + whole[13:], {400}
    yield "a gzip bomb", "gzip", gzip.compress(b" " * 50_000_000, 9), {413}
    yield "a gzip in a gzip", "gzip", gzip.compress(whole), {400}
    yield "zlib for gzip", "gzip", zlib.compress(b'{"amount":1}'), {400}
    yield "an encoding that nobody knows", "br", b"\x0b\x02\x80{}\x03", {400, 415}


async def _mutilated(shop: Shop, run: Run) -> None:
    """A good body with random bytes changed: no answer is a server's error."""
    good = orjson.dumps({"amount": 1, "metadata": {"a": "b"}, "customerEmail": "a@example.com"})
    for _ in range(100 * run.times):
        bad = bytearray(good)
        for _ in range(run.rng.randint(1, 4)):
            bad[run.rng.randrange(len(bad))] = run.rng.randrange(256)
        answer = await shop.api.once("POST", "/v1/orders", raw=bytes(bad))
        _require(answer.status < 500, f"{bytes(bad)!r} was answered {answer.status}")
        if answer.status == 201:
            shop.orders_made += 1


def _require_error_form(raw: bytes, name: str) -> None:
    body = orjson.loads(raw)
    _require({"code", "message", "correlationId"} <= set(body), f"{name}: not our error: {raw!r}")
    _require("Traceback" not in body["message"], f"{name}: {body}")


async def i2(run: Run, service: Service) -> None:
    """Queries and paths that make no sense: 400, and 404 for ids."""
    bad = (
        *("limit=abc", "limit=0", "limit=-1", "limit=101", "limit=1.5", "limit=", "limit=%00", "limit=١"),
        *("cursor=x", "cursor=%F0", "cursor=" + "A" * 5000, "cursor=bnVsbA", "cursor=W10", "cursor=WzEsMl0"),
        *("status=paid", "createdFrom=yesterday", "createdTo=2026-13-01", "createdFrom=2026-02-30T00:00:00Z"),
        *("createdFrom=99999-01-01", "createdFrom=2026-01-01T25:00:00Z", "externalId=%00", "customerId=%ff"),
        *("limit=1&limit=2", "createdTo=0000-00-00"),
    )
    async with opened(service) as shop:
        for query in bad:
            answer = await shop.api.once("GET", f"/v1/orders?{query}")
            # An empty value counts as none.
            _require(answer.status == 400 or query.endswith("="), f"{query} was answered {answer.status}")
        pages = ("page=-1", "page=0", "page=abc", "limit=101", "page=99999999999", "from=x", "to=2026-99-99")
        for query in pages:
            answer = await shop.dashboard.once("GET", f"/api/orders?{query}")
            _require(answer.status in {400, 404}, f"/api/orders?{query} was answered {answer.status}")
        absent = await shop.api.once("GET", f"/v1/orders/{uuid4()}")
        for wrong in (
            "1",
            "not-a-uuid",
            "0" * 500,
            str(uuid4()) + "x",
            "{" + str(uuid4()) + "}",
            "💥",
        ):
            answer = await shop.api.once("GET", f"/v1/orders/{wrong}")
            _require(answer.status == 404, f"id {wrong!r} was answered {answer.status}")
            _require(_but_correlation(answer.raw) == _but_correlation(absent.raw), f"id {wrong!r}: {answer.raw!r}")
        nowhere = await shop.api.once("GET", "/v1/orders/%00")
        _require(nowhere.status == 404, f"a NUL in the path was answered {nowhere.status}")
        await _ids_of_others(service, shop, absent.raw, run)
        run.say(f"{len(bad) + len(pages)} queries, 8 ids; {await check(shop)}")


async def _ids_of_others(service: Service, shop: Shop, absent: bytes, run: Run) -> None:
    """Another merchant's order is one that never existed, and stays as it is."""
    async with opened(service) as other:
        theirs = await other.paid_order(run.rng)
        path = f"/v1/orders/{theirs['id']}"
        reads = [("GET", path + end) for end in ("", "/refunds", "/transactions", "/events")]
        writes = [("POST", path + end) for end in ("/pay", "/capture", "/cancel", "/refund")]
        for method, target in reads + writes:
            answer = await shop.api.once(method, target, {} if method == "POST" else None)
            _require(answer.status == 404, f"{method} {target} of another merchant was answered {answer.status}")
            _require(_but_correlation(answer.raw) == _but_correlation(absent), f"{target}: {answer.raw!r}")
        _require(await other.get(theirs["id"]) == theirs, "another merchant's order was changed")


def _but_correlation(raw: bytes) -> dict[str, Any]:
    return {name: value for name, value in orjson.loads(raw).items() if name != "correlationId"}


async def i4(run: Run, service: Service) -> None:
    """Clients that send slowly, too much, or oddly: they are closed in time, and others are served meanwhile."""
    async with opened(service) as shop:
        key = shop.api.credential["X-API-Key"].encode()
        head = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key + b"\r\nContent-Type: application/json\r\n"
        slow = {
            "slow headers": (b"POST /v1/orders HTTP/1.1\r\n", b"X-A: b\r\n"),
            "a header that never ends": (b"POST /v1/orders HTTP/1.1\r\nX-A: ", b"b"),
            "silence": (b"", b""),
            "a slow body": (head + b"Content-Length: 1000\r\n\r\n", b" "),
            "slow chunks": (head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
            "a chunk size that never ends": (head + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        }
        allowed_s = run.limit_s(CLOSED_WITHIN_S)
        took = asyncio.gather(*(_slow(service, *sends, name, allowed_s) for name, sends in slow.items()))
        odd = asyncio.create_task(_odd(service, head, allowed_s))
        while not took.done():
            paid = await shop.order(run.rng)
            _require(paid["status"] == "pending", "an order beside slow clients")
            await asyncio.sleep(0.25)
        await odd
        run.say(f"closed after {', '.join(f'{each:.1f}' for each in await took)} s")
        run.say(str(await check(shop)))


async def _slow(service: Service, first: bytes, more: bytes, name: str, allowed_s: float) -> float:
    """Seconds until the server closes a connection on which little comes every half second."""
    reader, writer = await asyncio.open_connection(HOST, service.port)
    began_s = time.monotonic()
    writer.write(first)
    ended = asyncio.create_task(_until_closed(reader))
    try:
        while not ended.done():
            if more:
                writer.write(more)
            await asyncio.wait({ended}, timeout=0.5)
            if time.monotonic() - began_s > allowed_s:
                raise AssertionError(f"{name}: still open after {allowed_s:g} s")
        return time.monotonic() - began_s
    finally:
        ended.cancel()
        writer.transport.abort()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(4096):
            pass
    except OSError:
        return


async def _odd(service: Service, head: bytes, allowed_s: float) -> None:
    """Requests that end at once: what each is answered with."""
    big = str(BODY_MAX + 1).encode()
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    cases: dict[str, tuple[bytes, set[int]]] = {
        "a length over the limit": (head + b"Content-Length: " + big + b"\r\n\r\n", {413}),
        "an absurd length": (head + b"Content-Length: 99999999999999999999\r\n\r\n", {400, 413}),
        "chunks over the limit": (head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3, {413}),
        "a negative chunk": (head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", {400}),
        "a chunk of no number": (head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
        "a huge chunk": (head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", {400, 408, 413}),
        "a long chunk extension": (head + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000, {400, 408, 413}),
        "two lengths": (head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {400}),
        "a length and chunks": (head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
        "a long header": (head + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", {400, 431}),
        "many headers": (head + b"X-A: b\r\n" * 5000 + b"\r\n", {400, 431}),
        "a long target": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414, 431}),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    }
    for name, (sent, expected) in cases.items():
        status, text = await _raw(service, sent, allowed_s)
        _require(status in expected, f"{name} was answered {status}: {text[:200]!r}")
        _require(b"aiohttp" not in text.lower() and b"Traceback" not in text, f"{name}: {text!r}")


async def _raw(service: Service, sent: bytes, allowed_s: float) -> tuple[int, bytes]:
    """Status and whole text of the answer to raw bytes; status 0 for none."""
    reader, writer = await asyncio.open_connection(HOST, service.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(allowed_s):
            text = await reader.read(65_536)
        match = re.match(rb"HTTP/1\.1 (\d{3})", text)
        return (int(match[1]) if match else 0), text
    except ConnectionError:
        return 0, b""
    finally:
        writer.transport.abort()


async def i5(run: Run, service: Service) -> None:
    """Text that would forge headers or log lines: replaced, and each line of the log is one record."""
    hostile = (
        *(
            b"a b",
            b"a;b",
            b"\xc3\xa9",
            b"a" * 129,
            b"",
            b'"}\\n{"level":"error"',
            b"%0d%0aSet-Cookie: a=b",
            b"<script>",
        ),
        *(b"\x1b[31mred", b"a\x0bb", b"\xe2\x80\xa8"),
    )
    async with opened(service) as shop:
        key = shop.api.credential["X-API-Key"].encode()
        for value in hostile:
            for header in (b"X-Correlation-ID", b"X-Request-ID"):
                sent = b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: %b\r\n%b: %b\r\n\r\n"
                _, text = await _raw(service, sent % (key, header, value), run.limit_s(CLOSED_WITHIN_S))
                found = re.findall(rb"(?im)^x-correlation-id: (.*?)\r$", text)
                _require(len(found) <= 1 and b"Set-Cookie" not in text, f"{value!r} forged a header: {text!r}")
                _require(all(re.fullmatch(rb"[A-Za-z0-9._-]{1,128}", each) for each in found), f"{value!r}: {found}")
                _require(value not in found, f"{value!r} was taken for a correlation id")
        marks = [f"forged-{run.rng.getrandbits(64):x}" for _ in range(3)]
        texts = [f'\r\n{{"level":"error","message":"{mark}"}}\r\n' for mark in marks]
        await shop.api.once("POST", "/v1/orders", {"amount": "x", "description": texts[0]})
        await shop.api.once("GET", f"/v1/orders/{marks[1]}%0D%0A%7B%22message%22%3A%22x%22%7D")
        await shop.api.once("GET", "/v1/orders", headers={"User-Agent": f"x {marks[2]} {{}}"})
        good = await shop.api.once("GET", "/v1/orders", headers={"X-Correlation-ID": "A.b_c-9"})
        _require(good.headers.get("X-Correlation-ID") == "A.b_c-9", "a good correlation id was not kept")
        lines = service.api.log.read_text("utf-8", "strict").splitlines()
        for line in lines:
            record = json.loads(line)
            _require(record.get("message") not in marks, f"a forged record: {line}")
        run.say(f"{len(lines)} log lines, each one record; {await check(shop)}")


async def i6(run: Run, service: Service) -> None:
    """SQL in every string that a client may send: stored as it is, or refused, and nothing else happens."""
    attacks = (
        *("'; DROP TABLE orders; --", "' OR '1'='1", "1; SELECT pg_sleep(9)", "\\'; --", "$$; DROP TABLE orders; $$"),
        *("%s %(id)s %%", "{0} {id}", "' UNION SELECT secret_hash FROM api_keys --", '"; DELETE FROM outbox; --'),
    )
    async with opened(service) as shop:
        before = await _counts(service)
        for attack in attacks:
            body = {
                "amount": run.rng.randint(1, 9999),
                **dict.fromkeys(("externalId", "customerId", "description"), attack),
                "metadata": {attack[:40]: attack},
            }
            answer = await shop.api.ask("POST", "/v1/orders", body, key=attack)
            _require(answer.status == 201, f"{attack!r} was answered {answer.status}: {answer.raw!r}")
            shop.orders_made += 1
            order = await shop.get(answer.body["id"])
            for name in ("externalId", "customerId", "description", "metadata"):
                _require(order[name] == body[name], f"{name}: {order[name]!r} instead of {body[name]!r}")
            await _asked_with(shop, attack, order["id"], run)
        after = await _counts(service)
        _require(all(after[name] >= count for name, count in before.items()), f"{before} became {after}")
        run.say(str(await check(shop)))


async def _asked_with(shop: Shop, attack: str, order_id: str, run: Run) -> None:
    """The same text in queries, paths, headers and bodies of every other sort."""
    query = [("externalId", attack), ("customerId", attack)]
    async with shop.api.http.get(
        f"{shop.api.base_url}/v1/orders", params=query, headers=dict(shop.api.credential)
    ) as answer:
        found = await answer.json()
        _require([each["id"] for each in found["data"]] == [order_id], f"{attack!r} found {found}")
    for name in ("status", "cursor", "limit", "createdFrom"):
        async with shop.api.http.get(
            f"{shop.api.base_url}/v1/orders", params={name: attack}, headers=dict(shop.api.credential)
        ) as answer:
            _require(answer.status == 400, f"{name}={attack!r} was answered {answer.status}")
    for headers in ({"If-Match": attack}, {"Prefer": attack}, {"X-Correlation-ID": attack}, {"X-API-Key": attack}):
        refused = await shop.api.once("POST", f"/v1/orders/{order_id}/capture", {}, headers=headers)
        _require(400 <= refused.status < 500, f"{headers} was answered {refused.status}")
    cancelled = await shop.write(order_id, "cancel", {"reason": attack}, rng=run.rng)
    _require(cancelled.status == 200, f"cancel: {cancelled}")
    login = await shop.dashboard.once("POST", "/api/auth/login", {"email": attack, "password": attack})
    _require(login.status in {400, 401, 429}, f"login: {login}")


async def _counts(service: Service) -> dict[str, int]:
    database = Database(service.app_dsn, min_size=1, max_size=1, application_name="payloops-gauntlet")
    await database.open(wait_s=10.0)
    try:
        async with database.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT 'orders', count(*) FROM orders UNION ALL SELECT 'api_keys', count(*) FROM api_keys"
                    " UNION ALL SELECT 'events', count(*) FROM stored_events"
                )
            ).fetchall()
            return dict(rows)
    finally:
        await database.close()


ROWS: Final = (
    Row("I1", "JSON that is none", "shared", smoke=1, full=10, shared=i1),
    Row("I2", "queries and ids that make no sense", "shared", smoke=1, full=1, shared=i2),
    Row("I4", "slow, oversize and odd requests", "shared", smoke=1, full=2, shared=i4),
    Row("I5", "injection into logs, headers and correlation ids", "shared", smoke=1, full=1, shared=i5),
    Row("I6", "SQL in every string", "shared", smoke=1, full=1, shared=i6),
)
