"""Errors of the API's description that take a state, a limit or a race: caused on every call that names them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from payloops.commands.handlers import CommandHandler
from payloops.commands.merchant import API_KEYS_MAX, CreateApiKey, MerchantRequest, create_api_key
from payloops.commands.processor_event import REPROCESSED_MAX
from payloops.commands.webhook_delivery import GiveUpDelivery
from payloops.crypto import generate_api_key
from payloops.events import merchant_state
from payloops.events.base import Actor, Meta, Sealed
from payloops.events.merchant import MerchantEvent
from payloops.events.store import EventStore
from payloops.http.checkout.post_limits import POSTS_MAX
from payloops.http.openapi.document import Call
from payloops.http.rate_limits import AUTH_REQUESTS_PER_ADDRESS
from payloops.http.services import Services
from payloops.projections.order_export import EXPORTS_PER_MERCHANT_MAX
from payloops.projections.public_feed import FOLLOWERS_PER_MERCHANT_MAX
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.http.walk import CALLS, EXAMPLES, FORM, Walk, accepted, example_of, having, set_out
from tests.integration.http.world import Answer, Api, from_address, open_api, open_api_with
from tests.integration.store.blocker import Blocker

CAUSED: Final = frozenset(
    {
        *("idempotency_in_flight", "rate_limited", "invalid_status", "no_processor", "invalid_processor"),
        *("refund_exceeds_captured", "email_exists", "invalid_credentials"),
    }
)
"""The codes that the tests of this file cause."""


def require(answer: Answer, call: Call, status: int, code: str) -> None:
    assert answer.status == status, f"{call.name}: {answer.status} {answer.raw[:300]!r}"
    if not call.operation.for_people:
        assert answer.code == code, f"{call.name}: {answer.raw[:300]!r}"


# ------------------------------------------------------------------------------------------------- races and repeats


async def test_while_the_first_request_with_a_key_runs_the_second_is_told_so(
    api: Api, test_database: TestDatabase
) -> None:
    walk = await set_out(api, test_database)
    connection = await psycopg.AsyncConnection.connect(test_database.owner_dsn, autocommit=True)
    async with connection:
        blocker = Blocker(connection)
        for call in (call for call in CALLS if call.operation.idempotent):
            sent = await example_of(walk, call)
            headers = {"Idempotency-Key": str(new_id())}
            await blocker.hold()
            first = asyncio.create_task(walk.send(call, **sent, headers=headers))
            try:
                await blocker.blocked()
                second = asyncio.create_task(walk.send(call, **sent, headers=headers))
                if not call.operation.in_turn:
                    require(await second, call, 409, "idempotency_in_flight")
            finally:
                await blocker.release()
            assert (await first).status < 400, call.name
            if call.operation.in_turn:
                answer = await second
                assert (answer.status, answer.raw) == ((await first).status, (await first).raw), call.name
                assert answer.headers["Idempotent-Replayed"] == "true", call.name


class LaggingStore:
    """The log as a process sees it that is always one event behind: it loses every race."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def load(self, stream_id: UUID) -> list[Any]:
        events = await self._store.load(stream_id)
        return list(events[:-1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def lagging(services: Services) -> Services:
    store: Any = LaggingStore(services.handler._store)
    return dataclasses.replace(services, handler=CommandHandler(store, services.handler._keeper))


async def test_who_always_comes_second_is_told_of_the_conflict(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    async with open_api_with(lagging, test_database) as late:
        for call in having("version_conflict"):
            if call.operation.conditional:
                continue  # If-Match is quicker to say: test_openapi_walk.
            sent = await example_of(walk, call)
            if call.path == "/api/webhooks/retry":
                await _give_up(walk)
                sent["body"] = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
            else:
                if call.name == "PATCH /api/webhook-endpoints/{id}":
                    sent["body"] = {"eventTypes": ["refund.failed"]}
                assert (await walk.send(call, **sent)).status < 400, call.name
            walk.api = late
            try:
                require(await walk.send(call, **sent), call, 409, "version_conflict")
            finally:
                walk.api = api


async def _give_up(walk: Walk) -> None:
    """As the relay does with a delivery whose endpoint is gone."""
    services, delivery_id = walk.api.services, UUID(walk.owner.ids["webhook_deliveries"][0])
    meta = Meta(new_id(), Actor("system", "test"), "gave-up")
    command = GiveUpDelivery(delivery_id, walk.merchant.id, services.clock.now(), meta, reason="gone")
    await services.handler.execute(services.webhook_deliveries, delivery_id, command)


# ------------------------------------------------------------------------------------------------------------- limits


async def test_every_limit_that_is_described_is_met(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    limits = {
        "API_KEY_REQUESTS_PER_MIN": "1",
        "API_KEYS_CREATED_PER_MIN": "1",
        "WEBHOOK_ENDPOINTS_CREATED_PER_MIN": "1",
    }
    async with open_api(test_database, **limits) as strict:
        for call in having("rate_limited"):
            walk.api = strict
            for_all = call.route.access == "api_key" or call.route.limit is not None
            send = _again if for_all or call.operation.for_people else _crowded
            answer = await send(walk, call)
            require(answer, call, 429, "rate_limited")
            assert int(answer.headers["Retry-After"]) >= 1, call.name


async def _again(walk: Walk, call: Call) -> Answer:
    """Sent until it is refused: never more often than the largest limit lets it."""
    sent: dict[str, Any] = (
        {"data": b"attempt=none", "headers": FORM} if call.operation.form is not None else {"body": {}}
    )
    if call.route.method == "GET":
        sent = {"query": "?redirect_status=succeeded"} if call.operation.for_people else {}
    headers = {**sent.pop("headers", {}), **from_address(870_000)}
    answer = await walk.send(call, **sent, headers=headers)
    for _ in range(max(POSTS_MAX, AUTH_REQUESTS_PER_ADDRESS)):
        if answer.status == 429:
            break
        answer = await walk.send(call, **sent, headers=headers)
    return answer


async def _crowded(walk: Walk, call: Call) -> Answer:
    """As many as may run at once do already: streams that nobody reads to their end."""
    feed, exports = walk.api.services.analytics.feed, walk.api.services.analytics.exports
    async with contextlib.AsyncExitStack() as stack:
        if call.path == "/api/events":
            for _ in range(FOLLOWERS_PER_MERCHANT_MAX):
                stack.enter_context(feed.follow(walk.merchant.id))
            return await walk.send(call, headers={"Accept": "text/event-stream"})
        key = await walk.api.services.personal.key_for(walk.merchant.id)
        for _ in range(EXPORTS_PER_MERCHANT_MAX):
            lines = exports.csv(key, "orders", datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
            stack.push_async_callback(lines.aclose)
            await anext(lines)
        return await walk.send(call)


# ------------------------------------------------------------------------------------------------------------- states


async def test_every_state_that_does_not_allow_a_call_is_named(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    calls = having("invalid_status")
    for call in calls:
        require(await WRONG_STATES[call.name](walk, call), call, 400, "invalid_status")


def _order_in(state: str) -> Callable[[Walk, Call], Awaitable[Answer]]:
    async def send(walk: Walk, call: Call) -> Answer:
        return await walk.send(call, body=call.operation.example, ids={"id": await walk.order(state)})

    return send


async def _expired(walk: Walk, call: Call) -> Answer:
    (await walk.send(call, body={})).must(200)
    return await walk.send(call, body={})


async def _full_of_keys(walk: Walk, call: Call) -> Answer:
    """A stranger's account with as many keys as there may be: in one append, for each by itself would take long."""
    merchant = await walk.api.merchant()
    services = walk.api.services
    full = dataclasses.replace(services.merchants, decide=_many_keys)
    meta, material = Meta(new_id(), Actor("system", "test"), "many-keys"), generate_api_key(live=False)
    command = CreateApiKey(
        merchant_id=merchant.id,
        now=services.clock.now(),
        meta=meta,
        key_id=new_id(),
        public_id=material.public_id,
        prefix=material.prefix,
        name="one of many",
        secret_hash=Sealed("never looked at"),
        live=False,
    )
    await services.handler.execute(full, merchant.id, command)
    token = {"Authorization": f"Bearer {merchant.token}"}
    return await walk.send(call, body={"name": "one more"}, headers=token)


def _many_keys(command: MerchantRequest, state: merchant_state.MerchantState) -> tuple[MerchantEvent, ...]:
    assert isinstance(command, CreateApiKey)
    events: list[MerchantEvent] = []
    while isinstance(state, merchant_state.Registered) and len(state.api_keys) < API_KEYS_MAX:
        one = dataclasses.replace(command, key_id=new_id(), public_id=generate_api_key(live=False).public_id)
        for event in create_api_key(one, state):
            events.append(event)
            state = merchant_state.evolve(state, event)
    return tuple(events)


async def _revoked_key(walk: Walk, call: Call) -> Answer:
    key_id = (await walk.api.new_key(walk.merchant.token))["apiKey"]["id"]
    (await walk.api.call("DELETE", f"/api/api-keys/{key_id}", token=walk.merchant.token)).must(204)
    return await walk.send(call, body={}, ids={"id": key_id})


async def _reprocessed_too_often(walk: Walk, call: Call) -> Answer:
    for _ in range(REPROCESSED_MAX):
        (await walk.send(call, body={})).must(202)
    return await walk.send(call, body={})


async def _disabled_endpoint(walk: Walk, call: Call) -> Answer:
    endpoint_id = walk.owner.ids["webhook_endpoints"][0]
    path = f"/api/webhook-endpoints/{endpoint_id}"
    (await walk.api.call("PATCH", path, {"enabled": False}, token=walk.merchant.token)).must(200)
    try:
        if call.path == "/api/webhooks/retry":
            return await walk.send(call, body={**call.operation.example, "endpointId": endpoint_id})
        ids = {} if "webhook-endpoints" not in call.path else {"id": endpoint_id}
        return await walk.send(call, body={}, ids=ids)
    finally:
        (await walk.api.call("PATCH", path, {"enabled": True}, token=walk.merchant.token)).must(200)


WRONG_STATES: Final[Mapping[str, Callable[[Walk, Call], Awaitable[Answer]]]] = {
    "POST /v1/orders/{id}/pay": _order_in("captured"),
    **dict.fromkeys(("POST /v1/orders/{id}/capture", "POST /api/orders/{id}/capture"), _order_in("pending")),
    **dict.fromkeys(("POST /v1/orders/{id}/cancel", "POST /api/orders/{id}/cancel"), _order_in("captured")),
    **dict.fromkeys(("POST /v1/orders/{id}/refund", "POST /api/orders/{id}/refund"), _order_in("pending")),
    "POST /api/orders/{id}/sync": _order_in("pending"),
    "POST /v1/checkout/sessions/{id}/expire": _expired,
    "POST /api/api-keys": _full_of_keys,
    "POST /api/api-keys/{id}/roll": _revoked_key,
    "POST /api/processor-events/{id}/reprocess": _reprocessed_too_often,
    "POST /api/webhook-endpoints/{id}/test": _disabled_endpoint,
    "POST /api/webhooks/{id}/retry": _disabled_endpoint,
    "POST /api/webhooks/retry": _disabled_endpoint,
}


async def test_without_a_processor_nothing_can_be_paid(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    nobody = await api.merchant()
    order = await api.new_order(nobody)
    session = (await api.call("POST", "/v1/checkout/sessions", SESSION, key=nobody.api_key)).must(201)
    for call in having("no_processor"):
        ids = {"id": session["id"] if call.operation.for_people else order["id"]}
        headers = {"X-API-Key": nobody.api_key} if call.route.access == "api_key" else {}
        sent: dict[str, Any] = {"data": b"attempt=1&processor=stripe&token=pm_card_visa", "headers": FORM}
        if not call.operation.for_people:
            sent = {"body": {}, "headers": headers}
        require(await walk.send(call, **sent, ids=ids), call, 400, "no_processor")


async def test_a_processor_that_is_not_there_can_not_be_named(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    (await api.call("PATCH", "/api/processors/razorpay", {"enabled": False}, token=walk.merchant.token)).must(200)
    for call in having("invalid_processor"):
        sent: dict[str, Any] = {"body": {"processor": "razorpay"}, "ids": {"id": await walk.order("pending")}}
        if call.path == "/api/processors":
            sent = {"body": {**call.operation.example, "processor": "paypal"}}
        if call.operation.for_people:
            sent = {"data": b"attempt=1&processor=razorpay", "headers": FORM}
        require(await walk.send(call, **sent), call, 400, "invalid_processor")


SESSION: Final = EXAMPLES["POST /v1/checkout/sessions"]


async def test_more_than_was_captured_can_not_be_refunded(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    for call in having("refund_exceeds_captured"):
        ids = {"id": await walk.order("captured")}
        require(await walk.send(call, body={"amount": 1_000_000}, ids=ids), call, 400, "refund_exceeds_captured")


async def test_accounts_are_one_for_an_address_and_take_the_right_password(
    api: Api, test_database: TestDatabase
) -> None:
    walk = await set_out(api, test_database)
    for call in having("email_exists"):
        (await accepted(walk, call)).must(201)
        require(await accepted(walk, call), call, 400, "email_exists")
    for call in having("invalid_credentials"):
        field = "currentPassword" if "currentPassword" in call.operation.example else "password"
        body = {**call.operation.example, field: "not the password"}
        require(await walk.send(call, body=body), call, 401, "invalid_credentials")


@pytest.mark.parametrize(
    ("settings", "headers", "status", "code"),
    (
        ({"METRICS_TOKEN": "a token of 32 characters at least"}, {}, 401, "unauthorized"),
        ({}, {"X-Forwarded-For": "203.0.113.9"}, 404, "not_found"),
    ),
)
async def test_metrics_are_for_who_may_have_them(
    test_database: TestDatabase, settings: dict[str, str], headers: dict[str, str], status: int, code: str
) -> None:
    async with open_api_with(in_production, test_database, **settings) as api:
        answer = await api.call("GET", "/metrics", headers=headers)
        assert (answer.status, answer.code) == (status, code)


def in_production(services: Services) -> Services:
    return dataclasses.replace(services, settings=dataclasses.replace(services.settings, environment="production"))
