"""What schemathesis is told beside the API's description (SCHEMATHESIS_HOOKS): what a schema can't say.

Processors sign their events; a card is one that the sandbox knows; a password is the account's. Only requests that are
meant to be good are changed, and of what chance makes only every other one: the rest goes by the description alone.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
import requests
import schemathesis

from payloops.http.openapi.document import calls
from payloops.http.routes import routes
from payloops.values import new_id
from tests.inbox.signing import razorpay_header, stripe_header
from tests.integration.http.world import from_address

MERCHANT: Final = os.environ["PAYLOOPS_SCHEMATHESIS_MERCHANT"]
SECRET: Final = os.environ["PAYLOOPS_SCHEMATHESIS_WEBHOOK_SECRET"]
PASSWORD: Final = os.environ["PAYLOOPS_SCHEMATHESIS_PASSWORD"]
EVENTS: Final[dict[str, Any]] = {
    call.path.rpartition("/")[2]: call.operation.example
    for call in calls(routes())
    if call.path in {"/webhooks/stripe", "/webhooks/razorpay"}
}

_turns: Iterator[int] = itertools.count()
_addresses: Iterator[int] = itertools.count()


class Processor(requests.auth.AuthBase):
    """Signs as the processor does, for the run's own merchant."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url
        if url is None:
            return request
        processor = "razorpay" if "/razorpay" in url else "stripe"
        base, _, path = url.partition("/webhooks/")
        if "/" in path:
            request.url = f"{base}/webhooks/{processor}/{MERCHANT}"
        data = _of_merchant(processor)
        sign = stripe_header if processor == "stripe" else razorpay_header
        request.body = data
        request.headers.update(sign(SECRET, data))
        request.headers["Content-Length"] = str(len(data))
        return request


def _of_merchant(processor: str) -> bytes:
    """The description's own example, as an event of the run's merchant, under an id of its own."""
    event = copy.deepcopy(EVENTS[processor])
    if processor == "stripe":
        event["id"] = f"evt_{new_id().hex}"
        event["data"]["object"]["metadata"]["merchant_id"] = MERCHANT
    else:
        event["payload"]["payment"]["entity"]["id"] = f"pay_{new_id().hex[:14]}"
        event["payload"]["payment"]["entity"]["notes"]["merchant_id"] = MERCHANT
    return orjson.dumps(event)


def _held_or_charged(body: dict[str, Any]) -> dict[str, Any]:
    return {"amount": 2599, "captureMethod": "manual" if next(_turns) % 3 else "automatic"}


BODIES: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "/v1/orders": _held_or_charged,
    "/v1/orders/{id}/pay": lambda _: {
        "processor": "stripe",
        "paymentMethod": {"type": "card", "token": "pm_card_visa"},
    },
    **dict.fromkeys(("/v1/orders/{id}/capture", "/api/orders/{id}/capture"), lambda _: {"amount": 2000}),
    **dict.fromkeys(("/v1/orders/{id}/refund", "/api/orders/{id}/refund"), lambda _: {"amount": 7}),
    "/api/auth/password": lambda body: {**body, "currentPassword": PASSWORD, "newPassword": PASSWORD},
}


SIGNING_OUT: Final = ("/api/auth/logout", "/api/auth/password")
"""Asked so often that the limit by address would answer for them."""


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    if case.operation.path in SIGNING_OUT:
        # The service trusts its proxy, and every request comes from somewhere else.
        case.headers.update(from_address(next(_addresses)))
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    phase = case.meta.phase.name.value
    # Of flows all, for a flow is as long as its calls succeed; of what chance makes every other one.
    if phase != "stateful" and (phase != "fuzzing" or next(_turns) % 2):
        return
    if case.path.startswith("/webhooks/"):
        kwargs["auth"] = Processor()
    elif case.method == "POST" and case.path in BODIES and isinstance(case.body, dict):
        case.body = BODIES[case.path](case.body)
        case.headers.pop("If-Match", None)
