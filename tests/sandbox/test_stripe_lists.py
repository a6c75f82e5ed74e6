"""Lists, searches, expansions, events and webhook endpoints through the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.world import World


async def create(world: World, **params: Any) -> Any:
    given: Any = {"amount": 100, "currency": "usd", **params}
    return await world.stripe().v1.payment_intents.create_async(given)


async def test_pages_by_cursor(world: World) -> None:
    ids = [(await create(world)).id for _ in range(7)][::-1]
    intents = world.stripe().v1.payment_intents
    first = await intents.list_async({"limit": 3})
    assert ([one.id for one in first.data], first.has_more) == (ids[:3], True)
    second = await intents.list_async({"limit": 3, "starting_after": ids[2]})
    assert ([one.id for one in second.data], second.has_more) == (ids[3:6], True)
    last = await intents.list_async({"limit": 3, "starting_after": ids[5]})
    assert ([one.id for one in last.data], last.has_more) == (ids[6:], False)
    back = await intents.list_async({"limit": 3, "ending_before": ids[5]})
    assert ([one.id for one in back.data], back.has_more) == (ids[2:5], True)
    front = await intents.list_async({"limit": 3, "ending_before": ids[2]})
    assert ([one.id for one in front.data], front.has_more) == (ids[:2], False)
    everything = [one.id async for one in (await intents.list_async({"limit": 2})).auto_paging_iter()]
    assert everything == ids


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"starting_after": "pi_unknown"}, "starting_after"),
        ({"starting_after": "pi_a", "ending_before": "pi_b"}, "ending_before"),
        ({"expand": ["latest_charge"]}, "expand"),
        ({"expand": ["data.nonsense"]}, "expand"),
        ({"colour": "red"}, "colour"),
        ({"created": {"gte": "soon"}}, "created[gte]"),
    ],
)
async def test_bad_list_parameters(world: World, params: Any, param: str) -> None:
    await create(world)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.payment_intents.list_async(params)
    assert refused.value.param == param


async def test_lists_by_time(world: World) -> None:
    intent = await create(world)
    intents = world.stripe().v1.payment_intents
    inside: tuple[Any, ...] = (
        intent.created,
        {"gte": intent.created, "lte": intent.created},
        {"gt": intent.created - 1, "lt": intent.created + 1},
    )
    outside: tuple[Any, ...] = (intent.created - 1, {"gt": intent.created}, {"lt": intent.created})
    for window, count in [(one, 1) for one in inside] + [(one, 0) for one in outside]:
        listed = await intents.list_async({"created": window})
        assert len(listed.data) == count, window


async def test_expanded_lists(world: World) -> None:
    await create(world, confirm=True, payment_method="pm_card_amex")
    listed: Any = await world.stripe().v1.payment_intents.list_async(
        {"expand": ["data.latest_charge", "data.payment_method", "data.customer"]}
    )
    intent = listed.data[0]
    assert intent.latest_charge.status == "succeeded"
    assert intent.payment_method.card.brand == "amex"
    charges: Any = await world.stripe().v1.charges.list_async(
        {"payment_intent": intent.id, "expand": ["data.payment_intent.latest_charge"]}
    )
    assert charges.data[0].payment_intent.latest_charge.id == charges.data[0].id
    plain = await world.stripe().v1.payment_intents.retrieve_async(intent.id)
    assert isinstance(plain.latest_charge, str)


async def test_search(world: World) -> None:
    intents = world.stripe().v1.payment_intents
    first = await create(world, metadata={"order_id": "it's", "attempt": "1"}, confirm=True)
    second = await create(world, metadata={"order_id": "it's", "attempt": "2"}, amount=200)
    await create(world, metadata={"order_id": "other"})
    cases: list[tuple[str, list[str]]] = [
        (r"metadata['order_id']:'it\'s'", [second.id, first.id]),
        (r"""metadata["order_id"]:"it's" AND metadata['attempt']:'2'""", [second.id]),
        (r"metadata['order_id']:'it\'s' AND status:'succeeded'", [first.id]),
        ("status:'succeeded'", [first.id]),
        ("amount>100", [second.id]),
        ("amount>=100 AND amount<200 AND status:'succeeded'", [first.id]),
        ("amount<=99", []),
        ("amount=200 AND currency:'usd'", [second.id]),
        ("metadata['order_id']:'nobody'", []),
        ("created>0 AND amount:200", [second.id]),
    ]
    for query, expected in cases:
        found = await intents.search_async({"query": query})
        assert [one.id for one in found.data] == expected, query
    paged = await intents.search_async({"query": "currency:'usd'", "limit": 2, "expand": ["data.latest_charge"]})
    assert (len(paged.data), paged.has_more) == (2, True)
    rest = await intents.search_async({"query": "currency:'usd'", "limit": 2, "page": str(paged.next_page)})
    assert ([one.id for one in rest.data], rest.has_more) == ([first.id], False)


@pytest.mark.parametrize("query", ["nonsense", "status:'a' OR status:'b'", "colour:'red'", "status>'a'", "amount:'x"])
async def test_searches_that_cannot_be_read(world: World, query: str) -> None:
    await create(world)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.payment_intents.search_async({"query": query})
    assert refused.value.param == "query"


async def test_a_search_needs_a_query(world: World) -> None:
    answer = await world.stripe_call("GET", "/payment_intents/search")
    assert (answer.status, answer.body["error"]["param"]) == (400, "query")


async def test_search_follows_changed_metadata(world: World) -> None:
    intents = world.stripe().v1.payment_intents
    intent = await create(world, metadata={"order_id": "before"}, capture_method="manual", confirm=True)
    await intents.update_async(intent.id, {"metadata": {"order_id": "after"}})
    assert (await intents.search_async({"query": "metadata['order_id']:'before'"})).data == []
    assert len((await intents.search_async({"query": "metadata['order_id']:'after'"})).data) == 1
    await intents.capture_async(intent.id, {"metadata": {"order_id": "captured"}})
    assert len((await intents.search_async({"query": "metadata['order_id']:'captured'"})).data) == 1


async def test_events_are_listed_and_retrieved(world: World) -> None:
    events = world.stripe().v1.events
    intent = await create(world, confirm=True)
    await create(world, confirm=True)
    listed = await events.list_async({"type": "payment_intent.succeeded"})
    assert [event.type for event in listed.data] == ["payment_intent.succeeded"] * 2
    assert listed.data[1].data.object["id"] == intent.id
    several = await events.list_async({"types": ["payment_intent.created", "charge.succeeded"], "limit": 3})
    assert ([event.type for event in several.data], several.has_more) == (
        ["charge.succeeded", "payment_intent.created", "charge.succeeded"],
        True,
    )
    one = await events.retrieve_async(listed.data[0].id)
    assert (one.object, one.livemode, one.pending_webhooks) == ("event", False, 0)
    assert one.api_version == stripe.api_version
    assert one.request is not None
    assert str(one.request.id).startswith("req_")


async def test_webhook_endpoints(world: World) -> None:
    endpoints = world.stripe().v1.webhook_endpoints
    made = await endpoints.create_async(
        {"url": world.receiver.url, "enabled_events": ["payment_intent.succeeded"], "metadata": {"a": "b"}}
    )
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    again = await endpoints.retrieve_async(made.id)
    assert (again.url, again.status, again.enabled_events) == (
        world.receiver.url,
        "enabled",
        ["payment_intent.succeeded"],
    )
    assert "secret" not in again.to_dict()
    await create(world, confirm=True)
    received = await world.receiver.next()
    event = stripe.Webhook.construct_event(received.raw, received.headers["Stripe-Signature"], made.secret)
    assert event.type == "payment_intent.succeeded"
    changed = await endpoints.update_async(
        made.id,
        {"url": world.receiver.url, "disabled": True, "description": "off", "enabled_events": ["*"]},
    )
    assert (changed.status, changed.description) == ("disabled", "off")
    assert [one.id for one in (await endpoints.list_async()).data] == [made.id]
    await create(world, confirm=True)
    await endpoints.update_async(made.id, {"disabled": False, "enabled_events": ["payment_intent.created"]})
    last = await create(world)
    assert (await world.receiver.next()).body["data"]["object"]["id"] == last.id
    deleted = await endpoints.delete_async(made.id)
    assert deleted.deleted
    assert (await endpoints.list_async()).data == []
