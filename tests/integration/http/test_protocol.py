"""What every reply has: headers, correlation ids, error bodies, CORS; and what bodies may be."""

from __future__ import annotations

import gzip
import re
import uuid

import pytest

from payloops.projections.views import Reader
from tests.integration.http.world import Api, Merchant

ERROR_FIELDS = {"code", "message", "correlationId", "param", "details", "retryable"}


async def test_unknown_paths_are_404_in_our_form(api: Api) -> None:
    for path in ("/", "/v1", "/v1/order", "/v1/orders/", "//v1/orders", "/v1/orders/x/y/z", "/v1/%ff", "/v1%2Forders"):
        answer = await api.call("GET", path, headers={"X-Correlation-ID": "c"})
        assert (answer.status, answer.code) == (404, "not_found"), path
        message = "There is nothing at this path; /openapi.json lists those that there are."
        assert answer.json == {"code": "not_found", "message": message, "correlationId": "c"}


async def test_other_methods_are_405_with_allow(api: Api) -> None:
    for method, path, allow in (
        ("DELETE", "/v1/orders", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/v1/orders/x/pay", "OPTIONS, POST"),
        ("PATCH", "/health", "GET, HEAD, OPTIONS"),
        ("POST", "/api/processors/stripe/x", ""),
    ):
        answer = await api.call(method, path)
        if allow:
            assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "method_not_allowed", allow)
        else:
            assert answer.status == 404


async def test_every_reply_has_the_security_headers(api: Api, merchant: Merchant) -> None:
    for answer in (
        await api.call("GET", "/v1/orders", key=merchant.api_key),
        await api.call("GET", "/nothing"),
        await api.call("OPTIONS", "/v1/orders"),
    ):
        headers = answer.headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers
        assert "Server" not in headers
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["Date"])
        if answer.raw:
            assert headers["Content-Type"] == "application/json"
            assert int(headers["Content-Length"]) == len(answer.raw)


@pytest.mark.parametrize("good", ("a", "A1._-z", "x" * 128))
async def test_a_good_correlation_id_comes_back(api: Api, good: str) -> None:
    assert (await api.call("GET", "/health", headers={"X-Correlation-ID": good})).headers["X-Correlation-ID"] == good
    assert (await api.call("GET", "/health", headers={"X-Request-ID": good})).json["correlationId"] == good
    both = await api.call("GET", "/health", headers={"X-Request-ID": "other", "X-Correlation-ID": good})
    assert both.json["correlationId"] == good


@pytest.mark.parametrize("bad", ("", "x" * 129, "a b", "a;b", "ä".encode().decode("latin-1"), "a\tb", "${jndi:x}", '"'))
async def test_a_bad_correlation_id_is_replaced(api: Api, bad: str) -> None:
    answer = await api.call("GET", "/health", headers={"X-Correlation-ID": bad, "X-Request-ID": "fine"})
    made = answer.headers["X-Correlation-ID"]
    assert uuid.UUID(made).version == 7
    assert answer.json["correlationId"] == made


async def test_the_correlation_id_and_trace_reach_the_log_of_events(api: Api, merchant: Merchant) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"X-Correlation-ID": "follow-me", "traceparent": trace}
    made = await api.call("POST", "/v1/orders", {"amount": 1}, key=merchant.api_key, headers=headers)
    order = made.must(201)
    trail = (await api.call("GET", f"/v1/orders/{order['id']}/events", key=merchant.api_key)).must(200)
    assert trail["data"][0]["correlationId"] == "follow-me"
    (entry,), _ = await api.services.views.order_events(
        Reader(merchant.id), uuid.UUID(order["id"]), before_version=None, limit=1
    )
    assert entry.event.meta.traceparent == trace


async def test_cors_is_for_our_origins_exactly(api: Api, merchant: Merchant) -> None:
    for origin in ("https://app.example.com", "http://localhost:5173"):
        answer = await api.call("GET", "/v1/orders", key=merchant.api_key, headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "X-Correlation-ID" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"
        preflight = await api.call(
            "OPTIONS", "/v1/orders", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
        assert "X-API-Key" in preflight.headers["Access-Control-Allow-Headers"]
        error = await api.call("GET", "/v1/orders", headers={"Origin": origin})
        assert error.headers["Access-Control-Allow-Origin"] == origin
    strangers = (
        *("null", "https://evil.example", "https://app.example.com.evil.example", "http://app.example.com"),
        *(
            "https://app.example.com:8443",
            "HTTPS://APP.EXAMPLE.COM",
            "https://evil.example/https://app.example.com",
            "",
        ),
        "https://app.example.com, https://evil.example",
    )
    for origin in strangers:
        for method in ("GET", "OPTIONS"):
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            answer = await api.call(method, "/v1/orders", key=merchant.api_key, headers=headers)
            assert not [name for name in answer.headers if name.lower().startswith("access-control")], origin
    unknown = await api.call("OPTIONS", "/nothing", headers={"Origin": "https://app.example.com"})
    assert unknown.status == 404


BAD_JSON = (
    *(b"{", b"nope", b'{"amount":NaN}', b'{"amount":Infinity}', b'{"amount":1,"x":1e400}', b'{"amount":1,}'),
    *(b'{"amount":1,"amount":2}', b'{"amount":1,"metadata":{"a":1,"a":1}}', b'{"amount":1,"x":"\\u003a","x":1}'),
    *(b'{"amount":1,"x":"\\u0000"}', b'{"amount":1,"\\u0000":1}', b'{"amount":1,"x":"\\ud800"}', b"\xef\xbb\xbf{}"),
    *(b'{"amount":1,"x":"\xff"}', b'{"amount":1,"x":' + b"9" * 5000 + b"}", b'{"amount":1,"x":-9223372036854775809}'),
    *(b'{"amount":1,"x":' + b"[" * 32 + b"]" * 32 + b"}", b"[" * 60000, b'{"a":' * 10000, b" ", b'{"amount":1} x'),
    b'{"amount":1,"x":"\x00"}',
)


@pytest.mark.parametrize("data", BAD_JSON, ids=range(len(BAD_JSON)))
async def test_bad_json_is_400(api: Api, merchant: Merchant, data: bytes) -> None:
    answer = await api.call("POST", "/v1/orders", data=data, key=merchant.api_key)
    assert (answer.status, answer.code) == (400, "invalid_json")
    assert set(answer.json) <= ERROR_FIELDS
    assert len(answer.raw) < 400


async def test_nesting_of_32_is_fine(api: Api, merchant: Merchant) -> None:
    data = b'{"amount":1,"metadata":{"x":' + b"[" * 30 + b"]" * 30 + b"}}"
    (await api.call("POST", "/v1/orders", data=data, key=merchant.api_key)).must(201)


@pytest.mark.parametrize("body", (b"[]", b'"x"', b"1", b"null", b"true"))
async def test_a_body_is_an_object(api: Api, merchant: Merchant, body: bytes) -> None:
    answer = await api.call("POST", "/v1/orders", data=body, key=merchant.api_key)
    assert (answer.status, answer.code) == (400, "validation_error")


CARDS = ("4242424242424242", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005", "6011111111111117")


@pytest.mark.parametrize("card", CARDS)
async def test_card_numbers_are_refused_wherever_they_stand(api: Api, merchant: Merchant, card: str) -> None:
    for fields in (
        {"description": f"card {card}."},
        {"externalId": card},
        {"metadata": {"deep": [{"x": card}]}},
        {"metadata": {card: 1}},
        {"unknown": card},
    ):
        answer = await api.call("POST", "/v1/orders", {"amount": 1} | fields, key=merchant.api_key)
        assert (answer.status, answer.code) == (400, "raw_card_rejected")
        assert card.encode() not in answer.raw
    escaped = "".join(f"\\u{ord(c):04x}" for c in card)
    data = f'{{"amount":1,"description":"{escaped}"}}'.encode()
    assert (await api.call("POST", "/v1/orders", data=data, key=merchant.api_key)).code == "raw_card_rejected"


async def test_a_card_number_as_a_number_is_refused_in_metadata(api: Api, merchant: Merchant) -> None:
    body = {"amount": 1, "metadata": {"x": [4242424242424242]}}
    answer = await api.call("POST", "/v1/orders", body, key=merchant.api_key)
    assert (answer.status, answer.code, answer.json["param"]) == (400, "raw_card_rejected", "metadata")


async def test_what_only_looks_like_a_card_number_passes(api: Api, merchant: Merchant) -> None:
    texts = (
        *("4242424242424241", "a4242424242424242", "42424242424242421234567", "0190f5c4-1234-7abc-8def-424242424242"),
        *("1234567890123456", "4242  4242  4242  4242", "424242424242", "9999999999999995"),
    )
    for text in texts:
        await api.new_order(merchant, description=text, metadata={"t": text})
    await api.new_order(merchant, amount=4242424242424242)


@pytest.mark.parametrize(
    "content_type",
    ("text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1", "application/xml"),
)
async def test_bodies_are_json(api: Api, merchant: Merchant, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = await api.call("POST", "/v1/orders", data=b'{"amount":1}', key=merchant.api_key, headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    (
        *("application/json", "Application/JSON;charset=UTF-8", 'application/json; charset="utf-8"'),
        "application/vnd.x.v1+json",
    ),
)
async def test_json_has_many_names(api: Api, merchant: Merchant, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = await api.call("POST", "/v1/orders", data=b'{"amount":1}', key=merchant.api_key, headers=headers)
    answer.must(201)


async def test_a_body_may_be_gzipped(api: Api, merchant: Merchant) -> None:
    async def send(data: bytes, encoding: str = "gzip") -> tuple[int, str]:
        headers = {"Content-Encoding": encoding}
        answer = await api.call("POST", "/v1/orders", data=data, key=merchant.api_key, headers=headers)
        return answer.status, "" if answer.status == 201 else answer.code

    good = gzip.compress(b'{"amount":1}')
    assert await send(good) == (201, "")
    assert await send(good, "GZIP") == (201, "")
    assert await send(b'{"amount":1}', "identity") == (201, "")
    assert await send(good[:-1]) == (400, "invalid_json")
    assert await send(good + b"x") == (400, "invalid_json")
    assert await send(good + good) == (400, "invalid_json")
    assert await send(b"not gzip") == (400, "invalid_json")
    assert await send(good[:10] + b"\xff" + good[11:]) == (400, "invalid_json")
    assert await send(gzip.compress(b'{"amount":1,"x":"' + b"x" * 65536 + b'"}')) == (413, "payload_too_large")
    assert await send(gzip.compress(b" " * 100_000_000)[:60000]) == (413, "payload_too_large")
    assert await send(good, "br") == (415, "unsupported_media_type")
    assert await send(good, "gzip, gzip") == (415, "unsupported_media_type")
    assert await send(gzip.compress(b"")) == (400, "validation_error")


async def test_health(api: Api) -> None:
    answer = await api.call("GET", "/health")
    assert set(answer.must(200)) == {"status", "timestamp", "correlationId"}
    assert answer.json["status"] == "ok"
    assert (await api.call("GET", "/health/live")).must(200) == {"status": "ok"}
    ready = (await api.call("GET", "/health/ready")).must(200)
    assert set(ready) == {"status", "checks"}
    assert set(ready["checks"]) == {"database", "schema", "projections", "outbox", "engine"}
    assert all(set(check) == {"status", "detail"} for check in ready["checks"].values())
