"""The route table: every call of the service, who may make it, and what answers it."""

from __future__ import annotations

from typing import Final

from payloops.http import health
from payloops.http.dashboard import accounts, api_keys, processors
from payloops.http.dashboard import orders as dashboard_orders
from payloops.http.routing import Route
from payloops.http.v1 import orders, payments

_MERCHANT_API: Final = (
    Route("POST", "/v1/orders", orders.create_order, "api_key", "orders:write"),
    Route("GET", "/v1/orders", orders.list_orders, "api_key", "orders:read"),
    Route("GET", "/v1/orders/:id", orders.get_order, "api_key", "orders:read"),
    Route("POST", "/v1/orders/:id/pay", payments.pay, "api_key", "orders:write"),
    Route("POST", "/v1/orders/:id/capture", payments.capture, "api_key", "orders:write"),
    Route("POST", "/v1/orders/:id/cancel", payments.cancel, "api_key", "orders:write"),
    Route("POST", "/v1/orders/:id/refund", payments.refund, "api_key", "refunds:write"),
    Route("GET", "/v1/orders/:id/refunds", orders.list_refunds, "api_key", "refunds:read"),
    Route("GET", "/v1/orders/:id/transactions", orders.list_transactions, "api_key", "orders:read"),
    Route("GET", "/v1/orders/:id/events", orders.list_events, "api_key", "orders:read"),
)

_DASHBOARD_API: Final = (
    Route("POST", "/api/auth/register", accounts.register, "public"),
    Route("POST", "/api/auth/login", accounts.login, "public"),
    Route("GET", "/api/merchants/me", accounts.get_profile, "user"),
    Route("PUT", "/api/merchants/me", accounts.put_profile, "user"),
    Route("GET", "/api/me", accounts.get_profile, "user"),
    Route("PUT", "/api/me", accounts.put_profile, "user"),
    Route("GET", "/api/api-keys", api_keys.list_api_keys, "user"),
    Route("POST", "/api/api-keys", api_keys.create_api_key, "user"),
    Route("DELETE", "/api/api-keys/:id", api_keys.revoke_api_key, "user"),
    Route("GET", "/api/processors", processors.list_processors, "user"),
    Route("POST", "/api/processors", processors.configure_named_processor, "user"),
    Route("POST", "/api/processors/:processor", processors.configure_processor, "user"),
    Route("PATCH", "/api/processors/:processor", processors.change_processor, "user"),
    Route("DELETE", "/api/processors/:processor", processors.remove_processor, "user"),
    Route("GET", "/api/orders", dashboard_orders.list_orders, "user"),
    Route("GET", "/api/orders/:id", orders.get_order, "user"),
    Route("GET", "/api/orders/:id/events", orders.list_events, "user"),
)


def routes() -> tuple[Route, ...]:
    """All routes; what they share of state (the readiness of a moment ago) is fresh in each table."""
    return (
        *_MERCHANT_API,
        *_DASHBOARD_API,
        Route("GET", "/health", health.health, "public"),
        Route("GET", "/health/live", health.live, "public"),
        Route("GET", "/health/ready", health.Readiness(), "public"),
    )
