"""Webhook endpoints as the dashboard makes and lists them."""

from __future__ import annotations

from typing import Any

from tests.integration.http.world import Api, Merchant

URL = "https://shop.example/hook"
OTHER = "https://other.example/hook?a=b"


async def made(api: Api, merchant: Merchant, **fields: Any) -> Any:
    body = {"url": URL} | fields
    return (await api.call("POST", "/api/webhook-endpoints", body, token=merchant.token)).must(201)


async def listed(api: Api, merchant: Merchant) -> Any:
    return (await api.call("GET", "/api/webhook-endpoints", token=merchant.token)).must(200)["data"]


async def set_profile(api: Api, merchant: Merchant, **fields: Any) -> Any:
    return (await api.call("PUT", "/api/merchants/me", fields, token=merchant.token)).must(200)
