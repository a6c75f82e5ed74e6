"""Webhook URLs that are older than webhook endpoints are."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.merchant import ChangeProfile
from payloops.db import Database
from payloops.events.base import Actor, Meta
from payloops.events.webhook_endpoint import default_endpoint_id
from payloops.events.webhook_endpoint_state import Active, Removed
from payloops.values import new_id
from payloops.workflows_bridge.deliveries.adoption import Adoption
from tests.integration.http.world import Api, Merchant
from tests.integration.store.interrupted import InterruptedStore

URL = "https://shop.example/hook"


@pytest.fixture
def adoption(api: Api, database: Database) -> Adoption:
    return adoption_of(api, database, api.services.handler)


def adoption_of(api: Api, database: Database, handler: CommandHandler) -> Adoption:
    services = api.services
    return Adoption(
        database,
        handler,
        merchants=services.merchants,
        endpoints=services.webhook_endpoints,
        ring=services.ring,
        clock=services.clock,
    )


async def set_as_before(api: Api, merchant: Merchant, url: str = URL) -> None:
    """As the release before did it: no endpoint."""
    meta = Meta(new_id(), Actor("user", str(merchant.id)), "before")
    command = ChangeProfile(merchant_id=merchant.id, now=api.services.clock.now(), meta=meta, webhook_url=url)
    await api.services.handler.execute(api.services.merchants, merchant.id, command)


async def listed(api: Api, merchant: Merchant) -> list[Any]:
    answer = await api.call("GET", "/api/webhook-endpoints", token=merchant.token)
    return list(answer.must(200)["data"])


async def test_each_gets_its_default_endpoint_once(api: Api, adoption: Adoption) -> None:
    merchants = [await api.merchant() for _ in range(5)]
    for merchant in merchants[:4]:
        await set_as_before(api, merchant, f"{URL}/{merchant.id}")
    (await api.call("PUT", "/api/me", {"webhookUrl": URL}, token=merchants[4].token)).must(200)
    assert await adoption.run(page=2) == 4
    for merchant in merchants[:4]:
        (endpoint,) = await listed(api, merchant)
        assert endpoint["id"] == str(default_endpoint_id(merchant.id))
        assert (endpoint["url"], endpoint["isDefault"], endpoint["enabled"]) == (f"{URL}/{merchant.id}", True, True)
        profile = (await api.call("GET", "/api/me", token=merchant.token)).must(200)
        assert profile["webhookUrl"] == endpoint["url"]
    assert await adoption.run() == 0
    (await api.call("POST", "/api/merchants/me/webhook-secret", token=merchants[0].token)).must(201)


async def test_one_that_was_removed_stays_away(api: Api, merchant: Merchant, adoption: Adoption) -> None:
    await set_as_before(api, merchant)
    assert await adoption.run() == 1
    (await api.call("PUT", "/api/me", {"webhookUrl": None}, token=merchant.token)).must(200)
    assert await adoption.run() == 0
    services = api.services
    state = await services.handler.load(services.webhook_endpoints, default_endpoint_id(merchant.id))
    assert isinstance(state, Removed)


async def test_a_merchant_who_changes_the_url_meanwhile_has_the_last_word(
    api: Api, merchant: Merchant, database: Database
) -> None:
    await set_as_before(api, merchant)
    endpoint_id, services, other = default_endpoint_id(merchant.id), api.services, "https://other.example/"

    async def change() -> None:
        (await api.call("PUT", "/api/me", {"webhookUrl": other}, token=merchant.token)).must(200)

    slow = InterruptedStore(database, endpoint_id, change)
    await slow.open(listen=False)
    try:
        handler = CommandHandler(slow, ResponseKeeper(services.ring))
        assert await adoption_of(api, database, handler).run() == 0
    finally:
        await slow.close()
    assert not slow.interruptions
    state = await services.handler.load(services.webhook_endpoints, endpoint_id)
    assert isinstance(state, Active)
    assert state.url == other
