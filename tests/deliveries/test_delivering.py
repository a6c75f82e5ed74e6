"""From an order's public event to what its receivers get."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from payloops.events.webhook_delivery_state import Delivered, status
from payloops.projections.personal_data import CUSTOMER_EMAIL
from payloops.values import new_id
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, check, in_order
from tests.deliveries.world import DELIVERING, FAST, World


async def test_an_event_reaches_its_endpoint(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    async with world.relaying():
        order_id = await world.order(shop)
        (event_id,) = await world.publish(order_id, "payment.captured")
        [got] = await receiver.until(1)
        document = check(got, endpoint.secret)
        [state] = await world.all_ended(shop, 1)
        await world.quiet()
    assert (document["id"], document["type"], document["sequence"]) == (str(event_id), "payment.captured", 1)
    assert document["orderId"] == str(order_id)
    assert isinstance(state, Delivered)
    assert (state.facts.attempts, state.facts.last_status_code, state.facts.last_error) == (1, 200, None)
    assert await world.history(state.facts.delivery_id) == ["DeliveryScheduled", "DeliveryAttempted"]
    assert receiver.received == [got]


async def test_every_endpoint_that_wants_it_and_no_other(world: World, receiver: Receiver) -> None:
    shop, other = await world.shop(), await world.shop()
    for path, types in (("all", ()), ("refunds", ("refund.*",)), ("captured", ("payment.captured", "dispute.*"))):
        await world.endpoint(shop, receiver.at(path), *types)
    off = await world.endpoint(shop, receiver.at("off"))
    await world.change(shop, off, enabled=False)
    removed = await world.endpoint(shop, receiver.at("removed"))
    await world.remove(shop, removed)
    await world.endpoint(other, receiver.at("other"))
    async with world.relaying():
        order_id = await world.order(shop)
        await world.publish(order_id, "payment.captured", "refund.pending", "refund.processed", "dispute.opened")
        await world.all_ended(shop, 8)
        await world.quiet()
    told = {path: [one.type for one in receiver.of(path)] for path in ("all", "refunds", "captured")}
    assert told == {
        "all": ["payment.captured", "refund.pending", "refund.processed", "dispute.opened"],
        "refunds": ["refund.pending", "refund.processed"],
        "captured": ["payment.captured", "dispute.opened"],
    }
    assert len(receiver.received) == 8
    bodies = {(one.id, one.body) for one in receiver.received}
    assert len(bodies) == 4, "one event has the same bytes for every endpoint"


async def test_a_merchant_without_endpoints_costs_nothing(world: World) -> None:
    shop = await world.shop()
    await world.told(shop, 3)
    assert await world.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_failures_are_tried_again_with_the_same_body(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    receiver.behave("hook", r.hang_up, r.answer(500, b"oops"), r.redirect("/x"), r.black_hole, then=r.OK)
    async with world.relaying():
        await world.told(shop)
        [state] = await world.all_ended(shop, 1)
        await world.quiet()
    assert isinstance(state, Delivered)
    assert state.facts.attempts == 5
    got = receiver.received
    assert len({one.body for one in got}) == 1
    assert len({one.headers["webhook-id"] for one in got}) == 1
    assert len({one.headers["x-loop-signature"] for one in got}) > 1
    for one in got:
        check(one, endpoint.secret)
    attempts = await world.rows("SELECT number, status_code, error FROM webhook_attempts ORDER BY number")
    assert attempts == [
        (1, None, "it closed the connection without an answer"),
        (2, 500, "the receiver answered 500"),
        (3, 302, "the receiver answered 302"),
        (4, None, "no answer within 1 s"),
        (5, 200, None),
    ]


async def test_after_the_last_attempt_it_has_failed(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", then=r.answer(500))
    async with world.relaying():
        await world.told(shop)
        [state] = await world.all_ended(shop, 1)
        await world.quiet()
    assert status(state) == "failed"
    assert state.facts.attempts == 6
    assert len(receiver.received) == 6


async def test_an_orders_events_come_in_order_even_under_failure(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", r.hang_up, r.answer(503), r.OK, r.answer(400), r.OK, r.answer(500), then=r.OK)
    async with world.relaying(), world.relaying():
        await world.told(shop, 6)
        await world.all_ended(shop, 6)
        await world.quiet()
    assert [one.sequence for one in receiver.received] == [1, 1, 1, 2, 2, 3, 3, 4, 5, 6]
    assert in_order(receiver.received)


async def test_orders_and_endpoints_do_not_wait_for_each_other(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at("bad"))
    await world.endpoint(shop, receiver.at("good"))
    release = asyncio.Event()
    receiver.behave("bad", then=r.held(release))
    async with world.relaying(replace(DELIVERING, timeout_s=10.0)):
        first = await world.told(shop, 3)
        second = await world.told(shop, 2)
        got = await receiver.until(5, "good")
        assert {(one.document["orderId"], one.sequence) for one in got} == {
            *((str(first), n) for n in (1, 2, 3)),
            *((str(second), n) for n in (1, 2)),
        }
        stuck = await receiver.until(2, "bad")
        assert {one.document["orderId"] for one in stuck} == {str(first), str(second)}
        assert {one.sequence for one in stuck} == {1}
        release.set()
        await world.all_ended(shop, 10)
        await world.quiet()
    assert in_order(one for one in receiver.of("bad") if one.document["orderId"] == str(first))


async def test_a_predecessor_is_waited_for_only_so_long(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", r.answer(500), then=r.OK)
    patient = replace(FAST, steps_s=(30.0,), turn_wait_s=1.0)
    async with world.relaying(replace(DELIVERING, schedule=patient)):
        started_s = time.monotonic()
        await world.told(shop, 2)
        got = await receiver.until(2)
        assert time.monotonic() - started_s > 0.9
    assert [one.sequence for one in got] == [1, 2]
    ended, open_one = sorted(
        [await world.delivery(one) for one in await world.deliveries_of(shop)], key=lambda state: -state.facts.sequence
    )
    assert (status(ended), status(open_one)) == ("delivered", "retrying")


async def test_a_failed_predecessor_lets_the_next_one_go_at_once(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", *[r.answer(500)] * 6, then=r.OK)
    async with world.relaying(replace(DELIVERING, schedule=replace(FAST, turn_wait_s=60.0))):
        await world.told(shop, 2)
        first, second = await world.all_ended(shop, 2)
        await world.quiet()
    assert (status(first), status(second)) == ("failed", "delivered")


async def test_two_live_secrets_sign(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    newer = await world.rotate(shop, endpoint)
    async with world.relaying():
        await world.told(shop)
        [got] = await receiver.until(1)
        await world.all_ended(shop, 1)
    check(got, newer)
    Webhook(endpoint.secret).verify(got.body, got.headers)
    with pytest.raises(AssertionError):
        check(got, endpoint.secret)


async def test_after_the_overlap_the_new_secret_signs_alone(world: World, receiver: Receiver) -> None:
    """Our own signature and the Standard Webhooks library say so."""
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    newer = await world.rotate(shop, endpoint, overlap=timedelta(0))
    async with world.relaying():
        await world.told(shop)
        [got] = await receiver.until(1)
        await world.all_ended(shop, 1)
    check(got, newer)
    assert len(got.headers["webhook-signature"].split()) == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secret).verify(got.body, got.headers)


async def test_the_present_address_is_used(world: World, receiver: Receiver) -> None:
    """A merchant who corrects the address gets what was tried in vain at the one before."""
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at("wrong"))
    receiver.behave("wrong", then=r.answer(404))
    async with world.relaying():
        await world.told(shop)
        await receiver.until(1, "wrong")
        await world.change(shop, endpoint, url=receiver.at("right"))
        await receiver.until(1, "right")
        [state] = await world.all_ended(shop, 1)
    assert status(state) == "delivered"


@pytest.mark.parametrize("how", ("disabled", "removed"))
async def test_what_is_wanted_no_more_ends_without_an_attempt(world: World, receiver: Receiver, how: str) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    receiver.behave("hook", then=r.answer(500))
    async with world.relaying(replace(DELIVERING, schedule=replace(FAST, steps_s=(0.5,) * 5))):
        await world.told(shop)
        await receiver.until(1)
        if how == "disabled":
            await world.change(shop, endpoint, enabled=False)
        else:
            await world.remove(shop, endpoint)
        [state] = await world.all_ended(shop, 1)
        await world.quiet()
    assert status(state) == "failed"
    assert state.facts.last_error == "the endpoint was removed or is disabled"
    assert len(receiver.received) == state.facts.attempts == 1


async def test_a_sample_goes_as_it_is(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at(), "refund.*")
    document = {"id": str(new_id()), "type": "webhook.test", "sample": True}
    async with world.relaying():
        delivery = await world.sample(shop, endpoint, receiver.at(), document)
        state = await world.ended(delivery)
    assert status(state) == "delivered"
    [got] = receiver.received
    assert got.document == document
    Webhook(endpoint.secret).verify(got.body, got.headers)


async def test_erased_personal_data_is_null_and_no_error(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    key = await world.personal.key_for(shop.id)
    order_id = new_id()
    sealed = key.seal(CUSTOMER_EMAIL, order_id, "ann@example.com")
    await world.order(shop, order_id=order_id, customer_email=sealed)
    await world.publish(order_id, "payment.captured")
    receiver.behave("hook", r.answer(500, b"ann@example.com"), then=r.answer(200, b"thanks"))
    erased = replace(FAST, steps_s=(1.0,) * 5)
    async with world.relaying(replace(DELIVERING, schedule=erased)):
        [first] = await receiver.until(1)
    assert first.document["payload"]["customerEmail"] == "ann@example.com"
    await world.personal.destroy(shop.id)
    async with world.relaying(replace(DELIVERING, schedule=erased)):
        [state] = await world.all_ended(shop, 1)
    assert status(state) == "delivered"
    assert receiver.received[-1].document["payload"]["customerEmail"] is None
    assert await world.rows("SELECT response_body IS NULL FROM webhook_attempts ORDER BY number") == [(False,), (True,)]


async def test_nothing_personal_or_secret_in_a_workflow(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    key = await world.personal.key_for(shop.id)
    order_id = new_id()
    sealed = key.seal(CUSTOMER_EMAIL, order_id, "ann@example.com")
    await world.order(shop, order_id=order_id, customer_email=sealed)
    await world.publish(order_id, "payment.captured")
    receiver.behave("hook", then=r.answer(500, b"ann@example.com"))
    async with world.relaying(replace(DELIVERING, schedule=replace(FAST, steps_s=(60.0,)))):
        [got] = await receiver.until(1)
        assert b"ann@example.com" in got.body
        await world.quiet()
    kept = await world.rows("SELECT state::text FROM workflow_runs UNION ALL SELECT payload::text FROM outbox")
    kept += await world.rows("SELECT encode(state, 'escape') FROM stored_events")
    assert len(kept) > 4
    for (text,) in kept:
        assert "ann@example.com" not in text
        assert endpoint.secret not in text
