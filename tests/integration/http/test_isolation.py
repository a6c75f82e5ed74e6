"""Tenants and privileges, on every route that there is: what is another's does not exist, what is ours can't be set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from payloops.events.order_state import Absent
from payloops.http.message import Reply, Request
from payloops.http.query import path_id
from payloops.http.routes import routes
from payloops.http.routing import Route
from payloops.http.services import Services
from payloops.projections.views import no_order
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.http.belongings import (
    BY_ID,
    MARK,
    NUMBER,
    PRIVILEGED,
    TABLE_OF,
    WRITES,
    Owner,
    by_id,
    everything_stored,
    noun,
    owner_of_everything,
)
from tests.integration.http.world import Api, Merchant, open_api

SAME = {"X-Correlation-ID": "the-same"}
BODIES: tuple[Any, ...] = (
    None,
    {"amount": 1, "url": "https://evil.example/hook", "enabled": False, "overlapSeconds": 5},
)


def test_the_tests_know_every_route_with_an_id() -> None:
    assert {noun(route) for route in BY_ID} == set(TABLE_OF)


async def test_what_another_merchant_has_is_as_absent_as_what_never_was(api: Api, test_database: TestDatabase) -> None:
    owner, other = await owner_of_everything(api, test_database), await api.merchant()
    await api.with_stripe(other)
    before = _of(test_database, owner.merchant)
    assert await leaks(api, owner, other, by_id(routes())) == []
    assert _of(test_database, owner.merchant) == before


async def leaks(api: Api, owner: Owner, other: Merchant, table: Iterable[Route]) -> list[str]:
    """The routes that tell another merchant's things from what never was, whatever the body and the kind of the id."""
    found = []
    # Not only ids of the right kind: an event's id is no order's, an order's is no key's.
    theirs = sorted({found for ids in owner.ids.values() for found in ids} | {str(owner.merchant.id)})
    for route in table:
        key, token = (other.api_key, None) if route.access == "api_key" else (None, other.token)
        for body in BODIES:
            path = route.path.replace(":id", str(new_id()))
            absent = await api.call(route.method, path, body, key=key, token=token, headers=SAME)
            for each in theirs:
                path = route.path.replace(":id", each)
                answer = await api.call(route.method, path, body, key=key, token=token, headers=SAME)
                if (absent.status, absent.code) != (404, "not_found") or (answer.status, answer.raw) != (
                    404,
                    absent.raw,
                ):
                    found.append(f"{route.name} of {each}: {answer.status}")
    return found


async def test_a_new_route_that_forgets_whose_the_thing_is_is_found(test_database: TestDatabase) -> None:
    """The walk takes whatever the table has, so a route is in it from its first day."""

    async def forgetful(request: Request, services: Services) -> Reply:
        state = await services.handler.load(services.orders, path_id(request))
        if isinstance(state, Absent):
            raise no_order()
        return Reply(200, b"{}")

    planted = Route("GET", "/api/forgetful/:id", forgetful, "user")
    async with open_api(test_database, planted) as api:
        owner, other = await owner_of_everything(api, test_database), await api.merchant()
        assert planted in by_id(api.server.responder.routes)  # type: ignore[attr-defined]
        (leak,) = {each.partition(" of ")[0] for each in await leaks(api, owner, other, (planted,))}
        assert leak == "GET /api/forgetful/:id"


def _of(database: TestDatabase, merchant: Merchant) -> dict[str, list[str]]:
    """All that is stored with the merchant's id in it, but for the uses of its keys."""
    mine = str(merchant.id)
    return {table: sorted(row for row in rows if mine in row) for table, rows in everything_stored(database).items()}


@pytest.mark.parametrize("route", [r for r in BY_ID if r.method == "GET"], ids=lambda route: route.name)
async def test_the_owner_does_find_it(api: Api, test_database: TestDatabase, route: Route) -> None:
    owner = await owner_of_everything(api, test_database)
    merchant = owner.merchant
    key, token = (merchant.api_key, None) if route.access == "api_key" else (None, merchant.token)
    path = route.path.replace(":id", owner.ids[TABLE_OF[noun(route)]][0])
    (await api.call("GET", path, key=key, token=token)).must(200)


async def test_no_list_shows_what_is_anothers(api: Api, test_database: TestDatabase) -> None:
    owner, other = await owner_of_everything(api, test_database), await api.merchant()
    theirs = {found for ids in owner.ids.values() for found in ids} | {str(owner.merchant.id), owner.merchant.email}
    for route in routes():
        if route.method != "GET" or ":" in route.path or route.access == "public":
            continue
        key, token = (other.api_key, None) if route.access == "api_key" else (None, other.token)
        # Not all are JSON: an export is a file.
        answer = await api.call("GET", route.path, key=key, token=token)
        assert answer.status == 200, route.name
        assert not [found for found in theirs if found in answer.raw.decode()], route.name


SESSION = {"amount": 100, "successUrl": "https://shop.example/y", "cancelUrl": "https://shop.example/n"}
VALID: dict[str, dict[str, Any]] = {
    "POST /v1/orders": {"amount": 1},
    "POST /v1/checkout/sessions": SESSION,
    "PUT /api/me": {"name": "Another name"},
    "PUT /api/merchants/me": {"name": "Another name"},
    "POST /api/api-keys": {"name": "key"},
    "POST /api/processors": {"processor": "stripe", "credentials": {"secretKey": "sk_test_1"}},
    "POST /api/webhook-endpoints": {"url": "https://shop.example/other"},
}
"""Bodies without which a write would be refused before it did anything."""
DONE = {200, 201, 202, 204}


async def test_fields_that_are_not_a_clients_are_inert(api: Api, test_database: TestDatabase) -> None:
    """Sent with every write: nowhere in the database, nor in an answer, is there a trace of them."""
    owner = await owner_of_everything(api, test_database)
    merchant = owner.merchant
    done = set()
    # What revokes the token comes last.
    for route in sorted(WRITES, key=lambda route: route.path.startswith("/api/auth/")):
        key, token = (merchant.api_key, None) if route.access == "api_key" else (None, merchant.token)
        path = route.path.replace(":processor", "stripe")
        if ":id" in path:
            path = path.replace(":id", owner.ids[TABLE_OF[noun(route)]][0])
        body = PRIVILEGED | VALID.get(route.name, {})
        if route.name == "POST /api/processors/:processor":
            body |= {"credentials": {"secretKey": "sk_test_1", **PRIVILEGED}}
        answer = await api.call(route.method, path, body, key=key, token=token)
        assert answer.status in {*DONE, 400, 401}, (route.name, answer.raw)
        assert MARK not in answer.raw.decode(), (route.name, answer.raw)
        assert str(NUMBER) not in answer.raw.decode(), (route.name, answer.raw)
        if answer.status in DONE:
            done.add(route.name)
    assert set(VALID) <= done
    for table, rows in everything_stored(test_database).items():
        for row in rows:
            assert MARK not in row, table
            assert str(NUMBER) not in row, table
            assert "2001-02-03" not in row, table
    (me,) = [row for row in everything_stored(test_database)["merchants"] if str(merchant.id) in row]
    assert "Another name" in me
