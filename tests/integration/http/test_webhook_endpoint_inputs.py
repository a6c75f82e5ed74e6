"""What a webhook endpoint can be made of: where it may send to, which types it asks for, what is not its to say."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.events.webhook_event_types import CHOICES
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.http.endpoints import URL, listed, made
from tests.integration.http.world import Api, Merchant, open_api

PRODUCTION: dict[str, Any] = {
    "PAYLOOPS_ENV": "production",
    "TEMPORAL_ADDRESS": "127.0.0.1:7233",
    "JWT_SECRET": "Zq8v3nRkT1xWm5LbYc7dHj2sFg9pUa4eKo6i",
    "ENCRYPTION_KEY": "Xw2c9VbN4mQz7LkJ1hGf6dSa3pOi8uYt5rEw",
    "PUBLIC_URL": "https://pay.example.com",
    "STRIPE_API_BASE": "https://stripe.example",
    "RAZORPAY_API_BASE": "https://razorpay.example",
}

BAD_URLS: tuple[tuple[object, str], ...] = (
    (None, "is required"),
    (7, "must be text"),
    ("ftp://shop.example", "http"),
    ("shop.example", "http"),
    ("https://", "http"),
    ("https:///path", "http"),
    ("https://u:p@shop.example", "http"),
    ("https://shop.example/#part", "fragment"),
    ("https://shop.example/\\evil", "begins with"),
    ("https://shop.example:0/", "can be sent to"),
    ("https://shop.example:70000/", "http"),
    ("https://shop.example/ x", "http"),
    ("https://shop.example/" + "x" * 2048, "at most 2048"),
    ("http://10.0.0.1/", "private"),
    ("http://192.168.1.1:8080/", "private"),
    ("http://169.254.169.254/latest", "metadata"),
    ("http://100.64.0.1/", "carrier"),
    ("http://0.0.0.0/", "unspecified"),
    ("http://0xa000001/", "private"),
    ("http://167772161/", "private"),
    ("http://012.0.0.1/", "private"),
    ("http://10.1/", "private"),
    ("http://[::ffff:10.0.0.1]/", "private"),
    ("http://[64:ff9b::a00:1]/", "NAT64"),
    ("http://[fe80::1]/", "link-local"),
    ("http://[fd00::1]/", "unique-local"),
    ("http://10.0.0.1./", "private"),
    ("http://224.0.0.1/", "multicast"),
    ("http://\uff11\uff10\uff0e0.0\u30021/", "private"),
)


class TestUrls:
    @pytest.mark.parametrize(("url", "why"), BAD_URLS)
    async def test_a_url_that_nothing_can_be_sent_to_is_refused(
        self, api: Api, merchant: Merchant, url: object, why: str
    ) -> None:
        body = {} if url is None else {"url": url}
        refused = await api.call("POST", "/api/webhook-endpoints", body, token=merchant.token)
        assert (refused.status, refused.json["param"]) == (400, "url")
        assert why in refused.json["message"]
        if url is not None:
            profile = await api.call("PUT", "/api/me", {"webhookUrl": url}, token=merchant.token)
            assert (profile.status, profile.json["param"]) == (400, "webhookUrl")
        assert await listed(api, merchant) == []

    async def test_development_may_send_to_itself(self, api: Api, merchant: Merchant) -> None:
        for url in (
            "http://127.0.0.1:9000/x",
            "http://localhost:9000/",
            "http://[::1]/",
            "https://shop.example/?a=b",
        ):
            await made(api, merchant, url=url)

    async def test_production_sends_by_https_and_not_to_itself(self, test_database: TestDatabase) -> None:
        settings = PRODUCTION | {"DATABASE_URL": test_database.app_dsn}
        async with open_api(test_database, **settings) as api:
            merchant = await api.merchant()
            for url in (
                *("http://shop.example/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/"),
                *("https://x.localhost/", "https://LOCALHOST./", "https://2130706433/", "https://127.1/"),
            ):
                for path, field in (("/api/webhook-endpoints", "url"), ("/api/me", "webhookUrl")):
                    method = "PUT" if path == "/api/me" else "POST"
                    answer = await api.call(method, path, {field: url}, token=merchant.token)
                    assert (answer.status, answer.json["param"]) == (400, field), url
            endpoint = await made(api, merchant)
            path = f"/api/webhook-endpoints/{endpoint['id']}"
            answer = await api.call("PATCH", path, {"url": "http://shop.example/"}, token=merchant.token)
            assert (answer.status, answer.json["param"]) == (400, "url")


BAD_BODIES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"eventTypes": ["payment.captured", "payment.stolen"]}, "eventTypes.1"),
    ({"eventTypes": ["*"]}, "eventTypes.0"),
    ({"eventTypes": ["webhook.test"]}, "eventTypes.0"),
    ({"eventTypes": ["PAYMENT.CAPTURED"]}, "eventTypes.0"),
    ({"eventTypes": [1]}, "eventTypes.0"),
    ({"eventTypes": "payment.*"}, "eventTypes"),
    ({"eventTypes": ["payment.*"] * 51}, "eventTypes"),
    ({"enabled": "yes"}, "enabled"),
)


@pytest.mark.parametrize(("fields", "param"), BAD_BODIES)
async def test_bad_bodies_are_refused_by_name(api: Api, merchant: Merchant, fields: dict[str, Any], param: str) -> None:
    refused = await api.call("POST", "/api/webhook-endpoints", {"url": URL} | fields, token=merchant.token)
    assert (refused.status, refused.code, refused.json["param"]) == (400, "validation_error", param)
    endpoint = await made(api, merchant)
    patched = await api.call("PATCH", f"/api/webhook-endpoints/{endpoint['id']}", fields, token=merchant.token)
    assert (patched.status, patched.json["param"]) == (400, param)


async def test_every_type_and_group_can_be_asked_for(api: Api, merchant: Merchant) -> None:
    assert (await made(api, merchant, eventTypes=list(CHOICES)))["eventTypes"] == list(CHOICES)


async def test_privileged_fields_are_inert(api: Api, merchant: Merchant) -> None:
    other = await api.merchant()
    taken = {
        "id": str(new_id()),
        "merchantId": str(other.id),
        "isDefault": True,
        "secret": "whsec_mine",
        "disabledReason": "gone",
        "createdAt": "2000-01-01T00:00:00.000Z",
        "circuit": {"state": "open"},
    }
    endpoint = await made(api, merchant, **taken)
    assert endpoint["id"] != taken["id"]
    assert (endpoint["isDefault"], endpoint["disabledReason"]) == (False, None)
    assert endpoint["secret"] != "whsec_mine"
    assert await listed(api, other) == []
    path = f"/api/webhook-endpoints/{endpoint['id']}"
    (await api.call("PATCH", path, taken, token=merchant.token)).must(200)
    (shown,) = await listed(api, merchant)
    assert (shown["isDefault"], shown["disabledReason"], shown["createdAt"]) == (False, None, endpoint["createdAt"])
