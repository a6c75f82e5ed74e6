"""Webhook endpoints over HTTP: the default one of the profile, and those beside it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from uuid import UUID

import psycopg

from payloops.commands.webhook_endpoint import ENDPOINTS_MAX, DisableEndpoint
from payloops.db import load_sql
from payloops.events.base import Actor, Meta
from payloops.events.webhook_endpoint import default_endpoint_id
from payloops.events.webhook_endpoint_state import Active
from payloops.projections.personal_data import open_webhook_secret
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.http.endpoints import OTHER, URL, listed, made, set_profile
from tests.integration.http.world import Api, Merchant, open_api

FIELDS = {
    *("id", "url", "eventTypes", "enabled", "disabledReason", "isDefault", "createdAt", "updatedAt", "circuit"),
}
SAME = {"X-Correlation-ID": "the-same"}


async def profile_url(api: Api, merchant: Merchant) -> Any:
    return (await api.call("GET", "/api/me", token=merchant.token)).must(200)["webhookUrl"]


async def state_of(api: Api, endpoint_id: str) -> Active:
    state = await api.services.handler.load(api.services.webhook_endpoints, UUID(endpoint_id))
    assert isinstance(state, Active)
    return state


def secret_of(api: Api, state: Active) -> str:
    return open_webhook_secret(api.services.ring, state.merchant_id, state.endpoint_id, state.secret)


async def disabled_by_system(api: Api, merchant: Merchant, endpoint_id: str) -> None:
    meta = Meta(new_id(), Actor("system", "deliveries"), "from-a-delivery")
    command = DisableEndpoint(UUID(endpoint_id), merchant.id, api.services.clock.now(), meta, "gone")
    await api.services.handler.execute(api.services.webhook_endpoints, UUID(endpoint_id), command)


class TestEndpoints:
    async def test_an_endpoint_is_made_and_its_secret_shown_once(self, api: Api, merchant: Merchant) -> None:
        answer = await api.call(
            "POST", "/api/webhook-endpoints", {"url": URL, "eventTypes": ["refund.*"]}, token=merchant.token
        )
        endpoint = answer.must(201)
        assert set(endpoint) == FIELDS | {"secret"}
        assert (endpoint["url"], endpoint["eventTypes"], endpoint["enabled"]) == (URL, ["refund.*"], True)
        assert (endpoint["disabledReason"], endpoint["isDefault"]) == (None, False)
        assert endpoint["circuit"] == {"state": "closed", "openUntil": None}
        prefix, _, encoded = endpoint["secret"].partition("_")
        assert (prefix, len(base64.b64decode(encoded, validate=True))) == ("whsec", 32)
        (shown,) = await listed(api, merchant)
        assert shown == {name: value for name, value in endpoint.items() if name != "secret"}
        assert secret_of(api, await state_of(api, endpoint["id"])) == endpoint["secret"]

    async def test_lists_are_newest_first(self, api: Api, merchant: Merchant) -> None:
        endpoints = [await made(api, merchant, url=f"{URL}/{number}") for number in range(3)]
        assert [one["id"] for one in await listed(api, merchant)] == [one["id"] for one in reversed(endpoints)]

    async def test_a_secret_is_nowhere_in_clear(
        self, api: Api, merchant: Merchant, test_database: TestDatabase
    ) -> None:
        endpoint = await made(api, merchant)
        secret = endpoint["secret"].removeprefix("whsec_")
        with psycopg.connect(test_database.app_dsn) as connection:
            rows = connection.execute("SELECT convert_from(state, 'UTF8') FROM stored_events").fetchall()
            rows += connection.execute("SELECT webhook_endpoints::text FROM webhook_endpoints").fetchall()
        assert secret not in str(rows)
        assert "webhook_endpoints" not in str(rows)

    async def test_settings_change_one_by_one(self, api: Api, merchant: Merchant) -> None:
        endpoint = await made(api, merchant, eventTypes=["payment.captured"])
        path = f"/api/webhook-endpoints/{endpoint['id']}"

        async def patched(**fields: Any) -> Any:
            return (await api.call("PATCH", path, fields, token=merchant.token)).must(200)

        assert (await patched(enabled=False))["enabled"] is False
        changed = await patched(url=OTHER)
        assert (changed["url"], changed["enabled"], changed["eventTypes"]) == (OTHER, False, ["payment.captured"])
        assert (await patched(eventTypes=["refund.*", "refund.*", "payment.*"]))["eventTypes"] == [
            "refund.*",
            "payment.*",
        ]
        assert (await patched(eventTypes=[]))["eventTypes"] == []
        same = await patched(url=None, eventTypes=None)
        assert set(same) == FIELDS
        assert await listed(api, merchant) == [same]
        assert await profile_url(api, merchant) is None, "another endpoint than the default one is not the profile's"

    async def test_enabling_takes_the_reason_away(self, api: Api, merchant: Merchant) -> None:
        endpoint = await made(api, merchant)
        await disabled_by_system(api, merchant, endpoint["id"])
        (shown,) = await listed(api, merchant)
        assert (shown["enabled"], shown["disabledReason"]) == (False, "gone")
        path = f"/api/webhook-endpoints/{endpoint['id']}"
        enabled = (await api.call("PATCH", path, {"enabled": True}, token=merchant.token)).must(200)
        assert (enabled["enabled"], enabled["disabledReason"]) == (True, None)

    async def test_a_removed_endpoint_is_as_absent_as_none(self, api: Api, merchant: Merchant) -> None:
        endpoint = await made(api, merchant)
        path = f"/api/webhook-endpoints/{endpoint['id']}"
        assert (await api.call("DELETE", path, token=merchant.token)).raw == b""
        assert await listed(api, merchant) == []
        for method, suffix in (("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("POST", "/test")):
            answers = [
                await api.call(method, f"/api/webhook-endpoints/{some}{suffix}", token=merchant.token, headers=SAME)
                for some in (endpoint["id"], str(new_id()), "no-uuid")
            ]
            assert {answer.status for answer in answers} == {404}
            assert len({answer.raw for answer in answers}) == 1

    async def test_another_merchants_endpoint_is_as_absent_as_none(self, api: Api, merchant: Merchant) -> None:
        endpoint = await made(api, merchant)
        await set_profile(api, merchant, webhookUrl=URL)
        other = await api.merchant()
        ids = (endpoint["id"], str(default_endpoint_id(merchant.id)), str(new_id()))
        for method, suffix in (("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("POST", "/test")):
            answers = [
                await api.call(
                    method, f"/api/webhook-endpoints/{some}{suffix}", {"url": OTHER}, token=other.token, headers=SAME
                )
                for some in ids
            ]
            assert {answer.status for answer in answers} == {404}
            assert len({answer.raw for answer in answers}) == 1
        assert await listed(api, other) == []
        assert {one["url"] for one in await listed(api, merchant)} == {URL}

    async def test_a_rotation_shows_the_new_secret_and_keeps_the_last_for_a_day(
        self, api: Api, merchant: Merchant
    ) -> None:
        endpoint = await made(api, merchant)
        path = f"/api/webhook-endpoints/{endpoint['id']}/secret"
        rotated = (await api.call("POST", path, token=merchant.token)).must(201)
        assert set(rotated) == {"secret", "previousExpiresAt"}
        state = await state_of(api, endpoint["id"])
        assert secret_of(api, state) == rotated["secret"] != endpoint["secret"]
        assert state.previous_secret is not None
        assert state.previous_expires_at is not None
        ring = api.services.ring
        previous = open_webhook_secret(ring, merchant.id, state.endpoint_id, state.previous_secret)
        assert previous == endpoint["secret"]
        assert (state.previous_expires_at - state.updated_at).total_seconds() == 24 * 3600

    async def test_a_replay_shows_the_same_secret_sealed_at_rest(
        self, api: Api, merchant: Merchant, test_database: TestDatabase
    ) -> None:
        headers = {"Idempotency-Key": "one"}

        async def twice(path: str, body: Any) -> Any:
            first = await api.call("POST", path, body, token=merchant.token, headers=headers)
            again = await api.call("POST", path, body, token=merchant.token, headers=headers)
            assert (first.status, again.status, again.raw) == (201, 201, first.raw)
            assert again.headers["Idempotent-Replayed"] == "true"
            return first.json

        endpoint = await twice("/api/webhook-endpoints", {"url": URL})
        rotated = await twice(f"/api/webhook-endpoints/{endpoint['id']}/secret", {})
        assert len(await listed(api, merchant)) == 1
        assert secret_of(api, await state_of(api, endpoint["id"])) == rotated["secret"]
        with psycopg.connect(test_database.app_dsn) as connection:
            rows = connection.execute("SELECT response_body FROM idempotency_keys").fetchall()
        assert "whsec_" not in str(rows)

    async def test_endpoints_are_bounded_however_many_ask_at_once(self, api: Api, merchant: Merchant) -> None:
        answers = await asyncio.gather(
            *(
                api.call("POST", "/api/webhook-endpoints", {"url": f"{URL}/{n}"}, token=merchant.token)
                for n in range(ENDPOINTS_MAX + 5)
            )
        )
        assert sorted(answer.status for answer in answers) == [201] * ENDPOINTS_MAX + [400] * 5
        refused = next(answer for answer in answers if answer.status == 400)
        assert (refused.code, "20 webhook endpoints" in refused.json["message"]) == ("validation_error", True)
        assert (await set_profile(api, merchant, webhookUrl=URL))["webhookUrl"] == URL
        (last, *_) = await listed(api, merchant)
        (await api.call("DELETE", f"/api/webhook-endpoints/{last['id']}", token=merchant.token)).must(204)

    async def test_of_several_processes_none_lets_one_more_through(
        self, api: Api, merchant: Merchant, test_database: TestDatabase
    ) -> None:
        """Two APIs with nothing in common but the database, asked at once."""
        async with open_api(test_database) as other:
            answers = await asyncio.gather(
                *(
                    process.call("POST", "/api/webhook-endpoints", {"url": f"{URL}/{n}"}, token=merchant.token)
                    for n in range(ENDPOINTS_MAX)
                    for process in (api, other)
                )
            )
        assert sorted(answer.status for answer in answers) == [201] * ENDPOINTS_MAX + [400] * ENDPOINTS_MAX
        assert len(await listed(api, merchant)) == ENDPOINTS_MAX

    async def test_who_holds_the_turn_and_dies_holds_up_nobody(
        self, api: Api, merchant: Merchant, test_database: TestDatabase
    ) -> None:
        """Another process has the turn and does not give it back: 503, nothing done; then it dies."""
        other = await psycopg.AsyncConnection.connect(test_database.app_dsn, autocommit=True)
        await other.execute(
            load_sql("payloops.projections", "webhook_views")["endpoint_turn"], {"merchant": merchant.id}
        )
        busy = await api.call("POST", "/api/webhook-endpoints", {"url": URL}, token=merchant.token)
        assert (busy.status, busy.code) == (503, "unavailable")
        await other.close()
        assert (await made(api, merchant))["url"] == URL
        assert len(await listed(api, merchant)) == 1

    async def test_the_last_one_that_fits_can_be_asked_for_again(self, api: Api, merchant: Merchant) -> None:
        for _ in range(ENDPOINTS_MAX - 1):
            await made(api, merchant)
        headers = {"Idempotency-Key": "last"}
        answers = [
            await api.call("POST", "/api/webhook-endpoints", {"url": URL}, token=merchant.token, headers=headers)
            for _ in range(2)
        ]
        assert [answer.status for answer in answers] == [201, 201]
        assert answers[0].raw == answers[1].raw


class TestDefault:
    async def test_the_profiles_url_is_an_endpoint(self, api: Api, merchant: Merchant) -> None:
        await set_profile(api, merchant, webhookUrl=URL)
        (endpoint,) = await listed(api, merchant)
        assert (endpoint["id"], endpoint["url"]) == (str(default_endpoint_id(merchant.id)), URL)
        assert (endpoint["isDefault"], endpoint["enabled"], endpoint["eventTypes"]) == (True, True, [])
        secret = secret_of(api, await state_of(api, endpoint["id"]))
        await set_profile(api, merchant, webhookUrl=OTHER)
        (changed,) = await listed(api, merchant)
        assert (changed["id"], changed["url"]) == (endpoint["id"], OTHER)
        await set_profile(api, merchant, name="Another name")
        assert await listed(api, merchant) == [changed]
        await set_profile(api, merchant, webhookUrl=None)
        assert await listed(api, merchant) == []
        await set_profile(api, merchant, webhookUrl=URL)
        (back,) = await listed(api, merchant)
        assert (back["id"], back["url"], back["createdAt"]) == (endpoint["id"], URL, endpoint["createdAt"])
        assert secret_of(api, await state_of(api, back["id"])) == secret

    async def test_a_null_url_where_there_is_none_is_no_error(self, api: Api, merchant: Merchant) -> None:
        assert (await set_profile(api, merchant, webhookUrl=None))["webhookUrl"] is None
        assert await listed(api, merchant) == []

    async def test_the_endpoints_url_is_the_profiles(self, api: Api, merchant: Merchant) -> None:
        await set_profile(api, merchant, webhookUrl=URL)
        path = f"/api/webhook-endpoints/{default_endpoint_id(merchant.id)}"
        (await api.call("PATCH", path, {"url": OTHER, "eventTypes": ["refund.*"]}, token=merchant.token)).must(200)
        assert await profile_url(api, merchant) == OTHER
        (await api.call("PATCH", path, {"enabled": False}, token=merchant.token)).must(200)
        assert await profile_url(api, merchant) == OTHER
        (await api.call("DELETE", path, token=merchant.token)).must(204)
        assert await profile_url(api, merchant) is None
        assert (await api.call("DELETE", path, token=merchant.token)).status == 404

    async def test_its_secret_is_rotated_at_the_profile(self, api: Api, merchant: Merchant) -> None:
        path = "/api/merchants/me/webhook-secret"
        without = await api.call("POST", path, token=merchant.token)
        assert (without.status, without.code) == (400, "validation_error")
        assert "webhookUrl" in without.json["message"]
        await set_profile(api, merchant, webhookUrl=URL)
        headers = {"Idempotency-Key": "one"}
        answers = [await api.call("POST", path, token=merchant.token, headers=headers) for _ in range(2)]
        rotated = answers[0].must(201)
        assert set(rotated) == {"secret", "previousExpiresAt"}
        assert answers[1].raw == answers[0].raw
        assert secret_of(api, await state_of(api, str(default_endpoint_id(merchant.id)))) == rotated["secret"]

    async def test_profile_and_endpoint_agree_whoever_is_faster(self, api: Api, merchant: Merchant) -> None:
        """Each side changes both; whatever the order, they never end up apart."""
        await set_profile(api, merchant, webhookUrl=URL)
        path = f"/api/webhook-endpoints/{default_endpoint_id(merchant.id)}"
        urls = [f"https://shop{number}.example/" for number in range(4)]
        for _ in range(5):
            answers = await asyncio.gather(
                *(api.call("PUT", "/api/me", {"webhookUrl": url}, token=merchant.token) for url in urls),
                *(api.call("PATCH", path, {"url": url}, token=merchant.token) for url in urls),
                api.call("PUT", "/api/me", {"webhookUrl": URL}, token=merchant.token),
            )
            assert {answer.status for answer in answers} <= {200, 409}
            (endpoint,) = await listed(api, merchant)
            assert endpoint["url"] == await profile_url(api, merchant)


async def test_an_open_circuit_is_shown_until_the_endpoint_changes(
    api: Api, merchant: Merchant, test_database: TestDatabase
) -> None:
    endpoint = await made(api, merchant)
    path = f"/api/webhook-endpoints/{endpoint['id']}"
    with psycopg.connect(test_database.app_dsn) as connection:
        connection.execute(
            "INSERT INTO endpoint_health"
            " (endpoint_id, endpoint_version, consecutive_failures, failing_since, open_until)"
            " VALUES (%s, 1, 10, now(), now() + interval '30 seconds')",
            (endpoint["id"],),
        )
    (shown,) = await listed(api, merchant)
    assert shown["circuit"]["state"] == "open"
    assert shown["circuit"]["openUntil"] > shown["createdAt"]
    same = (await api.call("PATCH", path, {"enabled": True}, token=merchant.token)).must(200)
    assert same["circuit"] == shown["circuit"], "nothing changed, so it is spared as before"
    changed = (await api.call("PATCH", path, {"url": OTHER}, token=merchant.token)).must(200)
    assert changed["circuit"] == {"state": "closed", "openUntil": None}
    assert (await listed(api, merchant))[0]["circuit"]["state"] == "closed"
