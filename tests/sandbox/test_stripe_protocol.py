"""Keys, errors, headers, bodies and idempotency: what Stripe's API does around its operations."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
import stripe

from tests.sandbox.world import World, new_key

FORM = "amount=1000&currency=usd&confirm=true&metadata[order_id]=o-1&payment_method_types[]=card"


async def post(world: World, path: str, form: str, key: str | None = None, **headers: str) -> Any:
    sent = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    return await world.stripe_call("POST", path, data=form, headers=sent | ({"Idempotency-Key": key} if key else {}))


# ------------------------------------------------------------------------------------------------------------- keys
@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer nonsense",
        "Bearer sk_live_1234567890123456789",
        "Bearer pk_test_1234567890",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe:").decode(),
        "Digest sk_test_abc",
    ],
)
async def test_bad_keys_are_401_in_stripes_shape(world: World, authorization: str) -> None:
    answer = await world.stripe_call("GET", "/balance", headers={"Authorization": authorization})
    assert answer.status == 401
    assert answer.body["error"]["type"] == "invalid_request_error"
    assert "sk_live_1234567890123456789" not in answer.body["error"]["message"]
    assert answer.headers["Request-Id"].startswith("req_")


async def test_the_sdk_says_authentication_error(world: World) -> None:
    with pytest.raises(stripe.AuthenticationError):
        await world.stripe("sk_live_wrong").v1.balance.retrieve_async()


async def test_basic_authentication_is_the_same_account(world: World) -> None:
    assert (await post(world, "/payment_intents", FORM)).status == 200
    basic = base64.b64encode(f"{world.stripe_account}:".encode()).decode()
    listed = await world.stripe_call("GET", "/payment_intents", headers={"Authorization": f"Basic {basic}"})
    assert len(listed.body["data"]) == 1


async def test_accounts_do_not_see_each_other(world: World) -> None:
    intent = await post(world, "/payment_intents", FORM, "same-key")
    other = world.stripe(new_key())
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await other.v1.payment_intents.retrieve_async(intent.body["id"])
    assert (unknown.value.http_status, unknown.value.code, unknown.value.param) == (404, "resource_missing", "intent")
    assert (await other.v1.payment_intents.list_async()).data == []
    theirs = await other.v1.payment_intents.create_async(
        {"amount": 1, "currency": "usd"}, {"idempotency_key": "same-key"}
    )
    assert theirs.id != intent.body["id"]


# ----------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ("currency=usd", "amount", "parameter_missing"),
        ("amount=100", "currency", "parameter_missing"),
        ("amount=0&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=-5&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=1.5&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=9007199254740992&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=99999999999999999999999&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=1&currency=xyz", "currency", None),
        ("amount=1&currency=usd&capture_method=later", "capture_method", None),
        ("amount=1&currency=usd&confirm=perhaps", "confirm", None),
        ("amount=1&currency=usd&nonsense=1", "nonsense", "parameter_unknown"),
        ("amount=1&currency=usd&metadata=text", "metadata", None),
        ("amount=1&currency=usd&metadata[" + "k" * 41 + "]=v", "metadata", None),
        ("amount=1&currency=usd&metadata[k]=" + "v" * 501, "metadata[k]", None),
        ("amount=1&currency=usd&" + "&".join(f"metadata[k{n}]=v" for n in range(51)), "metadata", None),
        ("amount=1&currency=usd&payment_method_types[a]=b", "payment_method_types", None),
        ("amount=1&currency=usd&expand[]=nonsense", "expand", "property_not_expandable"),
        ("amount=1&currency=usd&expand[]=latest_charge.a.b.c.d", "expand", "property_not_expandable"),
        ("amount=1&currency=usd&confirm=true&automatic_payment_methods[enabled]=true", "return_url", None),
    ],
)
async def test_bad_parameters(world: World, form: str, param: str, code: str | None) -> None:
    answer = await post(world, "/payment_intents", form)
    error = answer.body["error"]
    assert (answer.status, error["type"], error["param"], error.get("code")) == (
        400,
        "invalid_request_error",
        param,
        code,
    )
    assert (await world.ledger())["payments"] == []


@pytest.mark.parametrize("form", ["a[b]=1&a=2", "a=1&a[b]=2", "[x]=1&" + "a" + "[b]" * 9 + "=1", "a=%ff"])
async def test_forms_that_cannot_be_read(world: World, form: str) -> None:
    answer = await post(world, "/payment_intents", form)
    assert (answer.status, answer.body["error"]["type"]) == (400, "invalid_request_error")


async def test_raw_card_numbers_are_refused(world: World) -> None:
    form = FORM + "&payment_method_data[type]=card&payment_method_data[card][number]=4242424242424242"
    assert (await post(world, "/payment_intents", form)).status == 402
    answer = await post(world, "/payment_methods", "type=card&card[number]=4242424242424242")
    assert answer.status == 402


async def test_payment_methods_and_endpoints_need_their_parameters(world: World) -> None:
    for path, form, param in (
        ("/payment_methods", "card[token]=tok_visa", "type"),
        ("/payment_methods", "type=card", "card[token]"),
        ("/webhook_endpoints", "enabled_events[]=*", "url"),
        ("/webhook_endpoints", "url=http://localhost/x", "enabled_events"),
        ("/webhook_endpoints", "enabled_events[]=*&url=ftp://localhost/x", "url"),
        ("/webhook_endpoints", "enabled_events[]=*&url=http://[::1/x", "url"),
    ):
        answer = await post(world, path, form)
        assert (answer.status, answer.body["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "path", ["/payment_intents/pi_x/capture", "/payment_intents/pi_x/cancel", "/payment_intents/pi_x"]
)
async def test_unknown_ids(world: World, path: str) -> None:
    answer = await post(world, path, "")
    assert (answer.status, answer.body["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize(
    "path", ["/charges/x", "/events/x", "/disputes/x", "/webhook_endpoints/x", "/payment_methods/x"]
)
async def test_unknown_ids_of_other_kinds(world: World, path: str) -> None:
    answer = await world.stripe_call("GET", path)
    assert (answer.status, answer.body["error"]["code"]) == (404, "resource_missing")


async def test_unknown_routes(world: World) -> None:
    answer = await world.stripe_call("GET", "/nonsense")
    assert (answer.status, answer.body["error"]["type"]) == (404, "invalid_request_error")


async def test_json_bodies_are_taken_too(world: World) -> None:
    body = {
        "amount": 1000,
        "currency": "usd",
        "confirm": True,
        "metadata": {"order_id": "o"},
        "expand": ["latest_charge"],
    }
    answer = await world.stripe_call("POST", "/payment_intents", json=body)
    assert (answer.status, answer.body["latest_charge"]["object"]) == (200, "charge")
    for bad in (b"[]", b"{", b'"text"'):
        refused = await world.stripe_call(
            "POST", "/payment_intents", data=bad, headers={"Content-Type": "application/json"}
        )
        assert refused.status == 400


async def test_headers_of_an_answer(world: World) -> None:
    answer = await post(world, "/payment_intents", FORM, "key-1", **{"Stripe-Version": "2024-06-20"})
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == "2024-06-20"
    assert answer.headers["Idempotency-Key"] == "key-1"
    assert "Idempotent-Replayed" not in answer.headers
    plain = await world.stripe_call("GET", "/balance")
    assert plain.headers["Stripe-Version"] == stripe.api_version


# ------------------------------------------------------------------------------------------------------ idempotency
async def test_the_same_key_and_parameters_replay(world: World) -> None:
    first = await post(world, "/payment_intents", FORM, "key-1")
    again = await post(world, "/payment_intents", FORM, "key-1")
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    ledger = await world.ledger()
    assert [payment["idempotencyKey"] for payment in ledger["payments"]] == ["key-1"]
    assert ledger["calls"] == {"payment.create": 2}


async def test_a_replay_is_the_first_answer_even_when_the_payment_moved_on(world: World) -> None:
    form = FORM + "&capture_method=manual"
    first = await post(world, "/payment_intents", form, "key-1")
    await post(world, f"/payment_intents/{first.body['id']}/capture", "", "key-2")
    again = await post(world, "/payment_intents", form, "key-1")
    assert again.body["status"] == "requires_capture"


async def test_other_parameters_or_another_endpoint_under_the_same_key(world: World) -> None:
    first = await post(world, "/payment_intents", FORM, "key-1")
    for path, form in (
        ("/payment_intents", FORM.replace("1000", "1001")),
        (f"/payment_intents/{first.body['id']}/cancel", ""),
    ):
        answer = await post(world, path, form, "key-1")
        assert (answer.status, answer.body["error"]["type"]) == (400, "idempotency_error")
    with pytest.raises(stripe.IdempotencyError):
        await world.stripe().v1.payment_intents.create_async(
            {"amount": 1, "currency": "usd"}, {"idempotency_key": "key-1"}
        )


async def test_the_order_of_parameters_does_not_matter(world: World) -> None:
    first = await post(world, "/payment_intents", "amount=5&currency=usd", "key-1")
    again = await post(world, "/payment_intents", "currency=usd&amount=5", "key-1")
    assert again.body == first.body


async def test_declines_are_replayed(world: World) -> None:
    form = FORM + "&payment_method=pm_card_visa_chargeDeclined"
    first = await post(world, "/payment_intents", form, "key-1")
    again = await post(world, "/payment_intents", form, "key-1")
    assert (first.status, again.status, again.body) == (402, 402, first.body)
    assert len((await world.ledger())["payments"]) == 1


async def test_answers_of_the_endpoint_itself_are_replayed(world: World) -> None:
    intent = (await post(world, "/payment_intents", "amount=5&currency=usd")).body["id"]
    refused = await post(world, f"/payment_intents/{intent}/capture", "", "key-1")
    assert refused.status == 400
    confirmed = await post(world, f"/payment_intents/{intent}/confirm", "capture_method=manual", "key-2")
    assert confirmed.body["status"] == "requires_capture"
    again = await post(world, f"/payment_intents/{intent}/capture", "", "key-1")
    assert (again.status, again.body) == (400, refused.body)


async def test_requests_that_were_never_executed_leave_the_key_unused(world: World) -> None:
    assert (await post(world, "/payment_intents", "amount=0&currency=usd", "key-1")).status == 400
    unauthorized = await post(world, "/payment_intents", FORM, "key-1", Authorization="Bearer wrong")
    assert unauthorized.status == 401
    assert (await post(world, "/payment_intents", FORM, "key-1")).status == 200


async def test_reads_have_no_idempotency(world: World) -> None:
    await post(world, "/payment_intents", FORM, "key-1")
    answer = await world.stripe_call("GET", "/payment_intents", headers={"Idempotency-Key": "key-1"})
    assert (answer.status, len(answer.body["data"])) == (200, 1)


async def test_keys_are_at_most_255_characters(world: World) -> None:
    assert (await post(world, "/payment_intents", FORM, "k" * 255)).status == 200
    assert (await post(world, "/payment_intents", FORM, "k" * 256)).status == 400


async def test_concurrent_requests_with_one_key_execute_once(world: World) -> None:
    answers = await asyncio.gather(*(post(world, "/payment_intents", FORM, "key-1") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert sum(answer.headers.get("Idempotent-Replayed") == "true" for answer in answers) == 19
    assert len((await world.ledger())["payments"]) == 1


async def test_a_key_in_flight_is_409(world: World) -> None:
    await world.fault("payment.create", "slow", ms=60_000)
    slow = asyncio.create_task(post(world, "/payment_intents", FORM, "key-1"))
    try:
        await world.arrival(world.stripe_account, "payment.create")
        answer = await post(world, "/payment_intents", FORM, "key-1")
        assert (answer.status, answer.body["error"]["code"]) == (409, "idempotency_key_in_use")
        assert answer.headers["Stripe-Should-Retry"] == "true"
        other = await post(world, "/payment_intents", FORM, "key-2")
        assert other.status == 200
        await world.fault("payment.create", "slow", ms=0)
        assert (await post(world, "/payment_intents", FORM, "key-1")).status == 409
    finally:
        slow.cancel()
