"""The API's description: every route is in it, its examples are accepted, and what is asked of queries is told."""

from __future__ import annotations

from typing import Any, Final

from payloops.http.openapi.document import calls, undocumented
from payloops.http.openapi.errors import MEANINGS, errors_of
from payloops.http.openapi.operation import Operation
from payloops.http.routes import routes
from payloops.http.routing import Route
from tests.integration.http.world import Api

CALLS: Final = tuple(calls(routes()))


def test_every_route_is_described() -> None:
    assert undocumented(routes()) == [], "say @documented(Operation(...)) at the handlers of these routes"


def test_a_route_without_a_description_is_named() -> None:
    async def handler(_request: Any, _services: Any) -> Any:
        raise NotImplementedError

    assert undocumented([*routes(), Route("GET", "/api/new", handler, "user")]) == ["GET /api/new"]


def test_every_body_has_an_example() -> None:
    without = [call.name for call in CALLS if takes_body(call.operation) and call.operation.example is None]
    assert without == []


def test_every_code_has_a_meaning_and_no_other_does() -> None:
    used = {code for call in CALLS for codes in errors_of(call.route, call.operation).values() for code in codes}
    assert used <= set(MEANINGS)


async def test_the_document_is_served_once_made_and_known_by_its_etag(api: Api) -> None:
    first = await api.call("GET", "/openapi.json")
    document = first.must(200)
    assert document["openapi"] == "3.1.0"
    assert sum(len(methods) for methods in document["paths"].values()) == len(CALLS)
    again = await api.call("GET", "/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


async def test_every_reference_in_the_document_leads_somewhere(api: Api) -> None:
    document = (await api.call("GET", "/openapi.json")).must(200)
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def takes_body(operation: Operation) -> bool:
    return operation.body is not None or operation.form is not None or bool(operation.raw)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [found for each in value.values() for found in references(each)]
    return [found for each in value for found in references(each)] if isinstance(value, list) else []
