"""Credentials: the right kind, that still holds, with the right scope."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from uuid import UUID

import jwt
import psycopg
import pytest

from payloops.crypto import api_keys, generate_api_key, hash_secret
from payloops.http.routes import routes
from payloops.http.routing import Route
from payloops.projections.personal_data import seal_key_hash
from payloops.values import iso, new_id
from tests.databases import TestDatabase
from tests.integration.http.world import SETTINGS, Api, Merchant

PROTECTED = tuple(route for route in routes() if route.access != "public")
BY_KEY = tuple(route for route in PROTECTED if route.access == "api_key")
BY_TOKEN = tuple(route for route in PROTECTED if route.access == "user")


def name(route: Route) -> str:
    return route.name


def path_of(route: Route) -> str:
    return route.path.replace(":id", str(new_id())).replace(":processor", "stripe")


@pytest.mark.parametrize("route", PROTECTED, ids=name)
async def test_no_credential_is_401(api: Api, route: Route) -> None:
    answer = await api.call(route.method, path_of(route))
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("ApiKey" if route.access == "api_key" else "Bearer")


@pytest.mark.parametrize("route", PROTECTED, ids=name)
async def test_the_other_kind_of_credential_is_403(api: Api, merchant: Merchant, route: Route) -> None:
    if route.access == "api_key":
        answers = [await api.call(route.method, path_of(route), token=merchant.token)]
    else:
        answers = [
            await api.call(route.method, path_of(route), key=merchant.api_key),
            await api.call(route.method, path_of(route), token=merchant.api_key),
        ]
    assert {(answer.status, answer.code) for answer in answers} == {(403, "forbidden")}


@pytest.mark.parametrize("route", PROTECTED, ids=name)
async def test_a_credential_that_does_not_hold_is_401(api: Api, route: Route) -> None:
    for text in ("x", generate_api_key(live=False).full, "é".encode().decode("latin-1"), "a.b.c"):
        if route.access == "api_key":
            answer = await api.call(route.method, path_of(route), key=text)
            assert (answer.status, answer.code) == (401, "invalid_api_key")
        elif not text.startswith("sk_"):
            answer = await api.call(route.method, path_of(route), token=text)
            assert (answer.status, answer.code) == (401, "invalid_token")


async def test_a_mistyped_key_is_told_from_a_revoked_one(api: Api, merchant: Merchant) -> None:
    key = merchant.api_key
    mistyped = await api.call("GET", "/v1/orders", key=key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert "check digits" in mistyped.must(401)["message"]
    (await api.call("DELETE", f"/api/api-keys/{merchant.api_key_id}", token=merchant.token)).must(204)
    assert "revoked" in (await api.call("GET", "/v1/orders", key=key)).must(401)["message"]


@pytest.mark.parametrize("route", BY_KEY, ids=name)
async def test_a_revoked_key_is_401_from_the_next_request_on(api: Api, merchant: Merchant, route: Route) -> None:
    (await api.call("GET", "/v1/orders", key=merchant.api_key)).must(200)
    (await api.call("DELETE", f"/api/api-keys/{merchant.api_key_id}", token=merchant.token)).must(204)
    # In bodies and queries too that are refused before anything is read or written.
    for path, body in ((path_of(route), b""), (f"{path_of(route)}?limit=0&cursor=x", b'{"amount":0}'), ("bad", b"{")):
        target = path if path != "bad" else path_of(route)
        answer = await api.call(route.method, target, data=body, key=merchant.api_key)
        assert (answer.status, answer.code) == (401, "invalid_api_key")


@pytest.mark.rewrites_tables
async def test_a_key_revoked_in_another_process_is_401_at_once(
    api: Api, merchant: Merchant, test_database: TestDatabase
) -> None:
    order = await api.new_order(merchant)
    with psycopg.connect(test_database.app_dsn) as connection:
        connection.execute("UPDATE api_keys SET revoked_at = now() WHERE id = %s", (merchant.api_key_id,))
    for route in BY_KEY:
        path = route.path.replace(":id", order["id"])
        answer = await api.call(route.method, path, {"amount": 1}, key=merchant.api_key)
        assert (answer.status, answer.code) == (401, "invalid_api_key"), route.name


@pytest.mark.rewrites_tables
async def test_a_key_expires(api: Api, merchant: Merchant, test_database: TestDatabase) -> None:
    soon = iso(api.services.clock.now() + timedelta(hours=1))
    made = await api.new_key(merchant.token, expiresAt=soon)
    assert made["apiKey"]["expiresAt"] == soon
    (await api.call("GET", "/v1/orders", key=made["secret"])).must(200)
    with psycopg.connect(test_database.app_dsn) as connection:
        connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (made["apiKey"]["id"],))
    answer = await api.call("GET", "/v1/orders", key=made["secret"])
    assert (answer.status, answer.code) == (401, "invalid_api_key")
    api.services.key_cache.clear()
    assert (await api.call("GET", "/v1/orders", key=made["secret"])).status == 401


async def test_a_wrong_secret_of_a_known_key_is_401(api: Api, merchant: Merchant) -> None:
    real = merchant.api_key
    body = real[:-16] + "A" * 10
    forged = body + api_keys._check_digits(body)
    for _ in range(2):
        assert (await api.call("GET", "/v1/orders", key=forged)).status == 401
        (await api.call("GET", "/v1/orders", key=real)).must(200)


async def test_many_requests_with_a_fresh_key_verify_it_once(api: Api, merchant: Merchant) -> None:
    answers = await asyncio.gather(*(api.call("GET", "/v1/orders", key=merchant.api_key) for _ in range(60)))
    assert {answer.status for answer in answers} == {200}


async def test_keys_have_their_own_mode(api: Api, merchant: Merchant, test_database: TestDatabase) -> None:
    live = await api.new_key(merchant.token, mode="live")
    assert live["secret"].startswith("sk_live_")
    assert live["apiKey"]["prefix"] == live["secret"][:20]
    order = (await api.call("POST", "/v1/orders", {"amount": 1}, key=live["secret"])).must(201)
    with psycopg.connect(test_database.app_dsn) as connection:
        row = connection.execute("SELECT test_mode FROM orders WHERE id = %s", (order["id"],)).fetchone()
    assert row == (False,)


ALL = {"orders:read", "orders:write", "refunds:read", "refunds:write", "checkout:read", "checkout:write"}
SCOPED: tuple[tuple[list[str] | None, set[str]], ...] = (
    (["orders:read"], {"orders:read", "refunds:read"}),
    (["orders:write"], {"orders:read", "orders:write", "refunds:read"}),
    (["refunds:write"], {"refunds:read", "refunds:write"}),
    (["checkout:read"], {"checkout:read"}),
    (["checkout:write", "checkout:write"], {"checkout:read", "checkout:write"}),
    ([], ALL),
    (None, ALL),
)


@pytest.mark.parametrize(("scopes", "allowed"), SCOPED)
async def test_scopes(api: Api, merchant: Merchant, scopes: list[str] | None, allowed: set[str]) -> None:
    made = await api.new_key(merchant.token, scopes=scopes)
    assert made["apiKey"]["scopes"] == list(dict.fromkeys(scopes or []))
    for route in BY_KEY:
        answer = await api.call(route.method, path_of(route), {"amount": 1}, key=made["secret"])
        if route.scope in allowed:
            assert answer.status in {200, 201, 404} or answer.code == "validation_error", route.name
        else:
            assert (answer.status, answer.code) == (403, "forbidden"), route.name


async def test_tokens_that_were_not_issued_so_are_401(api: Api, merchant: Merchant) -> None:
    header, payload, signature = merchant.token.split(".")
    claims = jwt.decode(merchant.token, options={"verify_signature": False})
    secret = SETTINGS["JWT_SECRET"]
    kid = jwt.get_unverified_header(merchant.token)["kid"]
    without_exp = {name: value for name, value in claims.items() if name != "exp"}
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode()).rstrip(b"=").decode()
    forged = (
        f"{none}.{payload}.",
        f"{header}.{payload}.{signature[:-2]}AA",
        f"{header}.{payload[:-1]}.{signature}",
        jwt.encode(claims, secret, "HS512", headers={"kid": kid}),
        jwt.encode(without_exp, secret, "HS256", headers={"kid": kid}),
        jwt.encode(claims | {"exp": 1}, secret, "HS256", headers={"kid": kid}),
        jwt.encode(claims | {"aud": "other"}, secret, "HS256", headers={"kid": kid}),
        jwt.encode(claims | {"iss": "other"}, secret, "HS256", headers={"kid": kid}),
        jwt.encode(claims | {"ver": 1}, secret, "HS256", headers={"kid": kid}),
        jwt.encode(claims, secret, "HS256", headers={"kid": "00000000"}),
        jwt.encode(claims, "another secret of at least 32 characters", "HS256", headers={"kid": kid}),
        jwt.encode(claims | {"sub": str(new_id())}, secret, "HS256", headers={"kid": kid}),
    )
    for token in forged:
        answer = await api.call("GET", "/api/me", token=token)
        assert (answer.status, answer.code) == (401, "invalid_token")
    (await api.call("GET", "/api/me", headers={"Authorization": f"bEaReR  {merchant.token}"})).must(200)
    assert (await api.call("GET", "/api/me", headers={"Authorization": f"Basic {merchant.token}"})).status == 401


async def test_the_last_use_of_a_key_is_shown(api: Api, merchant: Merchant) -> None:
    async def last_used() -> str | None:
        (key,) = (await api.call("GET", "/api/api-keys", token=merchant.token)).must(200)
        return key["lastUsedAt"]  # type: ignore[no-any-return]

    assert await last_used() is None
    await api.new_order(merchant)
    await api.services.key_uses.flush()
    first = await last_used()
    assert first is not None
    await api.new_order(merchant)
    await api.services.key_uses.flush()
    later = await last_used()
    assert later is not None
    assert later >= first


async def test_an_api_key_belongs_into_its_own_header(api: Api, merchant: Merchant) -> None:
    for headers in ({"Authorization": f"Bearer {merchant.api_key}"}, {"Authorization": "Basic eDp5"}):
        answer = await api.call("GET", "/v1/orders", headers=headers)
        assert (answer.status, answer.code) == (401, "unauthorized")
    both = await api.call("GET", "/v1/orders", key=merchant.api_key, token=merchant.token)
    both.must(200)
    (await api.call("GET", "/api/me", key=merchant.api_key, token=merchant.token)).must(200)


async def test_a_key_of_the_other_mode_is_another_key(api: Api, merchant: Merchant) -> None:
    body = merchant.api_key.replace("sk_test_", "sk_live_")[:-6]
    answer = await api.call("GET", "/v1/orders", key=body + api_keys._check_digits(body))
    assert (answer.status, answer.code) == (401, "invalid_api_key")


@pytest.mark.rewrites_tables
async def test_guessing_at_one_key_leaves_the_threads_to_the_others(
    api: Api, merchant: Merchant, test_database: TestDatabase
) -> None:
    # A hash that takes as long as a real one does.
    slow = seal_key_hash(api.services.ring, merchant.id, UUID(merchant.api_key_id), hash_secret(merchant.api_key, 10))
    with psycopg.connect(test_database.app_dsn) as connection:
        connection.execute("UPDATE api_keys SET secret_hash = %s WHERE id = %s", (slow, merchant.api_key_id))

    def guess(number: int) -> str:
        body = merchant.api_key[:20] + f"{number:032d}"
        return body + api_keys._check_digits(body)

    answers = await asyncio.gather(*(api.call("GET", "/v1/orders", key=guess(number)) for number in range(50)))
    assert {answer.status for answer in answers} == {401, 503}
    (await api.call("GET", "/v1/orders", key=merchant.api_key)).must(200)
    # The real key was verified: a wrong one costs no hash any more.
    answers = await asyncio.gather(*(api.call("GET", "/v1/orders", key=guess(number)) for number in range(50)))
    assert {answer.status for answer in answers} == {401}
