"""Accounts, API keys, processors and orders of the dashboard."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from payloops.projections.personal_data import open_credentials
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api

ACCOUNT = {"name": "  Jane's Shop ", "email": "Jane@Shop.Example", "password": "correct horse"}
PROFILE_FIELDS = {"id", "name", "email", "webhookUrl", "createdAt", "updatedAt"}


async def register(api: Api, **fields: object) -> Any:
    return await api.call("POST", "/api/auth/register", ACCOUNT | fields)


async def test_register_and_login(api: Api) -> None:
    made = (await register(api)).must(201)
    assert set(made) == {"token", "merchant"}
    assert set(made["merchant"]) == PROFILE_FIELDS
    assert (made["merchant"]["name"], made["merchant"]["email"]) == ("Jane's Shop", "Jane@Shop.Example")
    assert made["merchant"]["webhookUrl"] is None
    body = {"email": " jane@shop.example", "password": ACCOUNT["password"]}
    answer = (await api.call("POST", "/api/auth/login", body)).must(200)
    assert answer["merchant"] == made["merchant"]
    for token in (made["token"], answer["token"]):
        for path in ("/api/me", "/api/merchants/me"):
            assert (await api.call("GET", path, token=token)).must(200) == made["merchant"]


SAME_ADDRESSES = (
    *("jane@shop.example", "JANE@SHOP.EXAMPLE", "ｊａｎｅ@shop.example", "jane@shop.example.", " jane@SHOP.example\t"),
    "jane＠shop．example",
)


@pytest.mark.parametrize("email", SAME_ADDRESSES)
async def test_one_address_is_one_account(api: Api, email: str) -> None:
    (await register(api)).must(201)
    answer = await register(api, email=email)
    assert (answer.status, answer.code) == (400, "email_exists")
    assert answer.json["param"] == "email"


async def test_international_domains_are_one_account(api: Api) -> None:
    (await register(api, email="jané@münchen.example")).must(201)
    assert (await register(api, email="JANE\u0301@xn--mnchen-3ya.example")).code == "email_exists"
    body = {"email": "jané@MÜNCHEN.example", "password": ACCOUNT["password"]}
    (await api.call("POST", "/api/auth/login", body)).must(200)


async def test_fifty_registrations_of_one_address_are_one_account(api: Api) -> None:
    answers = await asyncio.gather(*(register(api) for _ in range(20)))
    made = [answer for answer in answers if answer.status == 201]
    assert len(made) == 1
    assert {answer.code for answer in answers if answer.status == 400} == {"email_exists"}


@pytest.mark.parametrize(
    ("fields", "param"),
    (
        ({"name": "x"}, "name"),
        ({"name": "  x  "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"email": "no"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": f"{'a' * 65}@b.example"}, "email"),
        ({"email": "a@-b-.example"}, "email"),
        ({"email": None}, "email"),
        ({"email": "a b@c.example"}, "email"),
        ({"email": "a@b@c.example"}, "email"),
        ({"email": "a@" + "b" * 300 + ".example"}, "email"),
        ({"email": "x" * 60000}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": 12345678}, "password"),
    ),
)
async def test_bad_accounts_are_refused(api: Api, fields: dict[str, Any], param: str) -> None:
    answer = await register(api, **fields)
    assert (answer.status, answer.code, answer.json["param"]) == (400, "validation_error", param)


async def test_long_and_odd_passwords_work(api: Api) -> None:
    password = "ü" * 127 + "\N{SNOWMAN}"
    (await register(api, password=password)).must(201)
    login = {"email": ACCOUNT["email"], "password": password}
    (await api.call("POST", "/api/auth/login", login)).must(200)
    for wrong in ("ü" * 128, password[:-1], password + "x", ""):
        answer = await api.call("POST", "/api/auth/login", login | {"password": wrong})
        assert (answer.status, answer.code) == (401, "invalid_credentials")


async def test_a_login_does_not_tell_whether_the_address_is_known(api: Api) -> None:
    (await register(api)).must(201)
    headers = {"X-Correlation-ID": "same"}
    answers = [
        await api.call("POST", "/api/auth/login", {"email": email, "password": "wrong"}, headers=headers)
        for email in (ACCOUNT["email"], "nobody@shop.example", "no address", "x" * 5000, "a@b@c", "")
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.raw for answer in answers}) == 1
    assert (await api.call("POST", "/api/auth/login", {"email": 1, "password": "x"})).status == 400


async def test_the_profile_can_be_changed(api: Api, merchant: Merchant) -> None:
    before = (await api.call("GET", "/api/me", token=merchant.token)).must(200)
    body = {"name": "New name", "webhookUrl": "https://shop.example/hooks", "email": "stolen@shop.example", "id": "x"}
    after = (await api.call("PUT", "/api/merchants/me", body, token=merchant.token)).must(200)
    assert after == before | {
        "name": "New name",
        "webhookUrl": "https://shop.example/hooks",
        "updatedAt": after["updatedAt"],
    }
    unchanged = (await api.call("PUT", "/api/me", token=merchant.token)).must(200)
    assert unchanged == after
    cleared = (await api.call("PUT", "/api/me", {"webhookUrl": None}, token=merchant.token)).must(200)
    assert (cleared["name"], cleared["webhookUrl"]) == ("New name", None)
    assert (await api.call("GET", "/api/me", token=merchant.token)).must(200) == cleared
    for url in ("ftp://shop.example", "x", 7, "https://u:p@shop.example"):
        answer = await api.call("PUT", "/api/me", {"webhookUrl": url}, token=merchant.token)
        assert (answer.status, answer.json["param"]) == (400, "webhookUrl")


async def test_production_takes_webhooks_by_https_only(test_database: TestDatabase) -> None:
    settings = {
        "PAYLOOPS_ENV": "production",
        "DATABASE_URL": test_database.app_dsn,
        "TEMPORAL_ADDRESS": "127.0.0.1:7233",
        "JWT_SECRET": "Zq8v3nRkT1xWm5LbYc7dHj2sFg9pUa4eKo6i",
        "ENCRYPTION_KEY": "Xw2c9VbN4mQz7LkJ1hGf6dSa3pOi8uYt5rEw",
        "PUBLIC_URL": "https://pay.example.com",
    }
    async with open_api(test_database, **settings) as api:
        merchant = await api.merchant()
        plain = await api.call("PUT", "/api/me", {"webhookUrl": "http://shop.example"}, token=merchant.token)
        assert (plain.status, plain.json["param"]) == (400, "webhookUrl")
        assert plain.headers["Strict-Transport-Security"].startswith("max-age=")
        (await api.call("PUT", "/api/me", {"webhookUrl": "https://shop.example"}, token=merchant.token)).must(200)


async def test_api_keys_are_listed_without_their_secret(api: Api, merchant: Merchant) -> None:
    made = await api.new_key(merchant.token, name="Second", scopes=["orders:read"], mode="live")
    assert set(made["apiKey"]) == {"id", "name", "prefix", "scopes", "expiresAt", "createdAt"}
    listed = await api.call("GET", "/api/api-keys", token=merchant.token)
    keys = listed.must(200)
    assert [key["name"] for key in keys] == ["Second", "key"]
    assert set(keys[0]) == set(made["apiKey"]) | {"lastUsedAt", "revokedAt"}
    assert made["secret"].encode() not in listed.raw
    assert keys[0]["prefix"].encode() not in made["secret"][20:].encode()
    (await api.call("DELETE", f"/api/api-keys/{made['apiKey']['id']}", token=merchant.token)).must(204)
    again = await api.call("DELETE", f"/api/api-keys/{made['apiKey']['id']}", token=merchant.token)
    assert (again.status, again.raw) == (204, b"")
    (revoked, _) = (await api.call("GET", "/api/api-keys", token=merchant.token)).must(200)
    assert revoked["revokedAt"] is not None


@pytest.mark.parametrize(
    ("fields", "param"),
    (
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": None}, "name"),
        ({"scopes": ["orders:delete"]}, "scopes.0"),
        ({"scopes": "orders:read"}, "scopes"),
        ({"mode": "prod"}, "mode"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "soon"}, "expiresAt"),
        ({"expiresAt": 5}, "expiresAt"),
    ),
)
async def test_bad_api_keys_are_refused(api: Api, merchant: Merchant, fields: dict[str, Any], param: str) -> None:
    answer = await api.call("POST", "/api/api-keys", {"name": "k"} | fields, token=merchant.token)
    assert (answer.status, answer.json["param"]) == (400, param)


async def test_processors_are_set_and_never_shown(api: Api, merchant: Merchant, test_database: TestDatabase) -> None:
    body = {"credentials": {"secretKey": "sk_test_secret1", "webhookSecret": "whsec_1", "other": 1}, "priority": 2}
    first = await api.call("POST", "/api/processors/stripe", body, token=merchant.token)
    config = first.must(200)
    assert set(config) == {*("id", "processor", "enabled", "priority", "testMode", "createdAt", "updatedAt"), "webhook"}
    assert config["webhook"] == {
        "status": "configured",
        "url": f"http://127.0.0.1:3000/webhooks/stripe/{merchant.id}",
        "message": "Events signed with this webhookSecret are taken.",
    }
    assert (config["processor"], config["enabled"], config["priority"], config["testMode"]) == ("stripe", True, 2, True)
    again_body = {"processor": "stripe", "credentials": {"secretKey": "sk_test_secret2"}, "enabled": False}
    again = (await api.call("POST", "/api/processors", again_body, token=merchant.token)).must(200)
    assert (again["id"], again["enabled"], again["priority"]) == (config["id"], False, 1)
    razorpay = {"credentials": {"keyId": "rzp_test_1", "keySecret": "secret3"}}
    (await api.call("POST", "/api/processors/razorpay", razorpay, token=merchant.token)).must(200)
    listed = await api.call("GET", "/api/processors", token=merchant.token)
    assert [each["processor"] for each in listed.must(200)] == ["razorpay", "stripe"]
    for answer in (first, listed):
        assert b"sk_test" not in answer.raw
        assert b"whsec" not in answer.raw
    with psycopg.connect(test_database.app_dsn) as connection:
        rows = connection.execute("SELECT processor, credentials FROM processor_configs").fetchall()
        (events,) = connection.execute("SELECT string_agg(state::text, '') FROM stored_events").fetchall()
    assert "secret" not in str(rows)
    assert b"secret3".hex() not in events[0]
    opened = {name: open_credentials(api.services.ring, merchant.id, name, sealed) for name, sealed in rows}
    assert opened == {
        "stripe": {"secretKey": "sk_test_secret2"},
        "razorpay": {"keyId": "rzp_test_1", "keySecret": "secret3"},
    }


async def test_processor_flags_change_and_go(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    path = "/api/processors/stripe"
    changed = (await api.call("PATCH", path, {"enabled": False, "priority": 100}, token=merchant.token)).must(200)
    assert (changed["enabled"], changed["priority"], changed["testMode"]) == (False, 100, True)
    same = (await api.call("PATCH", path, {"testMode": None}, token=merchant.token)).must(200)
    assert same == changed
    assert "webhook" not in same
    (await api.call("DELETE", path, token=merchant.token)).must(204)
    assert (await api.call("DELETE", path, token=merchant.token)).status == 404
    assert (await api.call("PATCH", path, {}, token=merchant.token)).status == 404
    assert (await api.call("GET", "/api/processors", token=merchant.token)).must(200) == []


BAD_PROCESSORS: tuple[tuple[str, object, str, str], ...] = (
    ("/stripe", {}, "validation_error", "credentials"),
    ("/stripe", {"credentials": {}}, "validation_error", "credentials.secretKey"),
    ("/stripe", {"credentials": {"secretKey": "a b"}}, "validation_error", "credentials.secretKey"),
    ("/stripe", {"credentials": {"secretKey": "a\r\nX: y"}}, "validation_error", "credentials.secretKey"),
    ("/razorpay", {"credentials": {"keyId": "x"}}, "validation_error", "credentials.keySecret"),
    ("/stripe", {"credentials": {"secretKey": "x"}, "priority": 0}, "validation_error", "priority"),
    ("/stripe", {"credentials": {"secretKey": "x"}, "priority": 101}, "validation_error", "priority"),
    ("/stripe", {"credentials": {"secretKey": "x"}, "enabled": "yes"}, "validation_error", "enabled"),
    ("/paypal", {"credentials": {}}, "invalid_processor", "processor"),
    ("", {"credentials": {}}, "invalid_processor", "processor"),
    ("", {"processor": ["stripe"], "credentials": {}}, "invalid_processor", "processor"),
)


@pytest.mark.parametrize("bad", BAD_PROCESSORS)
async def test_bad_processors_are_refused(api: Api, merchant: Merchant, bad: tuple[str, object, str, str]) -> None:
    path, body, code, param = bad
    answer = await api.call("POST", f"/api/processors{path}", body, token=merchant.token)
    assert (answer.status, answer.code, answer.json["param"]) == (400, code, param)


async def test_orders_page_by_number(api: Api, merchant: Merchant) -> None:
    made = [await api.new_order(merchant, externalId=f"n{n}", description=f"100% d_{n}") for n in range(5)]
    (await api.call("POST", f"/v1/orders/{made[0]['id']}/cancel", key=merchant.api_key)).must(200)

    async def page(query: str) -> Any:
        return (await api.call("GET", f"/api/orders?{query}", token=merchant.token)).must(200)

    second = await page("page=2&limit=2")
    assert [order["externalId"] for order in second["data"]] == ["n2", "n1"]
    assert second["pagination"] == {"page": 2, "limit": 2, "total": 5, "totalPages": 3}
    assert (await page("page=9&limit=2"))["data"] == []
    assert (await page("page=9&limit=2"))["pagination"]["total"] == 5
    assert (await page("status=cancelled"))["pagination"]["total"] == 1
    assert (await page("q=N3"))["data"][0]["externalId"] == "n3"
    assert (await page("q=100%25"))["pagination"]["total"] == 5
    assert (await page("q=D_1"))["pagination"]["total"] == 1
    assert (await page("q=%25"))["pagination"]["total"] == 5
    assert (await page("q=zzz"))["pagination"] == {"page": 1, "limit": 20, "total": 0, "totalPages": 0}
    assert (await page(f"q={made[4]['id']}"))["data"][0]["id"] == made[4]["id"]
    assert (await page(f"from={made[3]['createdAt']}"))["pagination"]["total"] == 2
    assert (await page(f"to={made[3]['createdAt']}"))["pagination"]["total"] == 3
    one = await api.call("GET", f"/api/orders/{made[4]['id']}", token=merchant.token)
    assert {name: one.must(200)[name] for name in made[4]} == made[4]
    for query in ("page=0", "page=-1", "page=x", "limit=0", "limit=101", "status=x", "from=x", "q=%00"):
        answer = await api.call("GET", f"/api/orders?{query}", token=merchant.token)
        assert (answer.status, answer.code) == (400, "validation_error")


async def test_personal_data_is_gone_with_its_key(api: Api, merchant: Merchant, test_database: TestDatabase) -> None:
    order = await api.new_order(merchant, customerEmail="jane@customer.example")
    with psycopg.connect(test_database.app_dsn) as connection:
        rows = connection.execute("SELECT state::text FROM stored_events").fetchall()
        rows += connection.execute("SELECT orders::text FROM orders").fetchall()
        rows += connection.execute("SELECT merchants::text FROM merchants").fetchall()
    assert b"jane@customer".hex() not in str(rows)
    assert "jane@customer" not in str(rows)
    assert merchant.email not in str(rows)
    await api.services.personal.destroy(merchant.id)
    assert (await api.order(merchant, order["id"]))["customerEmail"] is None
    assert (await api.call("GET", "/api/me", token=merchant.token)).must(200)["email"] is None
    answer = await api.call("POST", "/v1/orders", {"amount": 1, "customerEmail": "a@b.example"}, key=merchant.api_key)
    assert answer.status == 400
    (await api.call("POST", "/v1/orders", {"amount": 1}, key=merchant.api_key)).must(201)
