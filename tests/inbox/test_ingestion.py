"""Taking events in over HTTP: what is stored once, and what is refused without a trace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from payloops.db import PreparedStatement
from payloops.events.order_state import status
from payloops.http.app import App
from payloops.http.message import Request
from payloops.http.routes import routes
from payloops.projections import reading, webhook_secrets
from payloops.projections.webhook_secrets import WebhookSecrets
from payloops.values import new_id
from tests.inbox import bodies as b
from tests.inbox.signing import razorpay_header, stripe_header
from tests.inbox.test_processing import paid_at_razorpay, paid_at_stripe
from tests.inbox.world import RAZORPAY_SECRET, SECRET, Inbox, razorpay_account, stripe_account
from tests.integration.http.raw import request as raw_request
from tests.integration.http.raw import wire
from tests.integration.http.world import Answer, Merchant

EVENT = b.stripe_event("customer.created", {"id": "cus_1"}, event_id="evt_1")
BODY = orjson.dumps(EVENT)
SAME = {"X-Correlation-ID": "the-same"}


async def test_an_event_is_stored_once_sealed_and_acknowledged(inbox: Inbox, merchant: Merchant) -> None:
    before = inbox.log_length()
    event = {**EVENT, "canary": "jane@customer.example"}
    for _ in range(3):
        answer = await inbox.stripe(merchant, event)
        assert (answer.status, answer.raw) == (200, b'{"received":true}')
    assert inbox.log_length() == before + 1
    (stored,) = await inbox.events(merchant)
    assert stored == {
        "id": stored["id"],
        "processor": "stripe",
        "processorEventId": "evt_1",
        "type": "customer.created",
        "orderId": None,
        "status": "received",
        "reason": None,
        "receivedAt": stored["receivedAt"],
        "processedAt": None,
    }
    assert inbox.rows("SELECT key, lane, kind FROM outbox") == [
        (f"inbox-{stored['id']}", f"inbox:{merchant.id}", "process")
    ]
    ((state,),) = inbox.rows("SELECT state FROM stored_events WHERE topic = 'processor_event.received.v1'")
    assert b"jane" not in bytes(state)


async def test_repeats_at_the_same_moment_are_one(inbox: Inbox, merchant: Merchant) -> None:
    answers = await asyncio.gather(*(inbox.stripe(merchant, EVENT) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len(await inbox.events(merchant)) == 1


async def test_a_razorpay_body_under_another_id_is_the_same_event(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    event = b.razorpay_event("payment.captured", payment=b.razorpay_payment(order["id"], merchant.id))
    before = inbox.log_length()
    for event_id in ("e1", "e2", None, "e1", "e3"):
        (await inbox.razorpay(merchant, event, event_id=event_id)).must(200)
    assert inbox.log_length() == before + 1
    # The same id with another body is that event again, too.
    (await inbox.razorpay(merchant, {**event, "created_at": 1}, event_id="e1")).must(200)
    assert inbox.log_length() == before + 1
    # Another merchant's event of the same body is another one.
    other = await inbox.merchant("razorpay")
    (await inbox.razorpay(other, event, event_id="e1")).must(200)
    assert len(await inbox.events(other)) == 1


async def test_a_razorpay_event_without_an_id_has_its_bodys(inbox: Inbox, merchant: Merchant) -> None:
    event = b.razorpay_event("settlement.processed")
    for event_id in (None, "no\tid", "x" * 300):
        (await inbox.razorpay(merchant, event, event_id=event_id)).must(200)
    (stored,) = await inbox.events(merchant)
    assert stored["processorEventId"].startswith("sha256-")


async def test_the_old_paths_find_the_merchant_in_the_event(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id))
    (await inbox.stripe(None, event)).must(200)
    rupees = await paid_at_razorpay(inbox, merchant)
    paid = b.razorpay_event("order.paid", order=b.razorpay_order(rupees["id"], merchant.id))
    (await inbox.razorpay(None, paid)).must(200)
    async with inbox.relaying():
        await inbox.judged(merchant, "stripe", event["id"])
        await inbox.judged(merchant, "razorpay", "event_1")
    assert status(await inbox.order(order["id"])) == "captured"
    assert status(await inbox.order(rupees["id"])) == "captured"


Send = Callable[[Inbox, Merchant], Awaitable[Answer]]


Signed = Callable[[], dict[str, str]]
"""Headers made when they are sent: a signature holds for five minutes, and a run of all tests takes longer."""


def _post(path: str, body: bytes, signed: Signed) -> Send:
    async def send(inbox: Inbox, merchant: Merchant) -> Answer:
        return await inbox.send(path.replace(":merchant", str(merchant.id)), body, {**signed(), **SAME})

    return send


OWN = "/webhooks/stripe/:merchant"
STRIPE: Signed = partial(stripe_header, SECRET, BODY)
RAZORPAY: Signed = partial(razorpay_header, RAZORPAY_SECRET, BODY)
REFUSED: dict[str, tuple[Send, str]] = {
    "no signature": (_post(OWN, BODY, dict), "missing_signature"),
    "no signature, old path": (_post("/webhooks/stripe", BODY, dict), "missing_signature"),
    "the other processor's": (_post(OWN, BODY, RAZORPAY), "missing_signature"),
    "another secret": (_post(OWN, BODY, partial(stripe_header, "whsec_other", BODY)), "invalid_signature"),
    "an empty one": (_post(OWN, BODY, lambda: {"Stripe-Signature": ""}), "invalid_signature"),
    "too old": (_post(OWN, BODY, partial(stripe_header, SECRET, BODY, at_s=1_600_000_000)), "invalid_signature"),
    "another body": (_post(OWN, BODY + b" ", STRIPE), "invalid_signature"),
    "an unknown merchant": (_post(f"/webhooks/stripe/{new_id()}", BODY, STRIPE), "invalid_signature"),
    "no merchant id": (_post("/webhooks/stripe/abc", BODY, STRIPE), "invalid_signature"),
    "nobody named": (_post("/webhooks/stripe", BODY, STRIPE), "invalid_signature"),
    "no JSON, old path": (_post("/webhooks/stripe", b"{", partial(stripe_header, SECRET, b"{")), "invalid_signature"),
    "razorpay, another secret": (
        _post("/webhooks/razorpay/:merchant", BODY, partial(razorpay_header, "other", BODY)),
        "invalid_signature",
    ),
    "signed, no JSON": (_post(OWN, b"{", partial(stripe_header, SECRET, b"{")), "invalid_json"),
    "signed, no object": (_post(OWN, b"[]", partial(stripe_header, SECRET, b"[]")), "invalid_json"),
    "signed, NaN": (_post(OWN, b'{"a":NaN}', partial(stripe_header, SECRET, b'{"a":NaN}')), "invalid_json"),
    "signed, a name twice": (
        _post(OWN, b'{"a":1,"a":2}', partial(stripe_header, SECRET, b'{"a":1,"a":2}')),
        "invalid_json",
    ),
    "signed, nested deeply": (
        _post(OWN, b'{"a":' * 40 + b"1" + b"}" * 40, partial(stripe_header, SECRET, b'{"a":' * 40 + b"1" + b"}" * 40)),
        "invalid_json",
    ),
    "signed, broken UTF-8": (
        _post(OWN, b'{"a":"\xff"}', partial(stripe_header, SECRET, b'{"a":"\xff"}')),
        "invalid_json",
    ),
    "signed, an empty body": (_post(OWN, b"", partial(stripe_header, SECRET, b"")), "invalid_json"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_does_not_hold_is_refused_without_a_trace(inbox: Inbox, merchant: Merchant, case: str) -> None:
    send, code = REFUSED[case]
    before = inbox.log_length()
    answer = await send(inbox, merchant)
    assert (answer.status, answer.code) == (400, code)
    assert inbox.log_length() == before


async def test_whatever_is_wrong_the_answer_is_the_same(inbox: Inbox, merchant: Merchant) -> None:
    bare = await inbox.api.merchant()
    unset = await inbox.api.merchant()
    await inbox.configure(unset, "razorpay", keyId="rzp_test_1", keySecret="x")
    answers = [(await send(inbox, merchant)).raw for send, code in REFUSED.values() if code == "invalid_signature"]
    answers += [(await inbox.send(f"/webhooks/stripe/{bare.id}", BODY, {**STRIPE(), **SAME})).raw]
    stripes = {raw for raw in answers if b"Stripe" in raw}
    assert len(stripes) == 1
    razorpay = await inbox.send(f"/webhooks/razorpay/{unset.id}", BODY, {**RAZORPAY(), **SAME})
    unknown = await inbox.send(f"/webhooks/razorpay/{new_id()}", BODY, {**RAZORPAY(), **SAME})
    assert razorpay.raw == unknown.raw
    assert razorpay.code == "invalid_signature"


async def test_only_processors_have_a_path(inbox: Inbox, merchant: Merchant) -> None:
    for path in ("/webhooks/paypal", f"/webhooks/paypal/{merchant.id}", "/webhooks/", "/webhooks/stripe/a/b"):
        assert (await inbox.send(path, BODY, STRIPE())).status == 404
    assert (await inbox.api.call("GET", f"/webhooks/stripe/{merchant.id}")).status == 405


async def test_headers_that_no_processor_sends(inbox: Inbox, merchant: Merchant) -> None:
    before = inbox.log_length()
    path = f"/webhooks/stripe/{merchant.id}"
    good = STRIPE()["Stripe-Signature"].encode()
    lines = (
        b"Stripe-Signature: " + good + b"\r\nStripe-Signature: " + good,
        b"Stripe-Signature: t=1,v1=\xff\xfe",
        b"Stripe-Signature: " + "t=١,v1=é".encode(),
        b"Stripe-Signature: " + b"v1=0," * 1000,
        b"Stripe-Signature: " + b"a" * 20_000,
        b"Stripe-Signature: " + good + b"\r\nContent-Encoding: gzip",
    )
    for line in lines:
        async with wire(inbox.api.port) as connection:
            head = b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
            await connection.send(head + line + b"\r\n\r\n" + BODY)
            assert 400 <= (await connection.answer()).status < 500, line[:60]
    assert inbox.log_length() == before
    async with wire(inbox.api.port) as connection:
        await connection.send(raw_request("POST", path, BODY, Stripe_Signature=good.decode()))
        assert (await connection.answer()).status == 200


async def test_a_body_may_have_a_mebibyte(inbox: Inbox, merchant: Merchant) -> None:
    for size, wanted in ((1024 * 1024, 200), (1024 * 1024 + 1, 413)):
        body = b'{"id":"evt_%d","x":"' % size
        body += b"x" * (size - len(body) - 2) + b'"}'
        signature = stripe_header(SECRET, body)["Stripe-Signature"]
        async with wire(inbox.api.port) as connection:
            path = f"/webhooks/stripe/{merchant.id}"
            await connection.send(raw_request("POST", path, body, Stripe_Signature=signature))
            assert (await connection.answer()).status == wanted
    (stored,) = await inbox.events(merchant)
    assert stored["type"] == "unknown"


async def test_a_number_like_a_cards_is_no_reason_to_lose_an_event(inbox: Inbox, merchant: Merchant) -> None:
    event = b.stripe_event("customer.created", {"description": "4242 4242 4242 4242"})
    (await inbox.stripe(merchant, event)).must(200)
    (stored,) = await inbox.events(merchant)
    shown = (await inbox.api.call("GET", f"/api/processor-events/{stored['id']}", token=merchant.token)).raw
    assert b"4242" not in shown


async def test_ten_thousand_forgeries_leave_nothing(inbox: Inbox, merchant: Merchant) -> None:
    """W1, through the application: sockets would only make it slower."""
    app = App(inbox.api.services, routes())
    chance = random.Random(7)
    before = inbox.log_length()
    good = STRIPE()["Stripe-Signature"]
    paths = (f"/webhooks/stripe/{merchant.id}", f"/webhooks/stripe/{new_id()}", "/webhooks/stripe")

    def forged() -> Request:
        place = chance.randrange(len(good))
        header = (
            good[:place] + chance.choice("0123456789abcdefé,=") + good[place + 1 :],
            good[:place],
            chance.randbytes(32).hex(),
            "t=1,v1=" + chance.randbytes(32).hex(),
        )[chance.randrange(4)]
        headers = CIMultiDictProxy(CIMultiDict({"Stripe-Signature": header if header != good else "x"}))
        made = Request("POST", chance.choice(paths), headers, peer="", started_at_s=0.0)
        made.body = BODY
        return made

    for _ in range(100):
        replies = await asyncio.gather(*(app.respond(forged()) for _ in range(100)))
        assert {reply.status for reply in replies} == {400}
    assert inbox.log_length() == before
    assert inbox.rows("SELECT count(*) FROM outbox") == [(0,)]


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are looked up for every event."""
    monkeypatch.setattr(webhook_secrets, "SECRETS_TTL_S", -1.0)


@pytest.mark.usefixtures("fresh")
async def test_the_secret_of_before_holds_on(inbox: Inbox, merchant: Merchant) -> None:
    await inbox.configure(merchant, "stripe", secretKey=stripe_account(merchant), webhookSecret="whsec_new")
    await inbox.configure(
        merchant, "razorpay", keyId=razorpay_account(merchant), keySecret="x", webhookSecret="new one"
    )
    for secret, event_id in (("whsec_new", "a"), (SECRET, "b")):
        (await inbox.stripe(merchant, {**EVENT, "id": event_id}, secret=secret)).must(200)
    for secret, event_id in (("new one", "a"), (RAZORPAY_SECRET, "b")):
        event = b.razorpay_event("settlement.processed", x={"n": event_id})
        (await inbox.razorpay(merchant, event, secret=secret, event_id=event_id)).must(200)
    rows = inbox.rows("SELECT processor, retired FROM processor_configs")
    assert {processor: len(retired) for processor, retired in rows} == {"stripe": 1, "razorpay": 1}
    for _, retired in rows:
        assert retired[0]["credentials"].startswith("v1.")


@pytest.mark.usefixtures("fresh")
@pytest.mark.rewrites_tables
async def test_the_secret_of_before_ends_by_the_databases_clock(
    inbox: Inbox, merchant: Merchant, request: pytest.FixtureRequest
) -> None:
    await inbox.configure(merchant, "stripe", secretKey=stripe_account(merchant), webhookSecret="whsec_new")
    held = inbox.rows("SELECT id, retired FROM processor_configs WHERE processor = 'stripe'")
    ended = "UPDATE processor_configs SET retired = replace(retired::text, '20', '19')::json WHERE id = %s RETURNING id"
    inbox.rows(ended, held[0][0])
    assert (await inbox.stripe(merchant, EVENT)).code == "invalid_signature"
    (await inbox.stripe(merchant, EVENT, secret="whsec_new")).must(200)
    back = "UPDATE processor_configs SET retired = %s::json WHERE id = %s RETURNING id"
    inbox.rows(back, orjson.dumps(held[0][1]).decode(), held[0][0])


@pytest.mark.usefixtures("fresh")
async def test_without_a_configuration_nothing_holds_any_more(inbox: Inbox, merchant: Merchant) -> None:
    (await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token)).must(204)
    assert (await inbox.stripe(merchant, EVENT)).code == "invalid_signature"


async def test_secrets_are_kept_for_a_moment_and_strangers_push_out_nobody(
    inbox: Inbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    database = inbox.api.services.inbox._database
    secrets = WebhookSecrets(database, inbox.api.services.ring, monotonic_s=lambda: now_s[0])
    monkeypatch.setattr(webhook_secrets, "UNKNOWN_MAX", 3)
    asked: list[Any] = []
    real = reading.fetch

    async def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(webhook_secrets, "fetch", counted)
    assert await asyncio.gather(*(secrets.get(merchant.id, "stripe") for _ in range(9))) == [(SECRET.encode(),)] * 9
    strangers = [new_id() for _ in range(5)]
    for stranger in (*strangers, strangers[-1]):
        assert await secrets.get(stranger, "stripe") == ()
    assert len(asked) == 6
    assert len(secrets._unknown) == 3
    await secrets.get(merchant.id, "stripe")
    assert len(asked) == 6
    now_s[0] = webhook_secrets.SECRETS_TTL_S + 0.01
    await secrets.get(merchant.id, "stripe")
    assert len(asked) == 7


async def test_an_event_is_taken_in_by_one_round_trip(
    inbox: Inbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await inbox.stripe(merchant, EVENT)).must(200)
    calls: list[str] = []

    def count(owner: type, method: str) -> None:
        real = getattr(owner, method)

        async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
            calls.append(method)
            return await real(self, *arguments, **options)

        monkeypatch.setattr(owner, method, counted)

    count(psycopg.AsyncConnection, "execute")
    count(PreparedStatement, "call")
    (await inbox.stripe(merchant, {**EVENT, "id": "evt_warm"})).must(200)
    # The append's own statement, and no other.
    assert calls == ["call"]


async def test_an_erased_merchants_events_are_kept_without_their_body(inbox: Inbox, merchant: Merchant) -> None:
    await inbox.api.services.personal.destroy(merchant.id)
    (await inbox.stripe(merchant, EVENT)).must(200)
    async with inbox.relaying():
        judged = await inbox.judged(merchant, "stripe", "evt_1")
    assert judged.verdict == "failed"
    (stored,) = await inbox.events(merchant)
    shown = (await inbox.api.call("GET", f"/api/processor-events/{stored['id']}", token=merchant.token)).must(200)
    assert shown["payload"] is None
