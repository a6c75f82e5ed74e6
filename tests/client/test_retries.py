"""What the clients do when a service fails: decisions as values, and both clients on a server that fails as told."""

from __future__ import annotations

import logging
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from payloops.client import (
    ApiError,
    AuthenticationFailed,
    Conflict,
    IdempotencyMismatch,
    InvalidRequest,
    NoAnswer,
    NotFound,
    PayLoopsError,
    PermissionDenied,
    RateLimited,
    Retries,
    ServerError,
    TimedOut,
    UnreadableAnswer,
    transport,
)
from payloops.client.core.call import Safety
from payloops.client.core.retries import Failure, pause_s, retry_after_s
from tests.client.both import Both
from tests.client.flaky import DROP, HANG, Flaky, Say, serving

QUICK = Retries(base_s=0.001, step_max_s=0.002)
KEY = "sk_test_0123456789ab" + "s" * 38
ORDER = {
    "id": "0198",
    "externalId": "x",
    "amount": 5,
    "currency": "USD",
    "status": "pending",
    "amountCaptured": 0,
    "amountRefunded": 0,
    "processor": None,
    "processorOrderId": None,
    "customerId": None,
    "customerEmail": None,
    "description": None,
    "metadata": {},
    "returnUrl": None,
    "cancelUrl": None,
    "captureMethod": "automatic",
    "nextAction": None,
    "failure": None,
    "outcomeUnknown": False,
    "disputeStatus": None,
    "version": 1,
    "createdAt": "2026-01-31T12:00:00.000Z",
    "updatedAt": "2026-01-31T12:00:00.000Z",
}


def error(status: int, code: str = "unavailable", **headers: str) -> Say:
    body = {"code": code, "message": "A sentence.", "correlationId": "c-1", "param": "amount"}
    return Say(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


# ----------------------------------------------------------------------------------------------------------- decisions


@pytest.mark.parametrize(
    ("failure", "read", "keyed", "unkeyed"),
    [
        (Failure(None, sent=True), True, True, False),
        (Failure(None, sent=False), True, True, True),
        (Failure(400), False, False, False),
        (Failure(401), False, False, False),
        (Failure(404), False, False, False),
        (Failure(408), True, True, True),
        (Failure(409, "version_conflict"), False, False, False),
        (Failure(409, "idempotency_in_flight"), True, True, True),
        (Failure(422), False, False, False),
        (Failure(429), True, True, True),
        (Failure(500), True, True, False),
        (Failure(501), False, False, False),
        (Failure(502), True, True, False),
        (Failure(503), True, True, False),
        (Failure(504), True, True, False),
    ],
)
def test_what_is_sent_again(failure: Failure, read: bool, keyed: bool, unkeyed: bool) -> None:
    cases: tuple[tuple[Safety, bool], ...] = (("read", read), ("keyed", keyed), ("unkeyed", unkeyed))
    for safety, expected in cases:
        assert (pause_s(Retries(), 1, failure, safety) is not None) is expected, safety


def test_waits_grow_twofold_to_a_bound_and_end() -> None:
    policy = Retries(attempts_max=7, base_s=1.0, step_max_s=8.0)
    longest = [pause_s(policy, attempt, Failure(503), "read", lambda: 1.0) for attempt in range(1, 8)]
    assert longest == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, None]
    assert pause_s(policy, 3, Failure(503), "read", lambda: 0.0) == 0.0


def test_retry_after_is_honoured_to_a_bound() -> None:
    policy = Retries(base_s=0.5, retry_after_max_s=60)
    assert pause_s(policy, 3, Failure(429, retry_after_s=7), "read", lambda: 0.0) == 7
    assert pause_s(policy, 3, Failure(429, retry_after_s=7), "read", lambda: 1.0) == 7.5
    assert pause_s(policy, 1, Failure(429, retry_after_s=61), "read", lambda: 0.0) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 120 ", 120.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("Sat, 31 Jan 2026 12:00:30 GMT", 30.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("\u0663", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, datetime(2026, 1, 31, 12, tzinfo=UTC)) == seconds


# ---------------------------------------------------------------------------------------------------- on a real socket


@pytest.mark.parametrize(
    "trouble", [DROP, error(503), error(503, Retry_After="0"), error(429, "rate_limited"), error(500)]
)
async def test_a_write_is_sent_again_with_the_same_key(both: Both, trouble: Any) -> None:
    async with serving(Flaky([trouble, trouble, Say(201, ORDER)])) as server:
        client = both.payloops(KEY, base_url=server.url, retries=QUICK)
        order = await both.do(client.orders.create, 5, metadata={"cart": "é"})
    assert order.id == "0198"
    first, *others = server.got
    assert len(others) == 2
    assert first.key
    assert len(first.key) >= 32
    for other in others:
        assert (other.key, other.body, other.target) == (first.key, first.body, first.target)


async def test_two_calls_have_two_keys_and_a_given_one_is_kept(both: Both) -> None:
    async with serving(Flaky([Say(201, ORDER)] * 3)) as server:
        client = both.payloops(KEY, base_url=server.url)
        await both.do(client.orders.create, 5)
        await both.do(client.orders.create, 5)
        await both.do(client.orders.create, 5, idempotency_key="cart-77")
    first, second, third = (got.key for got in server.got)
    assert first != second
    assert third == "cart-77"


async def test_it_gives_up_and_says_by_which_key_to_ask_again(both: Both) -> None:
    async with serving(Flaky([DROP] * 4)) as server:
        client = both.payloops(KEY, base_url=server.url, retries=QUICK)
        with pytest.raises(NoAnswer) as raised:
            await both.do(client.orders.create, 5)
    assert len(server.got) == 4
    assert raised.value.idempotency_key == server.got[0].key


async def test_a_write_without_a_key_is_not_sent_twice(both: Both) -> None:
    async with serving(Flaky([DROP])) as server:
        with pytest.raises(NoAnswer):
            await both.signed_in("register", name="Shop", email="a@b.example", password="x" * 8, base_url=server.url)
    assert len(server.got) == 1
    assert server.got[0].key is None
    assert "authorization" not in server.got[0].headers


async def test_a_service_that_is_not_there(both: Both) -> None:
    async with serving(Flaky([])) as server:
        pass
    client = both.payloops(KEY, base_url=server.url, retries=QUICK)
    with pytest.raises(NoAnswer, match="could not be made"):
        await both.do(client.orders.get, "0198")


async def test_silence_is_a_timeout(both: Both) -> None:
    async with serving(Flaky([HANG, HANG])) as server:
        client = both.payloops(KEY, base_url=server.url, timeout_s=0.05, retries=Retries(attempts_max=2, base_s=0.001))
        with pytest.raises(TimedOut, match=r"nothing came within 0\.05 s"):
            await both.do(client.orders.get, "0198")
    assert len(server.got) == 2


async def test_a_long_retry_after_is_the_callers_to_wait_out(both: Both) -> None:
    async with serving(Flaky([error(429, "rate_limited", Retry_After="3600")])) as server:
        client = both.payloops(KEY, base_url=server.url)
        with pytest.raises(RateLimited) as raised:
            await both.do(client.orders.get, "0198")
    assert raised.value.retry_after_s == 3600
    assert len(server.got) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, AuthenticationFailed),
        (403, PermissionDenied),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidRequest),
        (422, IdempotencyMismatch),
        (501, ServerError),
    ],
)
async def test_an_error_is_told_with_all_that_the_service_said(both: Both, status: int, kind: type[ApiError]) -> None:
    body = {
        "code": "a_code",
        "message": "A sentence.",
        "correlationId": "c-1",
        "param": "amount",
        "retryable": True,
        "details": [{"param": "amount", "message": "must be more"}],
    }
    async with serving(Flaky([Say(status, body)])) as server:
        client = both.payloops(KEY, base_url=server.url)
        with pytest.raises(ApiError) as raised:
            await both.do(client.orders.capture, "0198", idempotency_key="k-1")
    problem = raised.value
    assert type(problem) is kind
    assert (problem.status, problem.code, problem.message) == (status, "a_code", "A sentence.")
    assert (problem.param, problem.correlation_id, problem.retryable) == ("amount", "c-1", True)
    assert [(detail.param, detail.message) for detail in problem.details] == [("amount", "must be more")]
    assert problem.idempotency_key == "k-1"
    assert "A sentence." in str(problem)
    assert "c-1" in str(problem)


async def test_errors_travel_between_processes(both: Both) -> None:
    async with serving(Flaky([error(400, "a_code")])) as server:
        with pytest.raises(ApiError) as raised:
            await both.do(both.payloops(KEY, base_url=server.url).orders.create, 5, idempotency_key="k")
    for problem in (
        raised.value,
        TimedOut("No.", idempotency_key="k"),
        UnreadableAnswer("No.", status=2, correlation_id="c"),
    ):
        copy = pickle.loads(pickle.dumps(problem))
        assert type(copy) is type(problem)
        assert (str(copy), vars(copy)) == (str(problem), vars(problem))


@pytest.mark.parametrize(
    "answer",
    [
        Say(200, b"<html>hello</html>", {"Content-Type": "text/html"}),
        Say(200, b""),
        Say(200, {"id": 7}),
        Say(200, ["no", "order"]),
        Say(302, b"", {"Location": "http://elsewhere.example/"}),
        Say(200, ORDER | {"createdAt": "yesterday"}),
    ],
)
async def test_what_is_no_answer_of_the_service_says_so(both: Both, answer: Say) -> None:
    async with serving(Flaky([answer])) as server:
        client = both.payloops(KEY, base_url=server.url)
        with pytest.raises(UnreadableAnswer) as raised:
            await both.do(client.orders.get, "0198")
    assert raised.value.status == answer.status
    assert "yesterday" not in str(raised.value)


async def test_an_answer_without_an_end_is_not_read_to_it(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 100_000)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b" " * 300_000
    async with serving(Flaky([endless])) as server:
        client = both.payloops(KEY, base_url=server.url)
        with pytest.raises(UnreadableAnswer):
            await both.do(client.orders.get, "0198")


async def test_a_proxys_error_has_its_status(both: Both) -> None:
    async with serving(Flaky([Say(502, b"<html>Bad gateway</html>")] * 4)) as server:
        client = both.payloops(KEY, base_url=server.url, retries=QUICK)
        with pytest.raises(ServerError, match="502"):
            await both.do(client.orders.get, "0198")


async def test_what_a_newer_service_says_breaks_nothing(both: Both) -> None:
    newer = ORDER | {"status": "settled", "processor": "adyen", "captureMethod": "later", "colour": {"a": 1}}
    async with serving(Flaky([Say(200, newer)])) as server:
        client = both.payloops(KEY, base_url=server.url)
        order = await both.do(client.orders.get, "0198")
    assert (order.status, order.processor, order.capture_method) == ("settled", "adyen", "later")
    assert order.model_extra == {"colour": {"a": 1}}
    assert "colour" not in repr(order)


async def test_what_an_older_service_does_not_know_is_in_the_log(both: Both, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Flaky([Say(201, ORDER, {"X-PayLoops-Ignored-Fields": "tip"})])) as server:
        await both.do(both.payloops(KEY, base_url=server.url).orders.create, 5)
    assert "POST /v1/orders: the service does not know tip" in caplog.text


async def test_options(both: Both) -> None:
    async with serving(Flaky([Say(200, ORDER)] * 2)) as server:
        client = both.payloops(KEY, base_url=server.url + "/", correlation_id="mine")
        await both.do(client.orders.get, "a/../b ?")
        await both.do(client.with_options(correlation_id="other").orders.get, "0198")
    first, second = server.got
    assert first.target == "/v1/orders/a%2F..%2Fb%20%3F"
    assert (first.headers["x-correlation-id"], second.headers["x-correlation-id"]) == ("mine", "other")
    assert first.headers["user-agent"].startswith("payloops-python/")
    assert first.headers["x-api-key"] == KEY


async def test_writes_say_what_they_depend_on_and_how_long_to_wait(both: Both) -> None:
    paid = {"orderId": "0198", "status": "captured", "processor": "stripe", "workflowId": "w"}
    async with serving(Flaky([Say(200, paid)])) as server:
        client = both.payloops(KEY, base_url=server.url)
        await both.do(client.orders.pay, "0198", token="pm_card_visa", wait=20, if_match=3)
    (got,) = server.got
    assert (got.headers["prefer"], got.headers["if-match"]) == ("wait=20", '"3"')
    assert got.body == b'{"paymentMethod": {"type": "card", "token": "pm_card_visa"}}'


@pytest.mark.parametrize("bad", ["", ".", ".."])
async def test_an_id_that_would_lead_elsewhere_is_refused(both: Both, bad: str) -> None:
    client = both.payloops(KEY, base_url="http://127.0.0.1:9")
    with pytest.raises(ValueError, match="must be an id"):
        await both.do(client.orders.get, bad)


async def test_secrets_are_in_no_repr_no_log_and_no_exception(both: Both, caplog: pytest.LogCaptureFixture) -> None:
    """Also not in what a collector of exceptions would find on the way: causes and contexts."""
    caplog.set_level(logging.DEBUG, "payloops")
    caplog.set_level(logging.DEBUG, "httpx")
    secret = {"secret": "sk_live_shown_once", "apiKey": {"id": 1}}
    token = "eyJ.the-token.x"
    problems: list[PayLoopsError] = []
    async with serving(Flaky([DROP] * 4 + [error(400)] + [Say(201, secret)])) as server:
        dashboard = both.dashboard(token, base_url=server.url, retries=QUICK)
        for call in (dashboard.me.get, dashboard.me.get, lambda: dashboard.api_keys.create("key")):
            with pytest.raises(PayLoopsError) as raised:
                await both.do(call)
            problems.append(raised.value)
    client = both.payloops(KEY, base_url=server.url)
    shown = [repr(client), repr(dashboard), repr(dashboard.setup()), caplog.text]
    for problem in problems:
        assert problem.__cause__ is None
        assert problem.__context__ is None
        shown += [str(problem), repr(problem), repr(vars(problem))]
    for text in shown:
        assert token not in text
        assert KEY not in text
        assert "shown_once" not in text
    assert "attempt 2 follows" in caplog.text


@pytest.mark.parametrize(
    "bad",
    [
        {"base_url": "pay.example"},
        {"base_url": "https://user:password@pay.example"},
        {"base_url": "https://pay.example?x=1"},
        {"base_url": "https://pay.example", "timeout_s": 0},
        {"base_url": "https://pay.example", "api_key": "sk_test_\n"},
        {"base_url": "https://pay.example", "api_key": ""},
    ],
)
def test_options_that_can_not_work(both: Both, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"base_url|timeout_s|credential"):
        both.payloops(**{"api_key": KEY} | bad)


async def test_a_list_that_leads_to_the_same_page_ends_with_an_error(both: Both) -> None:
    page = Say(200, {"data": [ORDER], "hasMore": True, "nextCursor": "c"})
    async with serving(Flaky([page, page])) as server:
        client = both.payloops(KEY, base_url=server.url)
        with pytest.raises(UnreadableAnswer, match="same page"):
            await both.items(client.orders.list())
    assert [got.target for got in server.got] == ["/v1/orders", "/v1/orders?cursor=c"]
