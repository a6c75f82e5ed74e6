"""A merchant that has one of everything, found by the table that it stands in: for tests that walk the route table."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import psycopg
from psycopg import sql

from payloops.http.routes import routes
from payloops.http.routing import Route
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant

TABLE_OF: Final[Mapping[str, str]] = {
    "/v1/orders": "orders",
    "/api/orders": "orders",
    "/v1/checkout/sessions": "checkout_sessions",
    "/api/api-keys": "api_keys",
    "/api/webhook-endpoints": "webhook_endpoints",
    "/api/webhooks": "webhook_deliveries",
    "/api/processor-events": "processor_events",
}
"""Where the things are whose ids stand in paths. A path that is missing here fails the tests that walk them."""
WEBHOOK_SECRET: Final = "whsec_of_the_processor"


def by_id(table: Iterable[Route]) -> tuple[Route, ...]:
    """The routes about one thing, for which a credential is needed."""
    return tuple(route for route in table if route.access != "public" and ":id" in route.path)


BY_ID: Final = by_id(routes())
WRITES: Final = tuple(
    route for route in routes() if route.access != "public" and route.method in {"POST", "PUT", "PATCH"}
)


MARK: Final = "0190ffff-ffff-7fff-bfff-ffffffffffff"
NUMBER: Final = 987_654_321_987
PRIVILEGED: Final[dict[str, Any]] = {
    **dict.fromkeys(("id", "merchantId", "merchant_id", "orderId", "order_id", "actor", "sub", "owner"), MARK),
    **dict.fromkeys(
        ("status", "role", "isAdmin", "disabledReason", "processorOrderId", "url_sealed", "email_sealed"), MARK
    ),
    **dict.fromkeys(("secretHash", "passwordHash", "password_hash", "emailDigest", "publicId", "prefix"), MARK),
    **dict.fromkeys(("workflowId", "processorTransactionId", "position", "correlationId"), MARK),
    **dict.fromkeys(("version", "tokenVersion", "token_version", "profileVersion", "sequence", "attempts"), NUMBER),
    **dict.fromkeys(("amountCaptured", "amount_captured", "amountRefunded", "amountAuthorized", "round"), NUMBER),
    **dict.fromkeys(("createdAt", "updatedAt", "revokedAt", "deliveredAt", "lastUsedAt"), "2001-02-03T04:05:06.789Z"),
    "live": True,
    "isDefault": True,
    "outcomeUnknown": True,
    "ver": NUMBER,
    "__proto__": {"id": MARK},
}
"""Fields that are not a client's to set, each with a value that is found again wherever it were stored."""


def noun(route: Route) -> str:
    """The path before its id."""
    return route.path.partition("/:id")[0]


@dataclass(frozen=True)
class Owner:
    """``ids`` are all that the merchant has, by table."""

    merchant: Merchant
    ids: Mapping[str, tuple[str, ...]]


async def owner_of_everything(api: Api, database: TestDatabase) -> Owner:
    """A new merchant with an order that was paid, a session, an endpoint, a delivery, a processor's event."""
    merchant = await api.merchant()
    token = merchant.token
    credentials = {"secretKey": "sk_test_123456789", "webhookSecret": WEBHOOK_SECRET}
    (await api.call("POST", "/api/processors/stripe", {"credentials": credentials}, token=token)).must(200)
    order = await api.new_order(merchant)
    (await api.call("POST", f"/v1/orders/{order['id']}/pay", key=merchant.api_key)).must(200)
    await api.captured(order["id"], order["amount"])
    session = {"amount": 100, "successUrl": "https://shop.example/y", "cancelUrl": "https://shop.example/n"}
    (await api.call("POST", "/v1/checkout/sessions", session, key=merchant.api_key)).must(201)
    endpoint = {"url": "https://shop.example/hook"}
    made = (await api.call("POST", "/api/webhook-endpoints", endpoint, token=token)).must(201)
    (await api.call("POST", f"/api/webhook-endpoints/{made['id']}/test", token=token)).must(202)
    await _processor_event(api, merchant)
    ids = {table: _ids(database, table, merchant) for table in set(TABLE_OF.values())}
    missing = [table for table, found in ids.items() if not found]
    assert missing == [], "the merchant has none of these"
    return Owner(merchant, ids)


async def _processor_event(api: Api, merchant: Merchant) -> None:
    body = orjson.dumps({"id": f"evt_{merchant.id.hex}", "type": "customer.created", "data": {"object": {}}})
    stamp = int(time.time())
    mac = hmac.new(WEBHOOK_SECRET.encode(), b"%d.%b" % (stamp, body), hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={stamp},v1={mac}"}
    (await api.call("POST", f"/webhooks/stripe/{merchant.id}", data=body, headers=headers)).must(200)


def _ids(database: TestDatabase, table: str, merchant: Merchant) -> tuple[str, ...]:
    query = sql.SQL("SELECT id::text FROM {} WHERE merchant_id = %s").format(sql.Identifier(table))
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        return tuple(found for (found,) in connection.execute(query, (merchant.id,)))


def everything_stored(database: TestDatabase) -> dict[str, list[str]]:
    """Every row of every table as text, events and bytes in clear."""
    stored: dict[str, list[str]] = {}
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        ).fetchall()
        for (table,) in tables:
            rows: list[Any] = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            stored[table] = [" ".join(_text(value) for value in row) for row in rows]
    return stored


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)
