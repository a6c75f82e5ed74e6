"""Rolling an API key: a new one like it, and the old one's end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from payloops.values import iso, new_id
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api

SAME = {"X-Correlation-ID": "the-same"}


async def roll(api: Api, merchant: Merchant, body: Any = None, *, key_id: str = "", **headers: str) -> Any:
    path = f"/api/api-keys/{key_id or merchant.api_key_id}/roll"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.call("POST", path, body, token=merchant.token, headers=sent)


async def works(api: Api, key: str) -> bool:
    answer = await api.call("GET", "/v1/orders", key=key)
    assert answer.status == 200 or (answer.status, answer.code) == (401, "invalid_api_key")
    return answer.status == 200


async def listed(api: Api, merchant: Merchant) -> dict[str, Any]:
    found = (await api.call("GET", "/api/api-keys", token=merchant.token)).must(200)
    return {key["id"]: key for key in found}


@pytest.mark.parametrize("body", (None, {}, {"overlapSeconds": 0}))
async def test_without_an_overlap_the_old_key_is_refused_at_once_everywhere(
    api: Api, merchant: Merchant, test_database: TestDatabase, body: Any
) -> None:
    async with open_api(test_database) as elsewhere:
        assert await works(elsewhere, merchant.api_key)
        made = (await roll(api, merchant, body)).must(201)
        assert set(made) == {"apiKey", "secret"}
        assert set(made["apiKey"]) == {"id", "name", "prefix", "scopes", "expiresAt", "createdAt"}
        for process in (api, elsewhere):
            assert not await works(process, merchant.api_key)
            assert await works(process, made["secret"])
    keys = await listed(api, merchant)
    assert keys[merchant.api_key_id]["revokedAt"] is not None
    assert keys[made["apiKey"]["id"]]["revokedAt"] is None


@pytest.mark.rewrites_tables
async def test_with_an_overlap_both_work_until_it_is_over(
    api: Api, merchant: Merchant, test_database: TestDatabase
) -> None:
    before = api.services.clock.now()
    made = (await roll(api, merchant, {"overlapSeconds": 604_800})).must(201)
    assert await works(api, merchant.api_key)
    assert await works(api, made["secret"])
    ends = (await listed(api, merchant))[merchant.api_key_id]["expiresAt"]
    assert iso(before + timedelta(days=7)) <= ends <= iso(api.services.clock.now() + timedelta(days=7))
    with psycopg.connect(test_database.owner_dsn, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (merchant.api_key_id,))
    assert not await works(api, merchant.api_key)
    assert await works(api, made["secret"])


async def test_the_new_key_is_like_the_old_one(api: Api, merchant: Merchant) -> None:
    ends = api.services.clock.now() + timedelta(hours=1)
    old = await api.new_key(merchant.token, name="Mine", mode="live", scopes=["orders:read"], expiresAt=iso(ends))
    made = (await roll(api, merchant, key_id=old["apiKey"]["id"])).must(201)
    assert (made["apiKey"]["name"], made["apiKey"]["scopes"]) == ("Mine", ["orders:read"])
    assert made["apiKey"]["expiresAt"] >= old["apiKey"]["expiresAt"]
    assert made["secret"].startswith("sk_live_")
    assert (await api.call("POST", "/v1/orders", {"amount": 1}, key=made["secret"])).status == 403


@pytest.mark.parametrize("overlap", (-1, 604_801, 1.5, "60", True))
async def test_overlaps_that_are_none_change_nothing(api: Api, merchant: Merchant, overlap: Any) -> None:
    answer = await roll(api, merchant, {"overlapSeconds": overlap})
    assert (answer.status, answer.json["param"]) == (400, "overlapSeconds")
    assert await works(api, merchant.api_key)
    assert len(await listed(api, merchant)) == 1


async def test_only_a_key_that_holds_is_rolled(api: Api, merchant: Merchant) -> None:
    (await roll(api, merchant)).must(201)
    again = await roll(api, merchant)
    assert (again.status, again.code) == (400, "invalid_status")
    other = await api.merchant()
    bodies = {
        (await roll(api, merchant, key_id=key_id, **SAME)).raw for key_id in (other.api_key_id, "x", str(new_id()))
    }
    assert len(bodies) == 1
    assert (await roll(api, merchant, key_id=other.api_key_id)).status == 404
    assert await works(api, other.api_key)


async def test_a_roll_that_is_sent_again_gives_the_same_key(api: Api, merchant: Merchant) -> None:
    first = await roll(api, merchant, Idempotency_Key="roll-1")
    again = await roll(api, merchant, Idempotency_Key="roll-1")
    assert again.must(201) == first.must(201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await listed(api, merchant)) == 2
