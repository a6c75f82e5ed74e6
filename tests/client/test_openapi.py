"""The client against the API's description: every call, parameter and field of one is in the other, with its type."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from payloops.client import AsyncDashboard, AsyncPayLoops, Dashboard, PayLoops, resources
from payloops.client.core.binding import Does, Lists, WillDo, WillList
from payloops.client.core.call import Call, Pages
from tests.conformance import document

UNCOVERED = {
    "GET /api/merchants/me": "the same as /api/me",
    "PUT /api/merchants/me": "the same as /api/me",
    "POST /api/processors": "the same as configuring one by its own path",
    "GET /api/dashboard/export": "a file to be saved as it comes: for a browser, or curl",
    "GET /openapi.json": "for tools",
    "GET /docs": "for people",
    "GET /docs/assets/{name}": "for people",
    "GET /metrics": "for whoever runs the service",
    "GET /health": "for whoever runs the service",
    "GET /health/live": "for whoever runs the service",
    "GET /health/ready": "for whoever runs the service",
}
"""Calls that the client leaves out on purpose."""
UNCOVERED_PREFIXES = {"/checkout/": "for the customer's browser", "/webhooks/": "for processors"}
UNCOVERED_FIELDS = {
    ("FeedEvent", "eventType"): "the same as type, for older receivers",
    ("FeedEvent", "data"): "the same as payload",
}
UNCOVERED_HEADERS = {
    ("PUT /api/me", "If-Match"): "the profile's version is in a header only",
}
HEADERS = {"Idempotency-Key": "idempotency_key", "If-Match": "if_match", "Prefer": "wait"}

MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SAMPLES: dict[str, Any] = {
    "amount": 5,
    "metadata": {"a": 1},
    "line_items": [{"name": "Shirt", "amount": 5, "quantity": 1}],
    "expires_in_minutes": 30,
    "event_types": ["payment.*"],
    "scopes": ["orders:read"],
    "types": ["payment.*"],
    "limit": 10,
    "page": 2,
    "after": 5,
    "priority": 3,
    "enabled": True,
    "test_mode": True,
    "everywhere": True,
    "overlap_seconds": 60,
    "wait": 5,
    "if_match": 3,
    **dict.fromkeys(("created_from", "created_to", "from_", "to", "expires_at"), MOMENT),
}
"""Of parameters that are not text."""


def builders(clients: tuple[type, ...]) -> dict[str, Any]:
    """By ``Noun.method``: the function that makes the call."""
    classes: list[type] = list(clients)
    for client in clients:
        module = vars(inspect.getmodule(client))
        classes.extend(eval(hint, module) for hint in client.__annotations__.values())
    found = {
        f"{owner.__name__.removeprefix('Async')}.{name}": bound.build
        for owner in classes
        for name, bound in vars(owner).items()
        if isinstance(bound, Does | WillDo | Lists | WillList)
    }
    # Those that sign in, or change how one is signed in, are methods of the clients.
    from payloops.client.calls import accounts

    signing = (accounts.register, accounts.login, accounts.change_password)
    return found | {f"Dashboard.{build.__name__}": build for build in signing}


SYNC = builders((PayLoops, Dashboard))


def call_of(build: Any, **left_out: Any) -> Call[Any]:
    """The call with every parameter that it takes."""
    given = {name: SAMPLES.get(name, f"a-{name}") for name in inspect.signature(build).parameters}
    made = build(**given | left_out)
    return made.first if isinstance(made, Pages) else made


CALLS = {name: call_of(build) for name, build in SYNC.items()}


def name_of(call: Call[Any]) -> str:
    return f"{call.method} {call.route}"


def operation(call: Call[Any]) -> Mapping[str, Any]:
    paths = document()["paths"]
    # Where each processor has an operation of its own, they are alike but for the name.
    path = call.route if call.route in paths else call.route.replace("{processor}", "stripe")
    found = dict(paths[path][call.method.lower()])
    if path != call.route:
        assert (
            found["responses"].keys()
            == paths[path.replace("stripe", "razorpay")][call.method.lower()]["responses"].keys()
        )
        found["parameters"] = [*found["parameters"], {"name": "processor", "in": "path", "schema": {"type": "string"}}]
    return found


def test_both_clients_are_alike() -> None:
    assert builders((AsyncPayLoops, AsyncDashboard)) == SYNC
    for sync, later in ((PayLoops, AsyncPayLoops), (Dashboard, AsyncDashboard)):
        for name in {*dir(sync), *dir(later)} - {"close", "aclose"}:
            if name.startswith("_"):
                continue
            assert hasattr(sync, name) == hasattr(later, name), name
        assert set(sync.__annotations__) == set(later.__annotations__)
    for name in vars(resources):
        if name.startswith("Async") and name != "AsyncResource":
            assert hasattr(resources, name.removeprefix("Async"))


def test_help_shows_what_a_method_gives() -> None:
    with PayLoops("k", base_url="http://127.0.0.1:9") as client:
        assert str(inspect.signature(client.orders.get)) == "(order_id: 'str') -> 'Order'"
        assert str(inspect.signature(client.orders.refunds)).endswith("-> 'list[ListedRefund]'")
        assert str(inspect.signature(client.orders.list)).endswith("-> 'Pager[Order, OrderPage]'")
        assert (client.orders.get.__doc__ or "").startswith("Read an order.")


def test_every_call_is_described_or_left_out_on_purpose() -> None:
    described = {f"{method.upper()} {path}" for path, methods in document()["paths"].items() for method in methods}
    ours = {
        name_of(call).replace("{processor}", processor)
        for call in CALLS.values()
        for processor in ("stripe", "razorpay")
    }
    assert ours <= described, ours - described
    left = {name for name in described - ours if not name.partition(" ")[2].startswith(tuple(UNCOVERED_PREFIXES))}
    assert left == set(UNCOVERED)


@pytest.mark.parametrize("name", CALLS)
def test_parameters(name: str) -> None:
    call, described = CALLS[name], operation(CALLS[name])
    parameters = described["parameters"]
    query = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
    assert set(call.query) == set(query)
    for parameter, value in call.query.items():
        assert value.isdigit() or query[parameter]["type"] != "integer"
    assert set(call.params) == {one["name"] for one in parameters if one["in"] == "path"}
    headers = {one["name"] for one in parameters if one["in"] == "header"} - {"X-Correlation-ID", "Last-Event-ID"}
    headers -= {header for place, header in UNCOVERED_HEADERS if place == name_of(call)}
    taken = set(inspect.signature(SYNC[name]).parameters)
    assert {HEADERS[header] for header in headers} == taken & set(HEADERS.values())
    assert (call.safety == "keyed") is ("Idempotency-Key" in headers)
    assert bool(described.get("security")) is not call.public


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.method != "GET"])
def test_bodies(name: str) -> None:
    call = CALLS[name]
    content = operation(call).get("requestBody", {}).get("content", {})
    schema = resolved(content.get("application/json", {}).get("schema", {}))
    compare_body(call.body or {}, schema, name)
    # What must be sent is a parameter without a default.
    required = {one for one in schema.get("required", ()) if one != "credentials"}
    needed = {
        parameter.name.rstrip("_")
        for parameter in inspect.signature(SYNC[name]).parameters.values()
        if parameter.default is inspect.Parameter.empty
    }
    assert {snake(one) for one in required} <= needed


def compare_body(body: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> None:
    assert set(body) == set(schema.get("properties", {})), place
    for field, value in body.items():
        inner = resolved(without_null(schema["properties"][field]))
        if isinstance(value, dict) and "properties" in inner:
            compare_body(value, inner, f"{place}.{field}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            compare_body(value[0], resolved(inner["items"]), f"{place}.{field}")
        else:
            kind = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}[type(value)]
            assert inner.get("type") == kind or (kind == "string" and "enum" in inner), f"{place}.{field}: {inner}"


@pytest.mark.parametrize("name", CALLS)
def test_answers(name: str) -> None:
    call = CALLS[name]
    replies = {status: reply for status, reply in operation(call)["responses"].items() if status.startswith("2")}
    (reply,) = replies.values()
    content = reply.get("content", {})
    if call.answer is None:
        assert content == {}
        return
    problems = list(differences(call.answer, content["application/json"]["schema"], name, set()))
    assert problems == []


def differences(kind: Any, schema: Mapping[str, Any], place: str, seen: set[type]) -> Iterator[str]:
    """What of a type of the client is not as the description says, and the other way round."""
    schema = resolved(schema)
    kind, may_be_none = without_none(kind)
    nullable = is_nullable(schema)
    schema = resolved(without_null(schema))
    if nullable and not may_be_none and kind is not Any:
        yield f"{place} may be null"
    if kind is Any or not schema:
        return
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind in seen:
            return
        seen.add(kind)
        yield from model_differences(kind, schema, place, seen)
    elif get_origin(kind) is list:
        if schema.get("type") != "array":
            yield f"{place} is no list: {schema}"
            return
        yield from differences(get_args(kind)[0], schema["items"], f"{place}[]", seen)
    else:
        yield from scalar_differences(kind, schema, place)


def model_differences(kind: type[BaseModel], schema: Mapping[str, Any], place: str, seen: set[type]) -> Iterator[str]:
    described = dict(schema.get("properties", {}))
    for field in kind.model_fields.values():
        name = str(field.alias)
        inner = described.pop(name, None)
        if inner is None:
            yield f"{place}.{name} is not described"
            continue
        if field.is_required() and name not in schema.get("required", ()):
            yield f"{place}.{name} may be missing"
        yield from differences(field.annotation, inner, f"{kind.__name__}.{name}", seen)
    for name in described:
        if (kind.__name__, name) not in UNCOVERED_FIELDS:
            yield f"{kind.__name__}.{name} is described, and the model has it not"


def scalar_differences(kind: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    words, base = words_of(kind)
    if words:
        wanted = set(schema.get("enum", ())) | ({schema["const"]} if "const" in schema else set())
        # A word of the client's that is not described is one that the description leaves open.
        if wanted and wanted != words:
            yield f"{place} has the words {sorted(words ^ wanted)} on one side only"
    formats = {datetime: "date-time"}
    types_of = {str: "string", datetime: "string", date: "string", int: "integer", float: "number", bool: "boolean"}
    expected = "object" if get_origin(base) is dict else types_of[base]
    if schema.get("type") != expected:
        yield f"{place} is {schema.get('type')}, not {expected}"
    if schema.get("format") == "date-time" and base is not datetime:
        yield f"{place} is a time"
    if base in formats and schema.get("format") != formats[base]:
        yield f"{place} is no {formats[base]}"


def words_of(kind: Any) -> tuple[set[str], Any]:
    """``Literal[…] | str`` as its words and str."""
    if get_origin(kind) in {Union, types.UnionType}:
        words = {word for one in get_args(kind) if get_origin(one) is Literal for word in get_args(one)}
        rest = [one for one in get_args(kind) if get_origin(one) is not Literal]
        assert rest == [str], f"{kind} refuses new words"
        return words, str
    assert get_origin(kind) is not Literal, f"{kind} refuses new words"
    return set(), kind


def without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) not in {Union, types.UnionType}:
        return kind, False
    rest = tuple(one for one in get_args(kind) if one is not type(None))
    return (rest[0] if len(rest) == 1 else Union[rest]), len(rest) < len(get_args(kind))  # noqa: UP007


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return dict(document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


def is_nullable(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    return (isinstance(kinds, list) and "null" in kinds) or any(
        one == {"type": "null"} for one in schema.get("anyOf", ())
    )


def without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        (rest,) = (one for one in kinds if one != "null")
        return {**schema, "type": rest}
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_the_comparison_sees_differences() -> None:
    """A comparison that finds nothing may be one that looks at nothing."""
    call = CALLS["Orders.get"]
    schema = document()["components"]["schemas"]["Order"]
    changed = {
        **schema,
        "properties": {**schema["properties"], "amount": {"type": "string"}, "more": {"type": "string"}},
    }
    del changed["properties"]["currency"]
    told = "\n".join(differences(call.answer, changed, "Order", set()))
    assert "Order.amount is string, not integer" in told
    assert "Order.more is described" in told
    assert "currency is not described" in told
