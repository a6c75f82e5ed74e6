"""A walk through the API's description: a merchant with one of everything, and each call as an integrator sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from payloops.http.checkout.rendering import asset_name
from payloops.http.openapi.document import Call, calls
from payloops.http.openapi.errors import errors_of
from payloops.http.routes import routes
from tests.databases import TestDatabase
from tests.inbox.signing import razorpay_header, stripe_header
from tests.integration.http.belongings import TABLE_OF, WEBHOOK_SECRET, Owner, owner_of_everything
from tests.integration.http.world import Answer, Api, Merchant, from_address

CALLS: Final = tuple(sorted(calls(routes()), key=lambda call: call.route.method == "DELETE"))
"""What takes away goes last."""
EXAMPLES: Final = {call.name: call.operation.example for call in CALLS}
RAZORPAY_SECRET: Final = "a secret of the shop"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Walk:
    """A merchant that has one of everything, and the account that the examples speak of."""

    api: Api
    owner: Owner
    tokens: dict[str, str]
    addresses: int = 900_000

    @property
    def merchant(self) -> Merchant:
        return self.owner.merchant

    async def send(
        self,
        call: Call,
        *,
        body: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        ids: Mapping[str, str] | None = None,
        credential: str = "right",
        query: str = "",
    ) -> Answer:
        self.addresses += 1
        path = call.path
        for name, value in {**self.ids(call), **(ids or {})}.items():
            path = path.replace(f"{{{name}}}", value)
        sent = {**from_address(self.addresses), **self.credential(call, credential), **(headers or {})}
        if body is not None:
            data = orjson.dumps(body)
        return await self.api.call(call.route.method, path + query, data=data, headers=sent)

    def credential(self, call: Call, which: str) -> Mapping[str, str]:
        key, token = self.merchant.api_key, self.tokens.get(call.route.path, self.merchant.token)
        by_key, by_token = {"X-API-Key": key}, {"Authorization": f"Bearer {token}"}
        right, other = (by_key, by_token) if call.route.access == "api_key" else (by_token, by_key)
        if call.route.access == "public" or which == "none":
            return {}
        if which == "bad":
            return {name: "Bearer no.such.token" if name == "Authorization" else "sk_test_none" for name in right}
        return right if which == "right" else other

    def ids(self, call: Call) -> Mapping[str, str]:
        noun = call.route.path.partition("/:id")[0].replace("/checkout", "/v1/checkout/sessions", 1)
        table = TABLE_OF.get(call.route.path.partition("/:id")[0]) or TABLE_OF.get(noun)
        assets = {"/checkout/assets/:name": asset_name("checkout.css"), "/docs/assets/:name": "docs.js"}
        found = {
            "id": self.owner.ids[table][0] if table else "",
            "processor": "stripe",
            "merchantId": str(self.merchant.id),
            "name": assets.get(call.route.path, ""),
        }
        return {name: value for name, value in found.items() if f"{{{name}}}" in call.path}

    async def order(self, state: str) -> str:
        """A new order in this state."""
        manual = {"captureMethod": "manual"} if state == "authorized" else {}
        order = await self.api.new_order(self.merchant, **manual)
        order_id = str(order["id"])
        if state != "pending":
            path = f"/v1/orders/{order_id}/pay"
            (await self.api.call("POST", path, {"processor": "stripe"}, key=self.merchant.api_key)).must(200)
        if state == "authorized":
            await self.api.authorized(order_id, order["amount"])
        if state == "captured":
            await self.api.captured(order_id, order["amount"])
        return order_id


ORDER_STATES: Final = {
    "pay": "pending",
    "capture": "authorized",
    "cancel": "pending",
    "refund": "captured",
    "sync": "captured",
}


async def example_of(walk: Walk, call: Call) -> dict[str, Any]:
    """What to give ``walk.send`` so that the call's example is sent, and taken; makes the order that it is about."""
    last, example = call.path.rpartition("/")[2], call.operation.example
    of_order = {"ids": {"id": await walk.order(ORDER_STATES[last])}} if is_about_money(call) else {}
    if call.operation.form is not None:
        return {"data": urlencode(example).encode(), "headers": FORM}
    if call.operation.raw:
        return signed(walk, call, example)
    return {"body": example, **of_order}


def is_about_money(call: Call) -> bool:
    """Whether what the call does to an order depends on the state that it is in."""
    return call.path.rpartition("/")[2] in ORDER_STATES and "/orders/" in call.path


async def accepted(walk: Walk, call: Call, **more: Any) -> Answer:
    """The call's example, sent as an integrator would; ``more`` as for ``send``."""
    if "ids" in more:
        found = await example_of(walk, call) if not is_about_money(call) else {"body": call.operation.example}
    else:
        found = await example_of(walk, call)
    headers = {**found.pop("headers", {}), **more.pop("headers", {})}
    return await walk.send(call, **{**found, **more}, headers=headers)


def signed(walk: Walk, call: Call, example: Any) -> dict[str, Any]:
    """A processor's event, for this merchant, with its signature."""
    event = orjson.loads(orjson.dumps(example))
    if "stripe" in call.path:
        event["data"]["object"]["metadata"]["merchant_id"] = str(walk.merchant.id)
        data = orjson.dumps(event)
        return {"data": data, "headers": stripe_header(WEBHOOK_SECRET, data)}
    event["payload"]["payment"]["entity"]["notes"]["merchant_id"] = str(walk.merchant.id)
    data = orjson.dumps(event)
    return {"data": data, "headers": razorpay_header(RAZORPAY_SECRET, data)}


CREDENTIALS: Final[Mapping[str, Mapping[str, str]]] = {
    "stripe": {"secretKey": "sk_test_123456789", "webhookSecret": WEBHOOK_SECRET},
    "razorpay": {"keyId": "rzp_test_1", "keySecret": "secret", "webhookSecret": RAZORPAY_SECRET},
}


async def set_up(api: Api, merchant: Merchant, processor: str) -> None:
    body = {"credentials": CREDENTIALS[processor], "priority": 9 if processor == "razorpay" else 1}
    (await api.call("POST", f"/api/processors/{processor}", body, token=merchant.token)).must(200)


async def set_out(api: Api, database: TestDatabase) -> Walk:
    owner = await owner_of_everything(api, database)
    token = owner.merchant.token
    await set_up(api, owner.merchant, "razorpay")
    profile = {"webhookUrl": "https://shop.example/default"}
    (await api.call("PUT", "/api/merchants/me", profile, token=token)).must(200)
    return Walk(api, owner, {})


async def sign_in(walk: Walk, password: str) -> str:
    credentials = {**EXAMPLES["POST /api/auth/login"], "password": password}
    answer = await walk.api.call("POST", "/api/auth/login", credentials, headers=from_address(800_000))
    return str(answer.must(200)["token"])


async def with_token_to_spend(walk: Walk, call: Call) -> None:
    """Calls that end their token get one of their own, of the account that the examples speak of."""
    if call.path == "/api/auth/password":
        walk.tokens[call.path] = await sign_in(walk, call.operation.example["currentPassword"])
    if call.path == "/api/auth/logout":
        walk.tokens[call.path] = await sign_in(walk, EXAMPLES["POST /api/auth/login"]["password"])


def having(code: str) -> tuple[Call, ...]:
    """The calls that are described as able to answer with this code."""
    return tuple(call for call in CALLS if code in codes_of(call))


def codes_of(call: Call) -> tuple[str, ...]:
    """What a call is described as able to refuse with, beside what any call can."""
    return tuple(code for codes in errors_of(call.route, call.operation).values() for code in codes)
