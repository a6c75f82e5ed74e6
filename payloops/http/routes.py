"""The route table: every call of the service, who may make it, and what answers it."""

from __future__ import annotations

from typing import Final

from payloops.http import health, metrics
from payloops.http.checkout.pages import CheckoutPages
from payloops.http.dashboard import (
    accounts,
    api_keys,
    audit,
    events_feed,
    export,
    order_detail,
    order_sync,
    processor_events,
    processors,
    timeline,
    webhook_endpoints,
    webhooks,
)
from payloops.http.dashboard import orders as dashboard_orders
from payloops.http.dashboard import stats as dashboard_stats
from payloops.http.openapi.handlers import documentation
from payloops.http.routing import Route
from payloops.http.v1 import checkout, orders, payments
from payloops.http.webhooks import receive

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
    Route("POST", "/v1/checkout/sessions", checkout.create_session, "api_key", "checkout:write"),
    Route("GET", "/v1/checkout/sessions/:id", checkout.get_session, "api_key", "checkout:read"),
    Route("POST", "/v1/checkout/sessions/:id/expire", checkout.expire_session, "api_key", "checkout:write"),
)

_DASHBOARD_API: Final = (
    Route("POST", "/api/auth/register", accounts.register, "public", limit="auth"),
    Route("POST", "/api/auth/login", accounts.login, "public", limit="auth"),
    Route("POST", "/api/auth/logout", accounts.logout, "user", limit="auth"),
    Route("POST", "/api/auth/password", accounts.change_password, "user", limit="auth"),
    Route("GET", "/api/merchants/me", accounts.get_profile, "user"),
    Route("PUT", "/api/merchants/me", accounts.put_profile, "user"),
    Route("GET", "/api/me", accounts.get_profile, "user"),
    Route("PUT", "/api/me", accounts.put_profile, "user"),
    Route("GET", "/api/api-keys", api_keys.list_api_keys, "user"),
    Route("POST", "/api/api-keys", api_keys.create_api_key, "user", limit="api-keys"),
    Route("POST", "/api/api-keys/:id/roll", api_keys.roll_api_key, "user", limit="api-keys"),
    Route("DELETE", "/api/api-keys/:id", api_keys.revoke_api_key, "user"),
    Route("GET", "/api/processors", processors.list_processors, "user"),
    Route("POST", "/api/processors", processors.configure_named_processor, "user"),
    Route("POST", "/api/processors/:processor", processors.configure_processor, "user"),
    Route("PATCH", "/api/processors/:processor", processors.change_processor, "user"),
    Route("DELETE", "/api/processors/:processor", processors.remove_processor, "user"),
    Route("GET", "/api/orders", dashboard_orders.list_orders, "user"),
    Route("GET", "/api/orders/:id", order_detail.get_order, "user"),
    Route("GET", "/api/orders/:id/events", orders.list_events, "user"),
)

_ANALYTICS: Final = (
    Route("GET", "/api/dashboard/stats", dashboard_stats.stats, "user"),
    Route("GET", "/api/dashboard/export", export.export, "user"),
    Route("GET", "/api/events", events_feed.list_events, "user"),
    Route("GET", "/api/audit", audit.list_entries, "user"),
    Route("GET", "/api/orders/:id/timeline", timeline.order_timeline, "user"),
    # As with an API key, with the user as the actor.
    Route("POST", "/api/orders/:id/capture", payments.capture, "user"),
    Route("POST", "/api/orders/:id/cancel", payments.cancel, "user"),
    Route("POST", "/api/orders/:id/refund", payments.refund, "user"),
    Route("POST", "/api/orders/:id/sync", order_sync.sync, "user"),
)

_INBOX: Final = (
    Route("POST", "/webhooks/:processor", receive.receive, "public"),
    Route("POST", "/webhooks/:processor/:merchantId", receive.receive_for_merchant, "public"),
    Route("GET", "/api/processor-events", processor_events.list_events, "user"),
    Route("GET", "/api/processor-events/:id", processor_events.get_event, "user"),
    Route("POST", "/api/processor-events/:id/reprocess", processor_events.reprocess, "user"),
)

_WEBHOOKS: Final = (
    Route("POST", "/api/merchants/me/webhook-secret", webhook_endpoints.rotate_default_secret, "user"),
    Route("GET", "/api/webhook-endpoints", webhook_endpoints.list_endpoints, "user"),
    Route("PATCH", "/api/webhook-endpoints/:id", webhook_endpoints.change_endpoint, "user"),
    Route("DELETE", "/api/webhook-endpoints/:id", webhook_endpoints.remove_endpoint, "user"),
    Route("POST", "/api/webhook-endpoints/:id/secret", webhook_endpoints.rotate_secret, "user"),
    Route("POST", "/api/webhook-endpoints/:id/test", webhook_endpoints.send_sample, "user"),
    Route("GET", "/api/webhooks", webhooks.list_deliveries, "user"),
    Route("GET", "/api/webhooks/:id/attempts", webhooks.list_attempts, "user"),
    Route("POST", "/api/webhooks/:id/retry", webhooks.retry_delivery, "user"),
    Route("POST", "/api/webhooks/retry", webhooks.retry_deliveries, "user"),
)


def _checkout_pages() -> tuple[Route, ...]:
    """What a merchant's customer opens; the id in the address is all that it takes."""
    pages = CheckoutPages()
    return (
        Route("GET", "/checkout/assets/:name", pages.asset, "public"),
        Route("GET", "/checkout/:id", pages.show, "public"),
        Route("POST", "/checkout/:id/pay", pages.pay, "public"),
        Route("GET", "/checkout/:id/next", pages.go_on, "public"),
        Route("GET", "/checkout/:id/return", pages.come_back, "public"),
        Route("POST", "/checkout/:id/return", pages.come_back, "public"),
        Route("GET", "/checkout/:id/status", pages.status, "public"),
    )


def routes() -> tuple[Route, ...]:
    """All routes; what they share of state (the readiness of a moment ago) is fresh in each table."""
    table = (
        *_MERCHANT_API,
        *_DASHBOARD_API,
        *_ANALYTICS,
        *_checkout_pages(),
        *_INBOX,
        *_WEBHOOKS,
        Route(
            "POST",
            "/api/webhook-endpoints",
            webhook_endpoints.create_endpoint,
            "user",
            limit="webhook-endpoints",
        ),
        Route("GET", "/metrics", metrics.metrics, "public"),
        Route("GET", "/health", health.health, "public"),
        Route("GET", "/health/live", health.live, "public"),
        Route("GET", "/health/ready", health.Readiness(), "public"),
    )
    return (*table, *documentation(table))
