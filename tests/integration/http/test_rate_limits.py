"""Limits: exact for all processes where they guard passwords, in any window, and before any hash."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import psycopg
import pytest

from payloops.commands.handlers import CommandHandler
from payloops.crypto import HashingPool
from payloops.db import Database
from payloops.http.rate_limits import AUTH_REQUESTS_PER_ADDRESS, LOGINS_PER_ACCOUNT, WINDOW_S
from payloops.http.routes import routes
from payloops.projections.rate_limits import SharedRateLimits
from payloops.projections.views import Views
from tests.databases import TestDatabase
from tests.integration.http.world import PASSWORD, Answer, Api, Merchant, from_address, open_api

AUTH_ROUTES = tuple(route for route in routes() if route.path.startswith("/api/auth/"))


class Hashes:
    """Counts what is verified by bcrypt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        verify = HashingPool.verify_password

        async def counted(pool: HashingPool, password: str, hashed: str | None) -> bool:
            self.count += 1
            return await verify(pool, password, hashed)

        monkeypatch.setattr(HashingPool, "verify_password", counted)


async def login(api: Api, email: str, password: str = "wrong password", *, address: int) -> Answer:
    body = {"email": email, "password": password}
    return await api.call("POST", "/api/auth/login", body, headers=from_address(address))


def require_refusal(answer: Answer, policy: str, limit: int) -> int:
    """The seconds after which to come again."""
    assert (answer.status, answer.code, answer.json["retryable"]) == (429, "rate_limited", True)
    wait_s = int(answer.headers["Retry-After"])
    assert 1 <= wait_s <= WINDOW_S
    assert answer.headers["RateLimit-Policy"] == f'"{policy}";q={limit};w={WINDOW_S}'
    assert answer.headers["RateLimit"] == f'"{policy}";r=0;t={wait_s}'
    return wait_s


@pytest.mark.parametrize("known", (True, False))
async def test_an_account_is_tried_ten_times_from_wherever(
    api: Api, merchant: Merchant, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = Hashes(monkeypatch)
    email = merchant.email if known else "nobody@shop.example"
    spellings = (email, email.upper(), f" {email}", f"{email}.")
    answers = [await login(api, spellings[n % 4], address=2000 + n) for n in range(LOGINS_PER_ACCOUNT + 3)]
    assert [answer.status for answer in answers] == [401] * LOGINS_PER_ACCOUNT + [429] * 3
    for answer in answers[LOGINS_PER_ACCOUNT:]:
        require_refusal(answer, "login", LOGINS_PER_ACCOUNT)
    assert hashes.count == LOGINS_PER_ACCOUNT
    # The right password too, but no other account.
    assert (await login(api, email, PASSWORD, address=2100)).status == 429
    other = await api.merchant()
    (await login(api, other.email, PASSWORD, address=2100)).must(200)


async def test_what_is_no_address_has_limits_of_its_own(api: Api) -> None:
    statuses = [(await login(api, "mistyped", address=2200 + n)).status for n in range(LOGINS_PER_ACCOUNT + 1)]
    assert statuses == [401] * LOGINS_PER_ACCOUNT + [429]
    assert (await login(api, "otherwise mistyped", address=2230)).status == 401


async def test_guessing_at_the_password_with_a_token_counts_as_signing_in(api: Api, merchant: Merchant) -> None:
    body = {"currentPassword": "wrong password", "newPassword": "long enough"}
    for n in range(LOGINS_PER_ACCOUNT):
        answer = await api.call(
            "POST", "/api/auth/password", body, token=merchant.token, headers=from_address(2300 + n)
        )
        assert (answer.status, answer.code) == (401, "invalid_credentials")
    answer = await api.call("POST", "/api/auth/password", body, token=merchant.token, headers=from_address(2350))
    require_refusal(answer, "login", LOGINS_PER_ACCOUNT)
    assert (await login(api, merchant.email, PASSWORD, address=2351)).status == 429


@pytest.mark.parametrize("route", AUTH_ROUTES, ids=lambda route: route.name)
async def test_an_address_makes_thirty_requests_of_whatever_kind(
    api: Api, route: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = Hashes(monkeypatch)
    bodies = (b"{}", b"{", b"[]", b'{"email": 1}')
    here = from_address(2400)
    answers = [
        await api.call(route.method, route.path, data=bodies[n % 4], headers=here)
        for n in range(AUTH_REQUESTS_PER_ADDRESS)
    ]
    assert {answer.status for answer in answers} <= {400, 401}
    for each in AUTH_ROUTES:
        require_refusal(await api.call(each.method, each.path, data=b"{}", headers=here), "auth", 30)
    assert hashes.count == 0
    # Others, and all other calls, go on.
    assert (await api.call(route.method, route.path, data=b"{}", headers=from_address(2401))).status in {400, 401}
    assert (await api.call("GET", "/api/me", headers=here)).status == 401


async def test_without_trusted_proxies_the_header_is_worth_nothing(test_database: TestDatabase) -> None:
    async with open_api(test_database, TRUSTED_PROXIES="") as api:
        answers = [
            await login(api, f"a{n}@shop.example", address=2500 + n) for n in range(AUTH_REQUESTS_PER_ADDRESS + 1)
        ]
    assert [answer.status for answer in answers] == [401] * AUTH_REQUESTS_PER_ADDRESS + [429]


async def test_an_ipv6_network_is_one_address(api: Api) -> None:
    async def from_host(host: int) -> int:
        headers = {"X-Forwarded-For": f"198.51.100.9, 2001:db8:5:6::{host:x}"}
        return (await api.call("POST", "/api/auth/login", {}, headers=headers)).status

    assert [await from_host(host) for host in range(AUTH_REQUESTS_PER_ADDRESS + 1)] == [400] * 30 + [429]


async def test_processes_share_their_limits_to_the_one_and_so_do_later_ones(test_database: TestDatabase) -> None:
    async with open_api(test_database) as first, open_api(test_database) as second:
        here = from_address(2600)
        answers = await asyncio.gather(
            *((first, second)[n % 2].call("POST", "/api/auth/login", {}, headers=here) for n in range(80))
        )
        assert Counter(answer.status for answer in answers) == {400: AUTH_REQUESTS_PER_ADDRESS, 429: 50}
        answers = await asyncio.gather(
            *(login((first, second)[n % 2], "nobody@shop.example", address=2700 + n) for n in range(40))
        )
        assert Counter(answer.status for answer in answers) == {401: LOGINS_PER_ACCOUNT, 429: 30}
    async with open_api(test_database) as third:
        assert (await third.call("POST", "/api/auth/login", {}, headers=here)).status == 429


def later(database: TestDatabase, by_s: float) -> None:
    """As if so much time had passed."""
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "UPDATE rate_limits SET hits = array(SELECT h - %(by)s * interval '1 second' FROM unnest(hits)"
            " WITH ORDINALITY AS u (h, n) ORDER BY n), expires_at = expires_at - %(by)s * interval '1 second'",
            {"by": by_s},
        )


async def test_no_window_holds_more_wherever_it_begins(database: Database, test_database: TestDatabase) -> None:
    limits = SharedRateLimits(database)

    async def take(times: int) -> list[bool]:
        return [(await limits.take("b", limit=10, window_s=60)).allowed for _ in range(times)]

    assert await take(4) == [True] * 4
    later(test_database, 55)
    assert await take(8) == [True] * 6 + [False] * 2
    refused = await limits.take("b", limit=10, window_s=60)
    assert (refused.allowed, refused.remaining, refused.wait_s) == (False, 0, 5)
    # The border of a minute lies between; only the first four have left the window.
    later(test_database, 10)
    assert await take(6) == [True] * 4 + [False] * 2
    later(test_database, 49)
    assert await take(1) == [False]
    later(test_database, 1.5)
    assert await take(8) == [True] * 6 + [False] * 2


async def test_a_refusal_writes_nothing_and_old_rows_go(database: Database, test_database: TestDatabase) -> None:
    limits = SharedRateLimits(database)
    await limits.take("b", limit=1, window_s=60)

    def rows() -> list[Any]:
        with psycopg.connect(test_database.owner_dsn, autocommit=True) as connection:
            return connection.execute(
                "SELECT bucket, xmin::text, xmax::text FROM rate_limits ORDER BY bucket"
            ).fetchall()

    before = rows()
    for _ in range(3):
        assert not (await limits.take("b", limit=1, window_s=60)).allowed
    assert rows() == before
    for n in range(25):
        await limits.take(f"old-{n}", limit=5, window_s=60)
    later(test_database, 61)
    for n in range(3):
        await limits.take(f"new-{n}", limit=5, window_s=60)
    assert [bucket for bucket, _, _ in rows()] == ["new-0", "new-1", "new-2"]


async def test_a_limit_that_was_lowered_counts_at_once(database: Database) -> None:
    limits = SharedRateLimits(database)
    for _ in range(5):
        assert (await limits.take("b", limit=10, window_s=60)).allowed
    refused = await limits.take("b", limit=3, window_s=60)
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert 58 <= refused.wait_s <= 60
    assert (await limits.take("b", limit=10, window_s=60)).remaining == 4


async def test_each_api_key_has_its_bucket(test_database: TestDatabase) -> None:
    async with open_api(test_database, API_KEY_REQUESTS_PER_MIN="6") as api:
        merchant = await api.merchant()
        other = await api.new_key(merchant.token)
        answers = [await api.call("GET", "/v1/orders", key=merchant.api_key) for _ in range(8)]
        assert [answer.status for answer in answers] == [200] * 6 + [429] * 2
        assert 1 <= require_refusal(answers[-1], "api-key", 6) <= 10
        (await api.call("GET", "/v1/orders", key=other["secret"])).must(200)
        (await api.call("GET", "/api/me", token=merchant.token)).must(200)
        # Verified anew, a key is still the same key.
        api.services.key_cache.clear()
        assert (await api.call("GET", "/v1/orders", key=merchant.api_key)).status == 429


async def test_junk_keys_cost_neither_a_query_nor_a_hash(
    api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("asked for a key that can't be one")

    monkeypatch.setattr(Views, "api_key", never)
    monkeypatch.setattr(HashingPool, "verify", never)
    monkeypatch.setattr(CommandHandler, "prove", never)
    real = merchant.api_key
    flipped = real[:-1] + ("A" if real[-1] != "A" else "B")
    for junk in ("", "x", real[:-1], real + "A", flipped, real.swapcase(), real[:20] + "A" * 38, "sk_test_" + "é" * 50):
        answer = await api.call("GET", "/v1/orders", headers={"X-API-Key": junk})
        assert (answer.status, answer.code) == (401, "invalid_api_key")


async def test_a_merchant_makes_so_many_endpoints_a_minute(test_database: TestDatabase) -> None:
    async with open_api(test_database, WEBHOOK_ENDPOINTS_CREATED_PER_MIN="2") as api:
        merchant, other = await api.merchant(), await api.merchant()

        async def make(owner: Merchant, number: int) -> Answer:
            body = {"url": f"https://shop.example/{number}"}
            return await api.call("POST", "/api/webhook-endpoints", body, token=owner.token)

        answers = [await make(merchant, number) for number in range(3)]
        assert [answer.status for answer in answers] == [201, 201, 429]
        require_refusal(answers[-1], "webhook-endpoints", 2)
        (await make(other, 0)).must(201)


async def test_a_merchant_makes_so_many_keys_a_minute(test_database: TestDatabase) -> None:
    async with open_api(test_database, API_KEYS_CREATED_PER_MIN="3") as api:
        merchant = await api.merchant()
        await api.new_key(merchant.token)
        roll = f"/api/api-keys/{merchant.api_key_id}/roll"
        (await api.call("POST", roll, token=merchant.token)).must(201)
        for path in ("/api/api-keys", roll):
            answer = await api.call("POST", path, {"name": "one more"}, token=merchant.token)
            require_refusal(answer, "api-keys", 3)
        await api.merchant()
