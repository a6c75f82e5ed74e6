"""Headers of which there may be one, sent twice: two credentials are none, whichever stands first or is known."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from payloops.crypto import generate_api_key
from tests.databases import TestDatabase
from tests.integration.http.raw import RawAnswer, wire
from tests.integration.http.test_metrics import TOKEN
from tests.integration.http.world import Api, Merchant, open_api


async def ask(api: Api, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> RawAnswer:
    lines = [("Host", "x"), *headers]
    if body:
        lines += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    async with wire(api.port) as connection:
        await connection.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return await connection.answer()


def verdict(answer: RawAnswer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def test_two_api_keys_are_none_whether_one_was_verified_or_not(api: Api, merchant: Merchant) -> None:
    own, other = merchant.api_key, generate_api_key(live=False).full
    pairs = ((own, own), (own, other), (other, own), (own, ""), ("", own))

    async def verdicts() -> set[tuple[int, str]]:
        answers = [await ask(api, "GET", "/v1/orders", [("X-API-Key", one), ("x-api-key", two)]) for one, two in pairs]
        assert {answer.json["message"] for answer in answers} == {"Send one X-API-Key header; this request has 2."}
        return {verdict(answer) for answer in answers}

    assert await verdicts() == {(401, "invalid_api_key")}
    assert (await ask(api, "GET", "/v1/orders", [("X-API-Key", own)])).status == 200
    # Now the key is known: that must not let the first of two pass.
    assert await verdicts() == {(401, "invalid_api_key")}
    assert (await ask(api, "GET", "/v1/orders", [("X-API-Key", own)])).status == 200


async def test_two_tokens_are_none(api: Api, merchant: Merchant) -> None:
    own, junk = f"Bearer {merchant.token}", "Bearer x"
    for one, two in ((own, own), (own, junk), (junk, own), (own, "Basic eDp5"), ("", own)):
        answer = await ask(api, "GET", "/api/me", [("Authorization", one), ("authorization", two)])
        assert verdict(answer) == (401, "invalid_token"), (one[:10], two[:10])
    assert (await ask(api, "GET", "/api/me", [("Authorization", own)])).status == 200


async def test_two_tokens_where_a_key_belongs_are_no_credential(api: Api, merchant: Merchant) -> None:
    own, junk = f"Bearer {merchant.token}", "Bearer x"
    for one, two in ((own, own), (own, junk), (junk, own)):
        answer = await ask(api, "GET", "/v1/orders", [("Authorization", one), ("Authorization", two)])
        assert verdict(answer) == (401, "unauthorized")
        # Beside a key they say nothing, as one does.
        headers = [("X-API-Key", merchant.api_key), ("Authorization", one), ("Authorization", two)]
        assert (await ask(api, "GET", "/v1/orders", headers)).status == 200


async def test_keys_where_a_token_belongs_are_the_wrong_kind_in_any_order(api: Api, merchant: Merchant) -> None:
    for one, two in ((merchant.api_key, "x"), ("x", merchant.api_key)):
        answer = await ask(api, "GET", "/api/me", [("X-API-Key", one), ("X-API-Key", two)])
        assert verdict(answer) == (403, "forbidden")


@pytest.mark.parametrize("keys", (("k", "k"), ("k", "l"), ("k", ""), ("", "k")))
async def test_two_idempotency_keys_are_refused(api: Api, merchant: Merchant, keys: tuple[str, str]) -> None:
    credential = ("X-API-Key", merchant.api_key)
    twice = [("Idempotency-Key", keys[0]), ("idempotency-key", keys[1])]
    for _ in range(2):
        answer = await ask(api, "POST", "/v1/orders", [credential, *twice], b'{"amount": 7}')
        assert (*verdict(answer), answer.json["param"]) == (400, "validation_error", "Idempotency-Key")
    listed = await api.call("GET", "/v1/orders", key=merchant.api_key)
    assert listed.must(200)["data"] == []
    # Neither was used up by that.
    once = [credential, ("Idempotency-Key", "k")]
    assert (await ask(api, "POST", "/v1/orders", once, b'{"amount": 8}')).status == 201


async def test_two_tokens_read_no_metrics(test_database: TestDatabase) -> None:
    right = ("Authorization", f"Bearer {TOKEN}")
    async with open_api(test_database, METRICS_TOKEN=TOKEN) as api:
        for headers in ([right, right], [right, ("Authorization", "x")], [("Authorization", "x"), right]):
            assert verdict(await ask(api, "GET", "/metrics", headers)) == (401, "unauthorized")
        async with wire(api.port) as connection:
            await connection.send(f"GET /metrics HTTP/1.1\r\nHost: x\r\n{right[0]}: {right[1]}\r\n\r\n".encode())
            assert (await connection.answer()).status == 200
