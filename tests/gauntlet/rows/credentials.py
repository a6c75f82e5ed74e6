"""A2 to A4: who may call what, what bodies may not say, and tokens that were not issued so."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from typing import Any, Final
from uuid import uuid4

import jwt
import orjson
import psycopg
from psycopg import sql

from payloops.crypto import api_keys, generate_api_key
from payloops.http.auth import granted
from payloops.http.openapi.document import Call, calls
from payloops.http.routes import routes
from payloops.http.routing import Route
from tests.gauntlet.checker import check
from tests.gauntlet.client import Answer, Client
from tests.gauntlet.rows.access import _everything_stored, _from, _require
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, running
from tests.gauntlet.shop import Shop, opened
from tests.integration.http.belongings import MARK, NUMBER, PRIVILEGED, TABLE_OF, noun

CALLS: Final[tuple[Call, ...]] = tuple(call for call in calls(routes()) if call.route.access != "public")
BY_KEY: Final = tuple(call for call in CALLS if call.route.access == "api_key")
BY_TOKEN: Final = tuple(call for call in CALLS if call.route.access == "user")
WRITES: Final = tuple(call for call in CALLS if call.route.method != "GET" and call.operation.body is not None)
ENDS_TOKENS: Final = "/api/auth/"
SCOPES: Final = ("orders:read", "orders:write", "refunds:write", "checkout:read", "checkout:write")


async def _send(client: Client, call: Call, run: Run, headers: dict[str, str], *, found: str | None = None) -> Answer:
    """The call with its example, from an address of its own."""
    path = call.path.replace("{id}", found or str(uuid4()))
    sent = {**_from(run.rng.getrandbits(22)), **headers}
    return await client.once(call.route.method, path, call.operation.example, headers=sent)


def _expect(answer: Answer, status: int, code: str, what: str) -> None:
    _require(
        (answer.status, answer.code) == (status, code), f"{what} was answered {answer.status}: {answer.raw[:200]!r}"
    )


async def a2(run: Run, service: Service) -> None:
    """Every route with every credential that is not its own: none, junk, the other kind, ended, out of scope."""
    async with opened(service) as shop:
        nobody = Client(shop.api.http, service.base_url)
        ended = await _ended(shop)
        scoped = {scope: await _key(shop, scopes=[scope]) for scope in SCOPES}
        tried: Counter[str] = Counter()
        for attempt in range(run.times):
            call = CALLS[attempt] if attempt < len(CALLS) else run.rng.choice(CALLS)
            by_key = call.route.access == "api_key"
            kind = run.rng.choice(("none", "junk", "other", "ended", "misplaced", *(("scope",) if by_key else ())))
            if kind == "scope":
                lacking = [each for each in SCOPES if call.route.scope not in (granted((each,)) or ())]
                headers, status, code = {"X-API-Key": scoped[run.rng.choice(lacking)]}, 403, "forbidden"
            else:
                headers, status, code = (_wrong_key if by_key else _wrong_token)(kind, shop, ended, run)
            tried[kind] += 1
            _expect(await _send(nobody, call, run, headers), status, code, f"{call.name} with {kind}")
        run.say(f"{dict(tried)} on {len(CALLS)} calls; {await check(shop)}")


Refusal = tuple[dict[str, str], int, str]
"""Headers with a credential that won't do, and how it is refused."""


def _wrong_key(kind: str, shop: Shop, ended: dict[str, str], run: Run) -> Refusal:
    key, token = shop.api.credential["X-API-Key"], shop.dashboard.credential["Authorization"]
    junk = ("x", key[:-1], generate_api_key(live=True).full, _guess(key))
    misplaced = ({"Authorization": f"Bearer {key}"}, {"Cookie": f"X-API-Key={key}"})
    cases: dict[str, Refusal] = {
        "none": ({}, 401, "unauthorized"),
        "junk": ({"X-API-Key": run.rng.choice(junk)}, 401, "invalid_api_key"),
        "other": ({"Authorization": token}, 403, "forbidden"),
        "ended": ({"X-API-Key": ended["key"]}, 401, "invalid_api_key"),
        "misplaced": (run.rng.choice(misplaced), 401, "unauthorized"),
    }
    return cases[kind]


def _wrong_token(kind: str, shop: Shop, ended: dict[str, str], run: Run) -> Refusal:
    key, token = shop.api.credential["X-API-Key"], shop.dashboard.credential["Authorization"].removeprefix("Bearer ")
    junk = ("x", "a.b.c", token[:-2], f"{token}A")
    other = ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"})
    misplaced = ({"Authorization": token}, {"Cookie": f"token={token}"}, {"X-Token": token})
    cases: dict[str, Refusal] = {
        "none": ({}, 401, "unauthorized"),
        "junk": ({"Authorization": f"Bearer {run.rng.choice(junk)}"}, 401, "invalid_token"),
        "other": (run.rng.choice(other), 403, "forbidden"),
        "ended": ({"Authorization": f"Bearer {ended['token']}"}, 401, "invalid_token"),
        "misplaced": (run.rng.choice(misplaced), 401, "unauthorized"),
    }
    return cases[kind]


def _guess(key: str) -> str:
    """A secret that is wrong, of a key that there is, with good check digits."""
    body = f"{key[:20]}{secrets.token_hex(16)}"
    return body + api_keys._check_digits(body)


async def _key(shop: Shop, **fields: Any) -> str:
    made = await shop.dashboard.ask("POST", "/api/api-keys", {"name": "another", **fields})
    _require(made.status == 201, f"a key was answered {made.status}: {made.raw!r}")
    return str(made.body["secret"])


async def _ended(shop: Shop) -> dict[str, str]:
    """A key that was used and then revoked, and a token that was signed out."""
    made = (await shop.dashboard.ask("POST", "/api/api-keys", {"name": "to be revoked"})).body
    client = Client(shop.api.http, shop.api.base_url, {"X-API-Key": made["secret"]})
    _require((await client.once("GET", "/v1/orders")).status == 200, "a new key does not work")
    await shop.dashboard.ask("DELETE", f"/api/api-keys/{made['apiKey']['id']}")
    email = (await shop.dashboard.ask("GET", "/api/me")).body["email"]
    login = Client(shop.api.http, shop.api.base_url, dict(_from(secrets.randbelow(2**22))))
    token = (await login.ask("POST", "/api/auth/login", {"email": email, "password": shop.password})).body["token"]
    user = Client(shop.api.http, shop.api.base_url, {**login.credential, "Authorization": f"Bearer {token}"})
    _require((await user.once("POST", "/api/auth/logout", {})).status == 204, "signing out")
    return {"key": made["secret"], "token": token}


async def a3(run: Run) -> None:
    """Fields that are not a client's, in the body of every write: nowhere in an answer, nowhere in the database.

    A service of its own, for the webhooks that the writes cause go nowhere and are tried for a day.
    """
    with running(API_WORKERS="2") as service:
        await service.ready()
        await _write_with_more(run, service)


async def _write_with_more(run: Run, service: Service) -> None:
    done: Counter[str] = Counter()
    for _ in range(run.times):
        async with opened(service) as shop:
            paid = await shop.paid_order(run.rng)
            await shop.dashboard.ask("POST", "/api/webhook-endpoints", {"url": "https://shop.example/hook"})
            for call in sorted(WRITES, key=lambda call: call.path.startswith(ENDS_TOKENS)):
                found = _id_of(service, shop, call.route) or paid["id"]
                # What a misspelt field would get refused for is left out by turns, so that the others are applied.
                chosen = run.rng.sample(sorted(PRIVILEGED), k=len(PRIVILEGED) // 2)
                body = {**{name: PRIVILEGED[name] for name in chosen}, **(call.operation.example or {})}
                client = shop.api if call.route.access == "api_key" else shop.dashboard
                path = call.path.replace("{id}", found)
                answer = await client.once(call.route.method, path, body, headers=_from(run.rng.getrandbits(22)))
                _require(answer.status < 500, f"{call.name} was answered {answer.status}")
                text = answer.raw.decode()
                _require(MARK not in text and str(NUMBER) not in text, f"{call.name} took a field: {text[:300]}")
                done[call.name] += answer.status < 300
    stored = _everything_stored(service)
    for mark in (MARK, str(NUMBER), "2001-02-03"):
        _require(mark not in stored, f"{mark} is in the database")
    never = sorted({call.name for call in WRITES} - {name for name, count in done.items() if count})
    run.say(f"{sum(done.values())} writes done with other fields beside theirs; always refused: {never}")


def _id_of(service: Service, shop: Shop, route: Route) -> str | None:
    """The id of something of the shop's that the route is about."""
    table = TABLE_OF.get(noun(route))
    if ":id" not in route.path or table is None:
        return None
    query = sql.SQL("SELECT id::text FROM {} WHERE merchant_id = %s ORDER BY random() LIMIT 1")
    with psycopg.connect(service.owner_dsn, autocommit=True) as connection:
        row = connection.execute(query.format(sql.Identifier(table)), (shop.merchant_id,)).fetchone()
    return None if row is None else str(row[0])


async def a4(run: Run, service: Service) -> None:
    """Tokens that we did not issue so, and ones with flipped bits, on every route that takes one: 401."""
    async with opened(service) as shop:
        real = shop.dashboard.credential["Authorization"].removeprefix("Bearer ")
        nobody = Client(shop.api.http, service.base_url)
        forged = _forged(real, service.settings["JWT_SECRET"])
        names = sorted(forged)
        for attempt in range(run.times):
            call = BY_TOKEN[attempt % len(BY_TOKEN)]
            name = names[attempt % len(names)] if run.rng.random() < 0.5 else "flipped bits"
            token = forged[name] if name in forged else _flipped(real, run)
            answer = await _send(nobody, call, run, {"Authorization": f"Bearer {token}"})
            _expect(answer, 401, "invalid_token", f"{call.name} with {name} ({token})")
        _require((await shop.dashboard.once("GET", "/api/me")).status == 200, "the real token does not hold any more")
        run.say(f"{run.times} tokens of {len(forged)} forged kinds and flipped bits on {len(BY_TOKEN)} calls")


def _forged(real: str, secret: str) -> dict[str, str]:
    header, payload, signature = real.split(".")
    claims, kid = jwt.decode(real, options={"verify_signature": False}), jwt.get_unverified_header(real)["kid"]

    def signed(
        changed: dict[str, Any], *, without: str = "", by: str = secret, algorithm: str = "HS256", **head: Any
    ) -> str:
        said = {name: value for name, value in {**claims, **changed}.items() if name != without}
        return jwt.encode(said, by, algorithm, headers={"kid": kid, **head})

    none = base64.urlsafe_b64encode(orjson.dumps({"alg": "none", "kid": kid})).rstrip(b"=").decode()
    return {
        "no algorithm": f"{none}.{payload}.",
        "no algorithm, with a signature": f"{none}.{payload}.{signature}",
        "no signature": f"{header}.{payload}.",
        "HS384": signed({}, algorithm="HS384"),
        "HS512": signed({}, algorithm="HS512"),
        "another secret": signed({}, by=secrets.token_urlsafe(48)),
        "an unknown kid": signed({}, kid="00000000"),
        "a kid that is a path": signed({}, kid="../../dev/null"),
        "another audience": signed({"aud": "other"}),
        "several audiences": signed({"aud": [claims["aud"], "other"]}),
        "another issuer": signed({"iss": "other"}),
        "expired": signed({"exp": 1}),
        "issued in the future": signed({"iat": claims["iat"] + 3600, "exp": claims["exp"] + 3600}),
        "an endless one": signed({"exp": 10**20}),
        "a time that is text": signed({"exp": str(claims["exp"])}),
        "a later version": signed({"ver": claims["ver"] + 1}),
        "another subject": signed({"sub": str(uuid4())}),
        **{f"without {name}": signed({}, without=name) for name in ("exp", "iat", "aud", "iss", "sub", "jti", "ver")},
    }


def _flipped(real: str, run: Run) -> str:
    """The token with one character other than it was; it stays one that a header may hold."""
    place = run.rng.choice([n for n, character in enumerate(real) if character != "."])
    other = run.rng.choice([c for c in "ABCDEFGHabcdefgh01234567-_" if c != real[place]])
    return real[:place] + other + real[place + 1 :]


ROWS: Final = (
    Row("A2", "every wrong credential on every route", "shared", smoke=150, full=3000, shared=a2),
    Row("A3", "fields that are not a client's in every body", "own", smoke=1, full=30, own=a3),
    Row("A4", "forged, changed and revoked tokens on every route", "shared", smoke=150, full=3000, shared=a4),
)
