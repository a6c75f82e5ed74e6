"""What is wrong with each field of each body and each parameter, said over HTTP in words that help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from payloops.http.openapi.document import Call, calls
from payloops.http.routes import routes
from tests import conformance
from tests.databases import TestDatabase
from tests.integration.http.belongings import TABLE_OF, Owner, noun, owner_of_everything
from tests.integration.http.world import Api, from_address
from tests.sentences import problem_of

WITH_BODY = tuple(call for call in calls(routes()) if call.operation.body is not None)
WITH_QUERY = tuple(call for call in calls(routes()) if call.operation.query and call.route.access != "public")
ANYTHING_GOES = {"/api/auth/login", "/api/auth/password"}
"""What is typed here is tried, so that a refusal tells nothing of what would be right."""
A_URL = "https://shop.example/"

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Wrong:
    """A value that breaks one rule of a schema, and the words one of which a helpful message has."""

    value: Any
    words: tuple[str, ...]


def resolved(schema: Schema) -> Schema:
    """Without references, and without the null that may be sent for nothing."""
    if "$ref" in schema:
        return resolved(conformance.document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        (found,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return resolved(found)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return {**schema, "type": next(kind for kind in kinds if kind != "null")}
    return schema


_TYPE_WORDS = {
    "string": ("text", "time", "must be"),
    "integer": ("whole number",),
    "boolean": ("true or false",),
    "object": ("object",),
    "array": ("list",),
}
_OTHER_TYPES: Mapping[str, tuple[Any, ...]] = {
    "string": (7, True, [], {}, 1.5),
    "integer": ("7", 1.5, True, [], {}),
    "boolean": ("true", 1, [], {}),
    "object": ("x", 7, []),
    "array": ("x", 7, {}),
}


def wrongs(schema: Schema) -> Iterator[Wrong]:
    """Each way to break the schema of a field."""
    kind = schema.get("type") or ("string" if "enum" in schema or "const" in schema else "object")
    for value in _OTHER_TYPES[kind]:
        words = tuple(map(str, schema["enum"])) if "enum" in schema else ()
        yield Wrong(value, (*_TYPE_WORDS[kind], *words))
    if "enum" in schema:
        yield Wrong("no-such-word", (*map(str, schema["enum"][:1]), "ISO 4217"))
    if schema.get("format") == "date-time":
        yield Wrong("yesterday", ("ISO 8601",))
    if "maxLength" in schema:
        text = A_URL if schema.get("format") == "uri" else ""
        yield Wrong(text + "x" * schema["maxLength"] + "x", (str(schema["maxLength"]), "e-mail address"))
    if schema.get("minLength"):
        words = ("must not be empty",) if schema["minLength"] == 1 else (str(schema["minLength"]),)
        yield Wrong("x" * (schema["minLength"] - 1), words)
    if "minimum" in schema:
        yield Wrong(schema["minimum"] - 1, (str(schema["minimum"]),))
    if "maximum" in schema:
        yield Wrong(schema["maximum"] + 1, (str(schema["maximum"]),))
    if "maxItems" in schema:
        yield Wrong([None] * (schema["maxItems"] + 1), (str(schema["maxItems"]),))
    if "maxProperties" in schema:
        yield Wrong({f"key{n}": n for n in range(schema["maxProperties"] + 1)}, (str(schema["maxProperties"]),))


def bodies(schema: Schema, good: Any, place: Place = ()) -> Iterator[tuple[Place, Wrong]]:
    """Every field that is described, wherever it stands, with each way to get it wrong."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        yield from bodies(schema["items"], good[0] if good else {}, (*place, 0))
        return
    for name, described in schema.get("properties", {}).items():
        field, inner = resolved(described), good.get(name) if isinstance(good, dict) else None
        for wrong in wrongs(field):
            yield (*place, name), wrong
        if "properties" in field or field.get("type") == "array":
            yield from bodies(field, inner or ([] if field.get("type") == "array" else {}), (*place, name))
    for name in schema.get("required", ()):
        yield (*place, name), Wrong(MISSING, ("is required", "must be one of"))


MISSING = object()


def good_for(variant: Schema, example: Any) -> Any:
    """The example, or where there is a choice of processors a body for the other one."""
    processor = resolved(variant).get("properties", {}).get("processor", {}).get("const")
    if processor is None or processor == example["processor"]:
        return example
    return {"processor": processor, "credentials": {"keyId": "rzp_test_1", "keySecret": "secret"}}


def with_wrong(good: Any, place: Place, value: Any) -> Any:
    """The good body, but for what stands at the place."""
    step, *rest = place
    if isinstance(step, int):
        items = list(good) if isinstance(good, list) and good else [{}]
        return [with_wrong(items[0], tuple(rest), value) if rest else value, *items[1:]]
    held = dict(good) if isinstance(good, dict) else {}
    if rest:
        held[step] = with_wrong(held.get(step), tuple(rest), value)
    elif value is MISSING:
        held.pop(step, None)
    else:
        held[step] = value
    return held


class Caller:
    """Sends calls as the owner of everything, each from an address of its own."""

    def __init__(self, api: Api, owner: Owner) -> None:
        self._api = api
        self._owner = owner
        self._address = 800_000

    async def refusal(self, call: Call, body: Any = None, query: str = "") -> Any:
        self._address += 1
        merchant, route = self._owner.merchant, call.route
        path = call.path
        if "{id}" in path:
            path = path.replace("{id}", self._owner.ids[TABLE_OF[noun(route)]][0])
        key = merchant.api_key if route.access == "api_key" else None
        token = merchant.token if route.access == "user" else None
        path = path.replace("{processor}", "stripe") + query
        answer = await self._api.call(
            route.method, path, body, key=key, token=token, headers=from_address(self._address)
        )
        assert answer.status == 400, f"{call.name} {orjson.dumps(body)[:200]!r}{query}: {answer.raw!r}"
        return answer.json


@pytest.fixture
async def caller(api: Api, test_database: TestDatabase) -> Caller:
    return Caller(api, await owner_of_everything(api, test_database))


def complaints(error: Any, param: str, words: tuple[str, ...]) -> list[str]:
    """What is wrong with how the error says that this field is wrong."""
    found = [f"{text!r} {problem}" for text in told(error) if (problem := problem_of(text)) is not None]
    own = [
        each["message"]
        for each in error.get("details", ())
        if each["param"] == param or each["param"].startswith(f"{param}.")
    ]
    if error["code"] != "raw_card_rejected":
        if not own or not error.get("param"):
            found.append(f"the details do not name {param}")
        found += [f"{text!r} does not begin with its field" for text in own if not text.startswith(param)]
        if own and not any(word in text for text in own for word in words):
            found.append(f"{own} says none of {words}")
    return found


def told(error: Any) -> list[str]:
    return [error["message"], *(each["message"] for each in error.get("details", ()))]


@pytest.mark.parametrize("call", WITH_BODY, ids=[call.name for call in WITH_BODY])
async def test_every_field_of_a_body(caller: Caller, call: Call) -> None:
    content = conformance.document()["paths"][call.path][call.route.method.lower()]["requestBody"]["content"]
    schema = resolved(content["application/json"]["schema"])
    found = []
    for variant in schema.get("oneOf", [schema]):
        good = good_for(variant, call.operation.example)
        for place, wrong in bodies(variant, good):
            if call.path == "/api/webhooks/retry" and place == ("endpointId",) and isinstance(wrong.value, str):
                continue
            param = ".".join(map(str, place))
            error = await caller.refusal(call, with_wrong(good, place, wrong.value))
            found += [f"{param}={str(wrong.value)[:60]!r}: {each}" for each in complaints(error, param, wrong.words)]
    assert found == []


async def test_every_parameter_of_a_query(caller: Caller) -> None:
    found = []
    for call in WITH_QUERY:
        for parameter in call.operation.query:
            schema = parameter.schema
            tried: list[Wrong] = []
            if schema.get("type") == "integer":
                tried += [
                    Wrong("x", (str(schema["maximum"]),)),
                    Wrong(schema["maximum"] + 1, (str(schema["maximum"]),)),
                ]
            if "enum" in schema:
                tried.append(Wrong("no-such-word", (schema["enum"][0],)))
            if schema.get("format") == "date-time":
                tried.append(Wrong("yesterday", ("ISO 8601",)))
            if schema.get("format") == "uuid":
                tried.append(Wrong("1", ("id",)))
            if "maxLength" in schema:
                tried.append(
                    Wrong("x" * (schema["maxLength"] + 1), (str(schema["maxLength"]), "nextCursor", "must be"))
                )
            for wrong in tried:
                error = await caller.refusal(call, query=f"?{parameter.name}={wrong.value}")
                found += [f"{call.name}: {each}" for each in complaints(error, parameter.name, wrong.words)]
            error = await caller.refusal(call, query=f"?{parameter.name}=1&{parameter.name}=1")
            found += [f"{call.name}: {each}" for each in complaints(error, parameter.name, ("twice",))]
    assert found == []


@pytest.mark.parametrize(
    ("data", "headers", "words"),
    (
        (b"[]", {}, "must be a JSON object"),
        (b"{", {}, "at character"),
        (b'{"a": NaN}', {}, "at character"),
        (b'{"a": 1, "a": 2}', {}, "the same name twice"),
        (b'{"a": 99999999999999999999}', {}, "64 bits"),
        (b'{"a": "\\u0000"}', {}, "NUL"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", {}, "more than 32 deep"),
        (b"\xff", {}, "UTF-8 at byte 0"),
        (b'{"a": "\xff"}', {}, "UTF-8 at byte 7"),
        (b"amount=1", {"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type: application/json"),
        (b"{}", {"Content-Encoding": "br"}, "gzip"),
        (b"{}", {"Content-Encoding": "gzip"}, "gzip"),
        (b'{"description": "' + b"x" * 70_000 + b'"}', {}, "65536 bytes"),
        (b'{"amount": 1, "description": "4242 4242 4242 4242"}', {}, "token of the processor"),
        (b'{"amount": 1}', {"Idempotency-Key": "x" * 256}, "1 to 255"),
    ),
)
async def test_a_body_that_can_not_be_read(api: Api, data: bytes, headers: dict[str, str], words: str) -> None:
    merchant = await api.merchant()
    answer = await api.call("POST", "/v1/orders", data=data, headers=headers, key=merchant.api_key)
    assert answer.status in {400, 413, 415}
    assert words in answer.json["message"]
    assert [text for text in told(answer.json) if problem_of(text)] == []
