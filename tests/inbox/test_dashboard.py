"""The inbox as the dashboard sees it."""

from __future__ import annotations

import asyncio

import orjson
import psycopg
import pytest

from payloops.events.order_state import status
from payloops.projections.processor_event_views import _compose
from payloops.values import new_id
from payloops.workflows_bridge.inbox import processing
from payloops.workflows_bridge.inbox.facts import Unreadable
from payloops.workflows_bridge.inbox.processing import Patience
from tests.inbox import bodies as b
from tests.inbox.test_processing import paid_at_razorpay, paid_at_stripe
from tests.inbox.world import Inbox
from tests.integration.http.world import Merchant
from tests.workflows.world import eventually

PATIENT = Patience(first_s=30)


async def test_the_list_pages_newest_first_and_filters(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    sent = []
    async with inbox.relaying():
        for number in range(5):
            event = b.stripe_event("customer.created", {"id": "cus"}, event_id=f"evt_{number}")
            await inbox.tell_stripe(merchant, event)
            sent.append(event["id"])
        wrong = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id, 1), event_id="evt_q")
        await inbox.tell_stripe(merchant, wrong)
        await inbox.tell_razorpay(merchant, b.razorpay_event("settlement.processed"), "e1")
    everything = await inbox.events(merchant)
    assert [one["processorEventId"] for one in everything] == ["e1", "evt_q", *reversed(sent)]
    paged, cursor = [], ""
    for _ in range(9):
        page = await inbox.api.call("GET", f"/api/processor-events?limit=3{cursor}", token=merchant.token)
        body = page.must(200)
        paged += body["data"]
        if not body["hasMore"]:
            assert body["nextCursor"] is None
            break
        cursor = f"&cursor={body['nextCursor']}"
    assert paged == everything
    for query, wanted in (
        ("?status=quarantined", ["evt_q"]),
        ("?status=failed", []),
        ("?status=ignored&limit=2", ["e1", "evt_4"]),
        ("?processor=razorpay", ["e1"]),
        ("?type=payment_intent.succeeded", ["evt_q"]),
        (f"?orderId={order['id']}", ["evt_q"]),
        (f"?orderId={order['id']}&status=processed", []),
        (f"?orderId={new_id()}", []),
    ):
        assert [one["processorEventId"] for one in await inbox.events(merchant, query)] == wanted, query
    for query in ("status=x", "processor=paypal", "orderId=abc", "limit=0", "limit=101", "cursor=x", "type=%00"):
        answer = await inbox.api.call("GET", f"/api/processor-events?{query}", token=merchant.token)
        assert (answer.status, answer.code) == (400, "validation_error"), query


async def test_one_event_shows_its_body_without_secrets(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    event = b.razorpay_event("payment.captured", payment=b.razorpay_payment(order["id"], merchant.id))
    (await inbox.razorpay(merchant, event)).must(200)
    (listed,) = await inbox.events(merchant)
    answer = await inbox.api.call("GET", f"/api/processor-events/{listed['id']}", token=merchant.token)
    shown = answer.must(200)
    assert {name: shown[name] for name in listed} == listed
    assert set(shown) - set(listed) == {"payload"}
    entity = shown["payload"]["payload"]["payment"]["entity"]
    assert (entity["id"], entity["amount"], entity["notes"]["order_id"]) == ("pay_1", 1000, order["id"])
    assert (entity["email"], entity["contact"]) == ("[redacted]", "[redacted]")
    assert b"jane" not in answer.raw


async def test_other_merchants_events_do_not_exist(inbox: Inbox, merchant: Merchant) -> None:
    (await inbox.stripe(merchant, b.stripe_event("customer.created", {}))).must(200)
    (listed,) = await inbox.events(merchant)
    other = await inbox.merchant("stripe")
    same = {"X-Correlation-ID": "the-same"}
    for method, path in (("GET", ""), ("POST", "/reprocess")):
        answers = [
            await inbox.api.call(method, f"/api/processor-events/{some}{path}", token=other.token, headers=same)
            for some in (listed["id"], new_id(), "abc")
        ]
        assert {answer.status for answer in answers} == {404}
        assert len({answer.raw for answer in answers}) == 1
    assert await inbox.events(other) == []
    refused = await inbox.api.call("GET", "/api/processor-events", key=merchant.api_key)
    assert refused.status == 403


async def test_reprocessing_is_for_what_had_no_effect(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    done = b.stripe_event("payment_intent.processing", b.intent(order["id"], merchant.id))
    wrong = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id, 1))
    async with inbox.relaying():
        processed = await inbox.tell_stripe(merchant, done)
        quarantined = await inbox.tell_stripe(merchant, wrong)
        path = f"/api/processor-events/{processed.facts.event_id}/reprocess"
        answer = await inbox.api.call("POST", path, token=merchant.token)
        assert (answer.status, answer.code) == (400, "invalid_status")
        path = f"/api/processor-events/{quarantined.facts.event_id}/reprocess"
        key = {"Idempotency-Key": "again"}
        first = await inbox.api.call("POST", path, {}, token=merchant.token, headers=key)
        assert first.must(202)["status"] == "received"
        again = await inbox.judged(merchant, "stripe", wrong["id"])
        assert (again.verdict, again.facts.reprocessed) == ("quarantined", 1)
        second = await inbox.api.call("POST", path, {}, token=merchant.token, headers=key)
        assert (second.raw, second.headers["Idempotent-Replayed"]) == (first.raw, "true")
    assert status(await inbox.order(order["id"])) == "processing"


async def reprocess(inbox: Inbox, merchant: Merchant, event_id: object) -> int:
    path = f"/api/processor-events/{event_id}/reprocess"
    return (await inbox.api.call("POST", path, {}, token=merchant.token)).status


async def test_after_a_fix_each_kind_of_trouble_has_its_effect_once(
    inbox: Inbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ignored: its payment was not known. Failed: it could not be read. Both are asked for by ten people at once."""
    unknown, unreadable = [await paid_at_stripe(inbox, merchant) for _ in range(2)]
    stranger = b.intent(unknown["id"], merchant.id, id="pi_stranger", metadata={})
    ignored = b.stripe_event("payment_intent.succeeded", stranger)
    failed = b.stripe_event("payment_intent.succeeded", b.intent(unreadable["id"], merchant.id, id="pi_other"))
    async with inbox.relaying():
        first = await inbox.tell_stripe(merchant, ignored)
        with monkeypatch.context() as broken:

            def unable(_: object) -> None:
                raise Unreadable("a field of tomorrow is missing")

            broken.setitem(processing.READERS, "stripe", unable)
            second = await inbox.tell_stripe(merchant, failed)
        assert (first.verdict, second.verdict) == ("ignored", "failed")
        await inbox.api.action_required(unknown["id"], processor_order_id="pi_stranger")
        for judged, order in ((first, unknown), (second, unreadable)):
            event_id = judged.facts.event_id
            statuses = await asyncio.gather(*(reprocess(inbox, merchant, event_id) for _ in range(10)))
            assert 202 in statuses
            # Who comes when it is done is told so.
            assert set(statuses) <= {202, 400}
            await inbox.reach(order["id"], "captured")

        async def worked_off() -> bool:
            return inbox.rows("SELECT count(*) FROM outbox WHERE kind = 'process'") == [(0,)]

        await eventually(worked_off, "all that was asked for is done")
    for event, order in ((ignored, unknown), (failed, unreadable)):
        assert (await inbox.judged(merchant, "stripe", event["id"])).verdict == "processed"
        path = f"/v1/orders/{order['id']}/transactions"
        (taken,) = (await inbox.api.call("GET", path, key=merchant.api_key)).must(200)
        assert (taken["type"], taken["amount"], taken["status"]) == ("capture", 1000, "success")


async def test_a_poisonous_event_is_parked_and_comes_back(
    inbox: Inbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await paid_at_stripe(inbox, merchant)
    event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id))
    other = b.stripe_event("customer.created", {})
    with monkeypatch.context() as broken:

        def poison(_: object) -> None:
            raise ZeroDivisionError

        broken.setitem(processing.READERS, "stripe", poison)
        async with inbox.relaying():
            (await inbox.stripe(merchant, event)).must(200)
            while inbox.rows("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL") == [(0,)]:
                await asyncio.sleep(0.05)
    async with inbox.relaying():
        assert (await inbox.tell_stripe(merchant, other)).verdict == "ignored"
        (listed,) = await inbox.events(merchant, "?status=received")
        answer = await inbox.api.call("POST", f"/api/processor-events/{listed['id']}/reprocess", token=merchant.token)
        answer.must(202)
        assert (await inbox.judged(merchant, "stripe", event["id"])).verdict == "processed"
    assert status(await inbox.order(order["id"])) == "captured"


async def test_pages_are_read_from_their_indexes(inbox: Inbox, merchant: Merchant) -> None:
    inbox.rows(
        "INSERT INTO processor_events SELECT gen_random_uuid(), %s, 1, 'stripe', 'evt_' || n, 'x',"
        " CASE WHEN n %% 7 = 0 THEN gen_random_uuid() END, CASE WHEN n %% 500 = 0 THEN 'failed' ELSE 'processed' END,"
        " NULL, now() - n * interval '1 second', now(), now() FROM generate_series(1, 20000) n RETURNING 1",
        merchant.id,
    )
    inbox.rows("SELECT count(*) FROM processor_events")
    parameters = {
        "merchant": merchant.id,
        "status": "failed",
        "processor": None,
        "type": None,
        "order": new_id(),
        "before_time": "9999-01-01",
        "before_id": new_id(),
        "limit": 20,
    }
    with psycopg.connect(inbox.settings.migration_database_url, autocommit=True) as connection:
        connection.execute("ANALYZE processor_events")
        for block, index in (
            ("page", "processor_events_merchant_idx"),
            ("page_of_order", "processor_events_order_idx"),
            ("page_in_trouble", "processor_events_trouble_idx"),
        ):
            given = parameters | ({} if block == "page_in_trouble" else {"status": None})
            plan = connection.execute("EXPLAIN (FORMAT JSON) " + _compose(block), given).fetchone()
            text = orjson.dumps(plan[0] if plan else None).decode()
            assert index in text, text
            assert "Seq Scan" not in text
    inbox.rows("DELETE FROM processor_events RETURNING 1")
