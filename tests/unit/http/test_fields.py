"""Which unknown fields are refused as misspelt, which are named, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from payloops.errors import InvalidInput
from payloops.http.fields import (
    SHOWN_MAX,
    UNKNOWN_MAX,
    Fields,
    ignored_line,
    look_at_body,
    look_at_query,
    misspelt,
    typos_between,
)
from payloops.http.message import Request
from payloops.http.routes import routes
from payloops.http.routing import Route

ROUTES = {route.name: route for route in routes()}
PRIVILEGED = (
    *("id", "merchantId", "merchant_id", "orderId", "status", "amountCaptured", "amount_captured", "amountRefunded"),
    *("version", "createdAt", "updatedAt", "testMode", "live", "isDefault", "secret", "disabledReason", "circuit"),
    *("tokenVersion", "passwordHash", "revokedAt", "prefix", "processorOrderId", "outcomeUnknown", "actor", "role"),
)


def request_of(name: str, query: str = "", params: tuple[str, ...] = ()) -> Request:
    route: Route = ROUTES[name]
    request = Request(
        route.method, f"{route.path}?{query}", CIMultiDictProxy(CIMultiDict()), peer="127.0.0.1", started_at_s=0.0
    )
    request.route, request.params = route, params
    return request


def looked_at(name: str, body: dict[str, Any]) -> tuple[str, ...]:
    request = request_of(name)
    look_at_body(request, body)
    return request.ignored


@pytest.mark.parametrize(
    ("sent", "meant"),
    (
        *(("capturemethod", "captureMethod"), ("capture_method", "captureMethod"), ("CaptureMethod", "captureMethod")),
        *(("capture-method", "captureMethod"), ("captureMethd", "captureMethod"), ("captuerMehtod", "captureMethod")),
        *(("ammount", "amount"), ("Amount", "amount"), ("amuont", "amount"), ("amounts", "amount")),
        *(("returnUri", "returnUrl"), ("return_url", "returnUrl"), ("metaData", "metadata"), ("curency", "currency")),
    ),
)
def test_a_misspelt_field_is_refused_with_the_one_that_was_meant(sent: str, meant: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        looked_at("POST /v1/orders", {"amount": 1, sent: "x"})
    error = refused.value
    assert (error.code, error.param) == ("validation_error", sent)
    assert error.message == f"{sent} is not a field of this call (did you mean {meant}?)."


@pytest.mark.parametrize("name", ("capture", "amountMinor", "invoiceId", "customer", "tip", "returnAddress", "x", ""))
def test_another_field_is_named_and_nothing_else(name: str) -> None:
    assert looked_at("POST /v1/orders", {"amount": 1, name: {"amount": 2}}) == (name,)


def test_what_is_in_free_form_objects_is_the_merchants_own() -> None:
    assert looked_at("POST /v1/orders", {"amount": 1, "metadata": {"ammount": 2, "capturemethod": 1}}) == ()


def test_nested_objects_are_looked_into_and_a_list_counts_once() -> None:
    method = {"type": "card", "brand": "visa"}
    assert looked_at("POST /v1/orders/:id/pay", {"paymentMethod": method, "tip": 1}) == ("paymentMethod.brand", "tip")
    items = [{"name": "a", "amount": 1, "sku": index} for index in range(100)]
    assert looked_at("POST /v1/checkout/sessions", {"lineItems": items}) == ("lineItems.sku",)
    with pytest.raises(InvalidInput) as refused:
        looked_at("POST /v1/checkout/sessions", {"lineItems": [*items, {"quantiy": 3}]})
    assert refused.value.param == "lineItems.100.quantiy"
    assert looked_at("POST /v1/checkout/sessions", {"lineItems": "none", "currency": {}}) == ()


def test_each_processor_knows_its_own_credentials() -> None:
    body = {"credentials": {"secretKey": "a", "keyId": "b"}}
    request = request_of("POST /api/processors/:processor", params=("stripe",))
    look_at_body(request, body)
    assert request.ignored == ("credentials.keyId",)
    request = request_of("POST /api/processors/:processor", params=("razorpay",))
    look_at_body(request, body)
    assert request.ignored == ("credentials.secretKey",)
    request = request_of("POST /api/processors/:processor", params=("paypal",))
    look_at_body(request, body)
    assert request.ignored == (), "that there is no such processor is the call's own to say"


def test_parameters_of_the_query_alike() -> None:
    request = request_of("GET /v1/orders", "limit=3&expand=refunds&utm_source=x")
    look_at_query(request)
    assert request.ignored == ("expand", "utm_source")
    for query, meant in (("stauts=failed", "status"), ("created_from=2026-01-01", "createdFrom"), ("Limit=1", "limit")):
        with pytest.raises(InvalidInput, match=rf"is not a parameter of this call \(did you mean {meant}\?\)"):
            look_at_query(request_of("GET /v1/orders", query))
    unreadable = request_of("GET /v1/orders", "&".join(f"p{number}=1" for number in range(UNKNOWN_MAX + 5)))
    look_at_query(unreadable)
    assert unreadable.ignored == ()


def test_too_many_unknown_fields_are_refused() -> None:
    many = {f"unheard{number}": 1 for number in range(UNKNOWN_MAX)}
    assert len(looked_at("POST /v1/orders", {"amount": 1, **many})) == UNKNOWN_MAX
    with pytest.raises(InvalidInput, match=f"more than {UNKNOWN_MAX} fields"):
        looked_at("POST /v1/orders", {"amount": 1, **many, "another": 1})


@given(st.lists(st.text(max_size=60), min_size=1, max_size=60, unique=True))
def test_no_name_breaks_the_header(names: list[str]) -> None:
    line = ignored_line(tuple(names))
    assert line.startswith(b"X-PayLoops-Ignored-Fields: ")
    assert line.endswith(b"\r\n")
    value = line[:-2].partition(b": ")[2].decode("ascii")
    shown = value.split(", ")
    assert len(shown) == min(len(names), SHOWN_MAX + 1)
    assert all(0 < len(name) <= 40 and name.isprintable() for name in shown)


def every_object(fields: Fields) -> list[Fields]:
    return [fields, *(found for inner in fields.nested.values() for found in every_object(inner))]


def taken() -> list[tuple[str, Fields]]:
    """Every object that a body may have, and every query, with its call."""
    return [
        (route.name, fields)
        for route in ROUTES.values()
        for takes in route._takes.values()
        for fields in (*(() if takes.body is None else every_object(takes.body)), takes.query)
    ]


def test_no_field_reads_like_another_one_of_its_object() -> None:
    """Else a client that is newer than the service would be refused for a field that it spelt right."""
    for name, fields in taken():
        for each in fields.names:
            assert misspelt(each, fields.names - {each}) is None, f"{name}: {each}"


def test_no_privileged_field_reads_like_one_that_may_be_sent() -> None:
    for name, fields in taken():
        for each in PRIVILEGED:
            assert each in fields.names or misspelt(each, fields.names) is None, f"{name}: {each}"


WORDS = st.text("abcd", max_size=7)


@given(WORDS, WORDS, WORDS)
def test_distances_are_distances(one: str, other: str, third: str) -> None:
    assert typos_between(one, one) == 0
    assert typos_between(one, other) == typos_between(other, one) <= max(len(one), len(other))
    assert typos_between(one, other) >= abs(len(one) - len(other))
    assert typos_between(one + third, other + third) <= typos_between(one, other)
    if len(one) >= 2:
        swapped = one[1] + one[0] + one[2:]
        assert typos_between(one, swapped) == (one != swapped)
