"""What a call does not know is named in its reply or refused as misspelt: on every route that there is (ADR 0013)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from payloops.http.fields import HEADER, Fields
from payloops.http.openapi.document import Call, calls
from payloops.http.routes import routes
from tests import conformance
from tests.databases import TestDatabase
from tests.integration.http.belongings import TABLE_OF, Owner, noun, owner_of_everything
from tests.integration.http.world import Answer, Api, Merchant, from_address

WITH_BODY = tuple(call for call in calls(routes()) if call.operation.body is not None)
WITH_QUERY = tuple(call for call in calls(routes()) if call.operation.query and call.route.access != "public")
UNHEARD = "unheardOfByAnybody"


class Caller:
    """Sends calls as the owner of everything, each from an address of its own."""

    def __init__(self, api: Api, owner: Owner) -> None:
        self._api = api
        self._owner = owner
        self._address = 700_000

    async def send(self, call: Call, body: Any = None, query: str = "") -> Answer:
        self._address += 1
        merchant, route = self._owner.merchant, call.route
        path = call.path
        if "{id}" in path:
            path = path.replace("{id}", self._owner.ids[TABLE_OF[noun(route)]][0])
        key = merchant.api_key if route.access == "api_key" else None
        token = merchant.token if route.access == "user" else None
        path = path.replace("{processor}", "stripe") + query
        return await self._api.call(route.method, path, body, key=key, token=token, headers=from_address(self._address))


@pytest.fixture
async def caller(api: Api, test_database: TestDatabase) -> Caller:
    return Caller(api, await owner_of_everything(api, test_database))


def body_fields(call: Call) -> Fields:
    takes = call.route.taken((call.path.rpartition("/")[2],))
    assert takes is not None
    assert takes.body is not None, f"{call.name} takes a body of which nobody knows the fields"
    return takes.body


def bodies_with(fields: Fields, name: str, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A body for each object that may stand in it, with this field in that object."""
    yield path + name, {name: 1}
    for outer, inner in fields.nested.items():
        for place, body in bodies_with(inner, name, f"{path}{outer}."):
            yield place, {outer: body}


async def test_an_unknown_field_is_named_wherever_it_stands(caller: Caller) -> None:
    for call in WITH_BODY:
        # Signing everybody out would end the walk: with a body that can't be, it ends before.
        spoilt = {"everywhere": 1} if call.path == "/api/auth/logout" else {}
        for place, body in bodies_with(body_fields(call), UNHEARD):
            answer = await caller.send(call, body | spoilt)
            assert answer.headers.get(HEADER) == place, f"{call.name}: {answer.raw!r}"
            if answer.status == 400:
                assert UNHEARD not in answer.json["message"], "it alone is no reason to refuse"


async def test_a_misspelt_field_is_refused_wherever_it_stands(caller: Caller) -> None:
    for call in WITH_BODY:
        for known in sorted(body_fields(call).names):
            for spelling in {known.upper(), f"{known}_"}:
                error = (await caller.send(call, {spelling: 1})).must(400)
                assert (error["code"], error["param"]) == ("validation_error", spelling), call.name
                assert f"(did you mean {known}?)" in error["message"]
                assert {"param": spelling, "message": error["message"]} in error["details"]


async def test_the_same_holds_for_the_query(caller: Caller) -> None:
    for call in WITH_QUERY:
        answer = await caller.send(call, query=f"?{UNHEARD}=1&limit=0")
        assert UNHEARD in (answer.headers.get(HEADER) or ""), f"{call.name}: {answer.raw!r}"
        for parameter in call.operation.query:
            error = (await caller.send(call, query=f"?{parameter.name}_=1")).must(400)
            assert (error["code"], error["param"]) == ("validation_error", f"{parameter.name}_"), call.name
            assert f"(did you mean {parameter.name}?)" in error["message"]


async def test_a_known_field_names_nothing(caller: Caller) -> None:
    for call in WITH_BODY:
        answer = await caller.send(call, {name: [] for name in body_fields(call).names})
        assert HEADER not in answer.headers, call.name
    for call in WITH_QUERY:
        query = "&".join(f"{parameter.name}=" for parameter in call.operation.query)
        assert HEADER not in (await caller.send(call, query=f"?{query}")).headers, call.name


async def test_nothing_is_done_for_a_misspelt_field(api: Api, merchant: Merchant) -> None:
    body = {"amount": 1000, "capturemethod": "manual"}
    (await api.call("POST", "/v1/orders", body, key=merchant.api_key)).must(400)
    assert (await api.call("GET", "/v1/orders", key=merchant.api_key)).must(200)["data"] == []
    order = await api.captured_order(merchant)
    path = f"/v1/orders/{order['id']}/refund"
    (await api.call("POST", path, {"ammount": 100}, key=merchant.api_key)).must(400)
    assert (await api.order(merchant, order["id"]))["amountRefunded"] == 0


async def test_a_replay_names_them_as_the_first_answer_did(api: Api, merchant: Merchant) -> None:
    again = {"Idempotency-Key": "once"}
    sent = {"amount": 1000, "tip": 100, "\r\nSet-Cookie: a": 1}
    first = await api.call("POST", "/v1/orders", sent, key=merchant.api_key, headers=again)
    second = await api.call("POST", "/v1/orders", sent, key=merchant.api_key, headers=again)
    assert (first.must(201), second.headers["Idempotent-Replayed"]) == (second.must(201), "true")
    assert first.headers[HEADER] == second.headers[HEADER] == "??Set-Cookie??a, tip"


def test_the_description_tells_of_the_header() -> None:
    paths = conformance.document()["paths"]
    for call in (*WITH_BODY, *WITH_QUERY):
        replies = paths[call.path][call.route.method.lower()]["responses"]
        assert all(HEADER in replies[str(status)]["headers"] for status in call.operation.answers), call.name
