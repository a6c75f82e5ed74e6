"""Tokens and passwords: what is revoked is refused from the next request on, by every process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import jwt
import psycopg
import pytest

from payloops.http.routes import routes
from tests.clock import CLOCK
from tests.databases import TestDatabase
from tests.integration.http.world import PASSWORD, SETTINGS, Api, Merchant, from_address, open_api, open_api_at

OTHER_PASSWORD = "battery staple"
DASHBOARD_READS = tuple(route for route in routes() if route.access == "user" and route.method == "GET")


class ClockOff:
    """A clock that is wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return CLOCK.now() + self._by


@pytest.fixture
async def elsewhere(api: Api, test_database: TestDatabase) -> AsyncIterator[Api]:
    """Another process of the same service."""
    async with open_api(test_database) as opened:
        yield opened


async def login(api: Api, merchant: Merchant, password: str = PASSWORD) -> Any:
    return await api.call("POST", "/api/auth/login", {"email": merchant.email, "password": password})


async def change(api: Api, token: str, current: str = PASSWORD, new: str = OTHER_PASSWORD) -> Any:
    body = {"currentPassword": current, "newPassword": new}
    return await api.call("POST", "/api/auth/password", body, token=token, headers=from_address(9000))


async def holds(token: str, *processes: Api) -> bool:
    statuses = set()
    for process in processes:
        answer = await process.call("GET", "/api/me", token=token)
        assert answer.status == 200 or (answer.status, answer.code) == (401, "invalid_token")
        statuses.add(answer.status)
    (status,) = statuses
    return status == 200


async def test_all_that_is_wrong_with_a_registration_is_told_at_once(api: Api) -> None:
    body = {"name": "", "email": "shop.example", "password": "short"}
    error = (await api.call("POST", "/api/auth/register", body, headers=from_address(9001))).must(400)
    assert [each["param"] for each in error["details"]] == ["name", "email", "password"]
    assert error["details"][1]["message"] == "email must be an e-mail address."


@pytest.mark.parametrize("body", (None, {}, {"everywhere": False}, {"everywhere": None}))
async def test_logout_revokes_this_token_only(api: Api, elsewhere: Api, merchant: Merchant, body: Any) -> None:
    other = (await login(api, merchant)).must(200)["token"]
    answer = await api.call("POST", "/api/auth/logout", body, token=merchant.token)
    assert (answer.status, answer.raw) == (204, b"")
    assert not await holds(merchant.token, api, elsewhere)
    assert await holds(other, api, elsewhere)
    assert (await api.call("POST", "/api/auth/logout", body, token=merchant.token)).status == 401


async def test_logout_everywhere_revokes_all_of_the_accounts_and_no_others(
    api: Api, elsewhere: Api, merchant: Merchant
) -> None:
    stranger = await api.merchant()
    other = (await login(elsewhere, merchant)).must(200)["token"]
    assert await holds(other, api, elsewhere)
    answer = await api.call("POST", "/api/auth/logout", {"everywhere": True}, token=merchant.token)
    assert answer.status == 204
    for token in (merchant.token, other):
        assert not await holds(token, api, elsewhere)
    assert await holds((await login(elsewhere, merchant)).must(200)["token"], api, elsewhere)
    assert await holds(stranger.token, api)
    # API keys are credentials of their own.
    (await api.call("GET", "/v1/orders", key=merchant.api_key)).must(200)


@pytest.mark.parametrize("body", ({"everywhere": 1}, {"everywhere": "true"}))
async def test_a_logout_that_is_none_revokes_nothing(api: Api, merchant: Merchant, body: Any) -> None:
    answer = await api.call("POST", "/api/auth/logout", body, token=merchant.token)
    assert (answer.status, answer.json["param"]) == (400, "everywhere")
    assert await holds(merchant.token, api)


async def test_another_password_revokes_every_other_token(api: Api, elsewhere: Api, merchant: Merchant) -> None:
    other = (await login(elsewhere, merchant)).must(200)["token"]
    made = (await change(api, merchant.token)).must(200)
    assert set(made) == {"token"}
    for token in (merchant.token, other):
        assert not await holds(token, api, elsewhere)
    assert await holds(made["token"], api, elsewhere)
    assert (await login(elsewhere, merchant)).code == "invalid_credentials"
    (await login(elsewhere, merchant, OTHER_PASSWORD)).must(200)


async def test_without_the_current_password_nothing_changes(api: Api, merchant: Merchant) -> None:
    refused = await change(api, merchant.token, current="not the password")
    assert (refused.status, refused.code) == (401, "invalid_credentials")
    for new in ("short", "x" * 129):
        refused = await change(api, merchant.token, new=new)
        assert (refused.status, refused.json["param"]) == (400, "newPassword")
    assert (await change(api, merchant.token, current="x" * 500)).status == 401
    assert await holds(merchant.token, api)
    (await login(api, merchant)).must(200)


async def test_of_two_changes_at_once_one_revokes_the_other(api: Api, elsewhere: Api, merchant: Merchant) -> None:
    answers = await asyncio.gather(
        *(change((api, elsewhere)[n % 2], merchant.token, new=f"{OTHER_PASSWORD} {n}") for n in range(6))
    )
    made = [n for n, answer in enumerate(answers) if answer.status == 200]
    assert len(made) == 1
    # Whoever came after it met a revoked token, or a password that was no longer the current one.
    refused = {answer.code for answer in answers if answer.status != 200}
    assert refused <= {"invalid_token", "invalid_credentials"}
    (await login(api, merchant, f"{OTHER_PASSWORD} {made[0]}")).must(200)


@pytest.mark.parametrize("route", DASHBOARD_READS, ids=lambda route: route.name)
async def test_a_revoked_token_reads_nothing(api: Api, merchant: Merchant, route: Any) -> None:
    await api.call("POST", "/api/auth/logout", token=merchant.token)
    path = route.path.replace(":id", merchant.api_key_id).replace(":processor", "stripe")
    answer = await api.call("GET", path, token=merchant.token)
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_revoked_tokens_are_forgotten_once_they_have_expired(
    api: Api, merchant: Merchant, test_database: TestDatabase
) -> None:
    def count() -> int:
        with psycopg.connect(test_database.owner_dsn, autocommit=True) as connection:
            ((found,),) = connection.execute("SELECT count(*) FROM revoked_tokens").fetchall()
            return int(found)

    for _ in range(3):
        token = (await login(api, merchant)).must(200)["token"]
        (await api.call("POST", "/api/auth/logout", token=token)).must(204)
    assert count() == 3
    with psycopg.connect(test_database.owner_dsn, autocommit=True) as connection:
        connection.execute("UPDATE revoked_tokens SET expires_at = now() - interval '1 s'")
    (await api.call("POST", "/api/auth/logout", token=merchant.token)).must(204)
    assert count() == 1


async def test_a_token_ends_by_the_databases_clock(test_database: TestDatabase) -> None:
    """A process that is two hours behind issues tokens of an hour that are over, and takes none for good."""
    async with open_api_at(ClockOff(timedelta(hours=-2)), test_database, JWT_EXPIRES_IN="1h") as behind:
        made = await behind.call(
            "POST", "/api/auth/register", {"name": "Shop", "email": "late@shop.example", "password": PASSWORD}
        )
        assert not await holds(made.must(201)["token"], behind)


async def test_two_secrets_hold_while_one_is_replaced(test_database: TestDatabase) -> None:
    old, new = SETTINGS["JWT_SECRET"], "the next JWT secret of the tests of the length that is wanted"
    async with open_api(test_database, JWT_SECRET=old) as before:
        merchant = await before.merchant()
        async with open_api(test_database, JWT_SECRET=f"{new},{old}") as during:
            assert await holds(merchant.token, before, during)
            newer = (await login(during, merchant)).must(200)["token"]
            kids = [jwt.get_unverified_header(token)["kid"] for token in (merchant.token, newer)]
            assert kids[0] != kids[1]
            async with open_api(test_database, JWT_SECRET=new) as after:
                assert await holds(newer, during, after)
                assert not await holds(merchant.token, after)


async def test_the_profile_has_a_version(api: Api, merchant: Merchant) -> None:
    read = await api.call("GET", "/api/me", token=merchant.token)
    tag = read.headers["ETag"]
    # What is no part of the profile leaves its version.
    await api.with_stripe(merchant)
    await api.new_key(merchant.token)
    assert (await api.call("GET", "/api/me", token=merchant.token)).headers["ETag"] == tag
    wrong = await api.call("PUT", "/api/me", {"name": "New"}, token=merchant.token, headers={"If-Match": '"99"'})
    assert (wrong.status, wrong.code) == (409, "version_conflict")
    done = await api.call("PUT", "/api/me", {"name": "New"}, token=merchant.token, headers={"If-Match": tag})
    assert done.must(200)["name"] == "New"
    assert done.headers["ETag"] != tag
    again = await api.call("GET", "/api/me", token=merchant.token)
    assert (again.must(200), again.headers["ETag"]) == (done.json, done.headers["ETag"])
    late = await api.call("PUT", "/api/me", {"name": "Newer"}, token=merchant.token, headers={"If-Match": tag})
    assert (late.status, late.code) == (409, "version_conflict")
    (await api.call("PUT", "/api/me", {"name": "Newer"}, token=merchant.token, headers={"If-Match": "*"})).must(200)


async def test_passwords_are_nowhere(api: Api, merchant: Merchant, test_database: TestDatabase) -> None:
    (await change(api, merchant.token)).must(200)
    with psycopg.connect(test_database.owner_dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT convert_from(state, 'UTF8') FROM stored_events").fetchall()
        rows += connection.execute("SELECT t::text FROM merchants t").fetchall()
        rows += connection.execute("SELECT t::text FROM rate_limits t").fetchall()
        rows += connection.execute("SELECT t::text FROM idempotency_keys t").fetchall()
    for word in (PASSWORD, OTHER_PASSWORD, "$2b$", merchant.email):
        assert word not in str(rows)
