"""Registering our address at Stripe with a configuration, and what the merchant is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from payloops.commands.webhook_setup import EVENT_TYPES
from payloops.db import Database
from payloops.projections import webhook_secrets
from payloops.projections.personal_data import open_credentials
from payloops.sandbox.app import Sandbox
from payloops.values import new_id
from payloops.workflows_bridge.webhook_registrar import ProcessorWebhooks
from tests.databases import TestDatabase
from tests.inbox.test_courier import EAGER
from tests.inbox.world import Inbox, open_inbox, stripe_account
from tests.integration.http.world import Merchant
from tests.replay import assert_replay_equals_tables


async def endpoints(inbox: Inbox, account: str) -> list[Any]:
    url = f"{inbox.sandbox.stripe_url}/v1/webhook_endpoints?limit=100"
    async with inbox.http.get(url, headers={"Authorization": f"Bearer {account}"}) as response:
        data: list[Any] = (await response.json())["data"]
        return data


def saved(inbox: Inbox, merchant: Merchant) -> tuple[dict[str, str], str | None, int]:
    """The credentials, the endpoint and the number of earlier secrets, as they are saved."""
    ((sealed, endpoint_id, retired),) = inbox.rows(
        "SELECT credentials, webhook_endpoint_id, retired FROM processor_configs"
        " WHERE merchant_id = %s AND processor = 'stripe' AND removed_at IS NULL",
        merchant.id,
    )
    opened = open_credentials(inbox.api.services.ring, merchant.id, "stripe", sealed)
    return opened, endpoint_id, len(retired)


async def test_saving_the_key_is_all_that_it_takes(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    config = await inbox.configure(merchant, "stripe", secretKey=account)
    url = f"{inbox.settings.public_url}/webhooks/stripe/{merchant.id}"
    assert config["webhook"] == {
        "status": "registered",
        "url": url,
        "message": "This address is registered in the Stripe account.",
        "events": list(EVENT_TYPES["stripe"]),
    }
    (endpoint,) = await endpoints(inbox, account)
    assert (endpoint["url"], endpoint["status"]) == (url, "enabled")
    assert sorted(endpoint["enabled_events"]) == sorted(EVENT_TYPES["stripe"])
    credentials, endpoint_id, _ = saved(inbox, merchant)
    assert endpoint_id == endpoint["id"]
    assert credentials["webhookSecret"].startswith("whsec_")
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_authenticationRequired")
        state = await inbox.reach(order["id"], "requires_action")
        payment = state.attempt.processor_order_id  # type: ignore[union-attr]
        await inbox.control("POST", f"/payments/{payment}/authenticate", {"result": "succeed"})
        await inbox.reach(order["id"], "captured")
        types = {one["type"] for one in await inbox.events(merchant)}
        assert types <= {"payment_intent.requires_action", "payment_intent.succeeded"}
        assert types


async def test_saving_again_registers_nothing_twice(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await asyncio.gather(*(inbox.configure(merchant, "stripe", secretKey=account) for _ in range(3)))
    first = saved(inbox, merchant)
    (endpoint,) = await endpoints(inbox, account)
    assert endpoint["id"] == first[1]
    body = {"credentials": {"secretKey": account}, "enabled": False}
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        again = await inbox.api.call("POST", "/api/processors/stripe", body, token=merchant.token, headers=key)
        assert again.must(200)["webhook"]["status"] == "registered"
    assert saved(inbox, merchant) == first
    assert [one["id"] for one in await endpoints(inbox, account)] == [endpoint["id"]]


async def test_an_endpoint_whose_secret_is_lost_is_replaced(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    url = f"{inbox.settings.public_url}/webhooks/stripe/{merchant.id}"
    await inbox.control("POST", "/webhook-endpoints", {"account": account, "url": url, "secret": "whsec_lost"})
    (lost,) = await endpoints(inbox, account)
    await inbox.configure(merchant, "stripe", secretKey=account)
    (kept,) = await endpoints(inbox, account)
    assert kept["id"] != lost["id"]
    assert saved(inbox, merchant)[1] == kept["id"]


async def test_an_endpoint_that_is_out_of_date_is_renewed(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    (endpoint,) = await endpoints(inbox, account)
    async with inbox.http.post(
        f"{inbox.sandbox.stripe_url}/v1/webhook_endpoints/{endpoint['id']}",
        headers={"Authorization": f"Bearer {account}"},
        data={"enabled_events[0]": "charge.refunded", "disabled": "true"},
    ) as response:
        assert response.status == 200
    await inbox.configure(merchant, "stripe", secretKey=account)
    (renewed,) = await endpoints(inbox, account)
    assert (renewed["id"], renewed["status"]) == (endpoint["id"], "enabled")
    assert sorted(renewed["enabled_events"]) == sorted(EVENT_TYPES["stripe"])


async def delete_at_stripe(inbox: Inbox, account: str, endpoint_id: str) -> None:
    url = f"{inbox.sandbox.stripe_url}/v1/webhook_endpoints/{endpoint_id}"
    async with inbox.http.delete(url, headers={"Authorization": f"Bearer {account}"}) as response:
        assert response.status == 200


async def test_an_endpoint_that_was_deleted_at_stripe_is_made_again(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    before = saved(inbox, merchant)
    await delete_at_stripe(inbox, account, str(before[1]))
    config = await inbox.configure(merchant, "stripe", secretKey=account)
    assert config["webhook"]["status"] == "registered"
    (made,) = await endpoints(inbox, account)
    after = saved(inbox, merchant)
    assert after[1] == made["id"] != before[1]
    assert after[0]["webhookSecret"] != before[0]["webhookSecret"]


async def test_at_another_public_url_the_endpoint_and_its_secret_stay(
    inbox: Inbox, test_database: TestDatabase, sandbox: Sandbox
) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    (endpoint,) = await endpoints(inbox, account)
    before = saved(inbox, merchant)
    async with open_inbox(test_database, sandbox, PUBLIC_URL="https://pay.example") as moved:
        config = await moved.configure(merchant, "stripe", secretKey=account)
    url = f"https://pay.example/webhooks/stripe/{merchant.id}"
    assert (config["webhook"]["status"], config["webhook"]["url"]) == ("registered", url)
    assert [(one["id"], one["url"]) for one in await endpoints(inbox, account)] == [(endpoint["id"], url)]
    assert saved(inbox, merchant) == before


async def test_an_account_that_is_full_is_said_and_nothing_is_lost(inbox: Inbox) -> None:
    """Stripe takes sixteen endpoints."""
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    for number in range(16):
        body = {"account": account, "url": f"http://127.0.0.1:9/{number}", "secret": "whsec_x"}
        await inbox.control("POST", "/webhook-endpoints", body)
    config = await inbox.configure(merchant, "stripe", secretKey=account)
    assert config["webhook"]["status"] == "failed"
    assert "maximum of 16" in config["webhook"]["message"]
    assert saved(inbox, merchant) == ({"secretKey": account}, None, 0)
    others = await endpoints(inbox, account)
    assert len(others) == 16
    await delete_at_stripe(inbox, account, others[0]["id"])
    assert (await inbox.configure(merchant, "stripe", secretKey=account))["webhook"]["status"] == "registered"
    # Full again, and with what it has it can be saved as often as one likes.
    assert (await inbox.configure(merchant, "stripe", secretKey=account))["webhook"]["status"] == "registered"
    assert len(await endpoints(inbox, account)) == 16


async def test_a_new_key_of_the_same_account_keeps_the_endpoint(
    test_database: TestDatabase, sandbox: Sandbox, database: Database
) -> None:
    """The simulator knows an account by its key, so a server before it puts the one key in the other's place."""
    rolled, original = f"sk_test_rolled{new_id().hex}", f"sk_test_first{new_id().hex}"

    async def forward(request: web.Request) -> web.Response:
        headers = {**request.headers, "Authorization": request.headers["Authorization"].replace(rolled, original)}
        del headers["Host"]
        url = f"{sandbox.stripe_url}{request.rel_url}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, headers=headers, data=await request.read()) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    server = TestServer(app)
    await server.start_server()
    try:
        base = str(server.make_url("")).rstrip("/")
        async with open_inbox(test_database, sandbox, STRIPE_API_BASE=base) as inbox:
            merchant = await inbox.api.merchant()
            await inbox.configure(merchant, "stripe", secretKey=original)
            before = saved(inbox, merchant)
            config = await inbox.configure(merchant, "stripe", secretKey=rolled)
            assert config["webhook"]["status"] == "registered"
            after = saved(inbox, merchant)
            assert after == ({**before[0], "secretKey": rolled}, before[1], before[2])
            assert [one["id"] for one in await endpoints(inbox, original)] == [before[1]]
            (await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token)).must(204)
            assert await endpoints(inbox, original) == []
        await assert_replay_equals_tables(database)
    finally:
        await server.close()


async def test_a_replayed_removal_leaves_alone_what_came_after_it(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    key = {"Idempotency-Key": "away"}
    (await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token, headers=key)).must(204)
    await inbox.configure(merchant, "stripe", secretKey=account)
    (endpoint,) = await endpoints(inbox, account)
    replayed = await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token, headers=key)
    assert (replayed.status, replayed.headers["Idempotent-Replayed"]) == (204, "true")
    assert await endpoints(inbox, account) == [endpoint]
    assert saved(inbox, merchant)[1] == endpoint["id"]


async def test_a_request_that_saves_nothing_registers_nothing(inbox: Inbox) -> None:
    """Of another account, after the configuration went on to this one: its replay, and its key with other words."""
    merchant = await inbox.api.merchant()
    first, second = f"sk_test_one{merchant.id.hex}", f"sk_test_two{merchant.id.hex}"
    path, key, body = "/api/processors/stripe", {"Idempotency-Key": "one"}, {"credentials": {"secretKey": first}}
    (await inbox.api.call("POST", path, body, token=merchant.token, headers=key)).must(200)
    await inbox.configure(merchant, "stripe", secretKey=second)
    (endpoint,) = await endpoints(inbox, second)
    before = saved(inbox, merchant)
    replayed = await inbox.api.call("POST", path, body, token=merchant.token, headers=key)
    assert (replayed.status, replayed.headers["Idempotent-Replayed"]) == (200, "true")
    other = await inbox.api.call("POST", path, {**body, "priority": 7}, token=merchant.token, headers=key)
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert await endpoints(inbox, first) == []
    assert await endpoints(inbox, second) == [endpoint]
    assert saved(inbox, merchant) == before


async def test_another_account_takes_the_address_from_the_first(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_secrets, "SECRETS_TTL_S", -1.0)
    merchant = await inbox.api.merchant()
    first, second = stripe_account(merchant), f"sk_test_other{merchant.id.hex}"
    await inbox.configure(merchant, "stripe", secretKey=first)
    old = saved(inbox, merchant)[0]["webhookSecret"]
    await inbox.configure(merchant, "stripe", secretKey=second)
    assert await endpoints(inbox, first) == []
    assert len(await endpoints(inbox, second)) == 1
    credentials, _, retired = saved(inbox, merchant)
    assert credentials["webhookSecret"] != old
    assert retired == 1
    (await inbox.stripe(merchant, {"id": "evt_late"}, secret=old)).must(200)


async def test_a_configuration_that_goes_takes_its_endpoint_along(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    (await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token)).must(204)
    assert await endpoints(inbox, account) == []
    assert (await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token)).status == 404


async def test_ones_own_secret_takes_the_place_of_what_was_registered(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    config = await inbox.configure(merchant, "stripe", secretKey=account, webhookSecret="whsec_own")
    assert config["webhook"]["status"] == "configured"
    assert await endpoints(inbox, account) == []
    assert saved(inbox, merchant)[:2] == ({"secretKey": account, "webhookSecret": "whsec_own"}, None)
    # Saved again without it, it stays: the endpoint that it belongs to is the merchant's own.
    kept = await inbox.configure(merchant, "stripe", secretKey=account)
    assert (kept["webhook"]["status"], kept["webhook"]["message"]) == (
        "configured",
        "The webhookSecret that was saved before stays.",
    )
    assert saved(inbox, merchant)[0]["webhookSecret"] == "whsec_own"
    assert await endpoints(inbox, account) == []


async def test_a_key_that_stripe_refuses_is_saved_and_said(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    config = await inbox.configure(merchant, "stripe", secretKey="rk_nobody_knows_this")
    assert config["webhook"]["status"] == "failed"
    assert config["webhook"]["message"].startswith("Stripe refused the secret key")
    assert saved(inbox, merchant) == ({"secretKey": "rk_nobody_knows_this"}, None, 0)


async def test_razorpay_is_set_up_by_hand(inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    config = await inbox.configure(merchant, "razorpay", keyId="rzp_test_1", keySecret="x")
    assert config["webhook"]["status"] == "manual"
    assert config["webhook"]["events"] == list(EVENT_TYPES["razorpay"])
    assert "credentials.webhookSecret" in config["webhook"]["message"]
    config = await inbox.configure(merchant, "razorpay", keyId="rzp_test_1", keySecret="x", webhookSecret="a secret")
    assert config["webhook"]["status"] == "configured"


@pytest.fixture
async def alone(test_database: TestDatabase, database: Database, sandbox: Sandbox) -> AsyncIterator[Inbox]:
    """An API whose Stripe is nowhere."""
    async with open_inbox(test_database, sandbox, STRIPE_API_BASE="http://127.0.0.1:9") as opened:
        yield opened
    await assert_replay_equals_tables(database)


async def test_without_an_answer_the_configuration_is_saved_and_a_secret_kept(alone: Inbox, inbox: Inbox) -> None:
    merchant = await inbox.api.merchant()
    account = stripe_account(merchant)
    await inbox.configure(merchant, "stripe", secretKey=account)
    before = saved(inbox, merchant)
    config = await alone.configure(merchant, "stripe", secretKey=account)
    assert config["webhook"]["status"] == "failed"
    assert "did not answer" in config["webhook"]["message"]
    assert saved(inbox, merchant) == before
    config = await alone.configure(merchant, "stripe", secretKey="sk_test_new")
    assert saved(inbox, merchant)[:2] == ({"secretKey": "sk_test_new"}, None)
    (await alone.api.call("DELETE", "/api/processors/stripe", token=merchant.token)).must(204)


@pytest.mark.parametrize(
    ("base", "url", "words"),
    (
        ("http://127.0.0.1:3001", "http://127.0.0.1:3000/x", None),
        ("https://api.stripe.com", "https://pay.example.com/x", None),
        ("https://api.stripe.com", "http://pay.example.com/x", "https"),
        ("https://api.stripe.com", "http://127.0.0.1:3000/x", "PUBLIC_URL"),
        ("https://api.stripe.com", "https://localhost/x", "PUBLIC_URL"),
        ("https://api.stripe.com", "https://10.0.0.1/x", "PUBLIC_URL"),
        ("https://api.stripe.com", "https://[::1]/x", "PUBLIC_URL"),
        ("https://notstripe.com", "http://127.0.0.1/x", None),
    ),
)
def test_only_an_address_on_the_internet_can_be_registered(base: str, url: str, words: str | None) -> None:
    obstacle = ProcessorWebhooks(stripe_api_base=base).obstacle(url)
    assert obstacle is None if words is None else words in str(obstacle)


async def test_a_merchants_configurations_take_turns() -> None:
    webhooks = ProcessorWebhooks(stripe_api_base="http://127.0.0.1:9")
    one, other = new_id(), new_id()
    inside: list[UUID] = []

    async def enter(merchant_id: UUID) -> None:
        async with webhooks.turn(merchant_id):
            assert merchant_id not in inside
            inside.append(merchant_id)
            await asyncio.sleep(0.01)
            inside.remove(merchant_id)

    async with webhooks.turn(other):
        await asyncio.gather(*(enter(one) for _ in range(5)))
    await webhooks.close()


async def test_what_is_on_this_machine_is_told_to_be_set_up_by_hand(
    test_database: TestDatabase, sandbox: Sandbox
) -> None:
    async with open_inbox(test_database, sandbox, STRIPE_API_BASE="https://api.stripe.com") as local:
        merchant = await local.api.merchant()
        config = await local.configure(merchant, "stripe", secretKey="sk_test_x")
        assert config["webhook"]["status"] == "manual"
        assert "set PUBLIC_URL" in config["webhook"]["message"]
