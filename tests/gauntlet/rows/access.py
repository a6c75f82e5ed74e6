"""A1, A5–A8: what credentials keep apart, and what happens to those who try others."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

import aiohttp
import psycopg
from psycopg import sql

from payloops.crypto import api_keys
from payloops.http.openapi.document import calls
from payloops.http.rate_limits import AUTH_REQUESTS_PER_ADDRESS, LOGINS_PER_ACCOUNT
from payloops.http.routes import routes
from tests.gauntlet.checker import check
from tests.gauntlet.client import Answer, Client
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, running
from tests.gauntlet.shop import Shop, opened

API_PROCESSES: Final = 4
SAMPLES: Final = 20
"""Orders and payments whose time is taken, for each time that a row is done."""
FLOOD_PER_S: Final = 200
NO_ANSWER: Final = 0
SLOWER_MAX: Final = 2.0
NOTICEABLE_S: Final = 0.005
"""Below that a ratio of two times is noise."""
LOGIN_SAMPLES: Final = 8
"""Of each kind in a round; the limit of an account is 10."""
TIMING_SHARE_MAX: Final = 0.25
"""How far the lower quartiles of known and unknown addresses may lie apart, as a share of a login's time."""

BY_ID: Final = tuple(call for call in calls(routes()) if call.route.access != "public" and "{id}" in call.path)


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _from(number: int) -> dict[str, str]:
    """A client with an address of its own, behind a trusted proxy."""
    return {"X-Forwarded-For": f"100.{number >> 16 & 127}.{number >> 8 & 255}.{number & 255}"}


async def a1(run: Run, service: Service) -> None:
    """Every route with ids of another merchant, ids of other kinds among them: as absent as what never was."""
    async with opened(service) as owner, opened(service) as other:
        await owner.paid_order(run.rng)
        session = {"amount": 100, "successUrl": "https://shop.example/y", "cancelUrl": "https://shop.example/n"}
        await owner.api.ask("POST", "/v1/checkout/sessions", session)
        await owner.dashboard.ask("POST", "/api/webhook-endpoints", {"url": "https://shop.example/hook"})
        ids = _ids_of(service, owner.merchant_id)
        for attempt in range(run.times):
            # Each call in turn, then by chance.
            call = BY_ID[attempt] if attempt < len(BY_ID) else run.rng.choice(BY_ID)
            other_body = {"amount": 1, "url": "https://evil.example/", "overlapSeconds": 1}
            body = run.rng.choice([None, call.operation.example, other_body])
            client = other.api if call.route.access == "api_key" else other.dashboard
            never = await client.once(call.route.method, call.path.replace("{id}", str(uuid4())), body)
            found = run.rng.choice(ids)
            answer = await client.once(call.route.method, call.path.replace("{id}", found), body)
            _require(answer.status == 404, f"{call.name} of another's {found} was answered {answer.status}")
            _require(
                _but_correlation(answer) == _but_correlation(never), f"{call.name} of {found}: {answer.raw[:300]!r}"
            )
        run.say(f"{run.times} tries of {len(BY_ID)} calls with {len(ids)} ids; {await check(owner)}")


def _ids_of(service: Service, merchant_id: str) -> list[str]:
    """The ids of all that belongs to a merchant, from whatever table has both."""
    found = []
    with psycopg.connect(service.owner_dsn, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND column_name IN ('id', 'merchant_id') AND data_type = 'uuid' GROUP BY 1 HAVING count(*) = 2"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT id::text FROM {} WHERE merchant_id = %s").format(sql.Identifier(table))
            found += [row[0] for row in connection.execute(query, (merchant_id,)).fetchall()]
    return sorted(found)


def _but_correlation(answer: Answer) -> tuple[bytes, list[tuple[str, str]]]:
    """The answer byte by byte, without what is another one in every answer."""
    correlation_id = answer.headers["X-Correlation-ID"]
    headers = [(name, value) for name, value in answer.headers.items() if name not in {"X-Correlation-ID", "Date"}]
    return answer.raw.replace(correlation_id.encode(), b""), headers


async def a5(run: Run, service: Service) -> None:
    """A wrong password of a known address and an address that nobody has: one answer, one time."""
    times: dict[bool, list[float]] = {True: [], False: []}
    async with opened(service) as shop:
        anonymous = Client(shop.api.http, service.base_url)
        for number in range(run.times):
            email = f"known-{secrets.token_hex(6)}@example.com"
            told = {"name": "Known", "email": email, "password": secrets.token_urlsafe(12)}
            await Client(shop.api.http, service.base_url, _from(number)).ask("POST", "/api/auth/register", told)
            unknown = f"nobody-{secrets.token_hex(6)}@example.com"
            tries = [True, False] * LOGIN_SAMPLES
            run.rng.shuffle(tries)
            bodies = set()
            for place, known in enumerate(tries):
                asked = {"email": email if known else unknown, "password": "wrong"}
                headers = _from(10_000 + number * 64 + place) | {"X-Correlation-ID": "the-same"}
                began_s = time.perf_counter()
                answer = await anonymous.once("POST", "/api/auth/login", asked, headers=headers)
                times[known].append(time.perf_counter() - began_s)
                bodies.add((answer.status, answer.raw))
            _require(len(bodies) == 1, f"the answers differ: {bodies}")
            _require(next(iter(bodies))[0] == 401, f"a wrong password was answered {bodies}")
    # The lower quartiles: what else the machine does makes times longer, never shorter.
    known_s, unknown_s = [statistics.quantiles(times[known], n=4)[0] for known in (True, False)]
    apart = abs(known_s - unknown_s) / max(known_s, unknown_s)
    run.say(f"{known_s * 1000:.0f} ms known, {unknown_s * 1000:.0f} ms unknown, {len(times[True])} of each")
    if run.loud:
        _require(apart <= run.limit_s(TIMING_SHARE_MAX), f"they lie {apart:.0%} of a login apart")


async def a6(run: Run) -> None:
    """Guessing at one account from everywhere, and from one address at everything, over four processes."""
    with running(API_WORKERS=str(API_PROCESSES)) as service:
        await service.ready()
        async with opened(service) as shop:
            for number in range(run.times):
                await _guess(shop, run, number)
        run.say(f"{run.times} accounts and addresses over {API_PROCESSES} processes: exactly {LOGINS_PER_ACCOUNT} and "
                f"{AUTH_REQUESTS_PER_ADDRESS} let in")  # fmt: skip
    # The same with no proxy that is trusted: what the header says is worth nothing.
    with running(API_WORKERS="2", TRUSTED_PROXIES="") as service:
        await service.ready()
        async with opened(service) as shop:
            count = 3 * AUTH_REQUESTS_PER_ADDRESS
            answers = await _together(shop, [("POST", "/api/auth/login", {}, _from(number)) for number in range(count)])
            # One was used by the merchant that signed up.
            _require(answers[400] == AUTH_REQUESTS_PER_ADDRESS - 1, f"spoofed addresses were answered {answers}")
            _require(answers[429] == count - answers[400], f"spoofed addresses were answered {answers}")


async def _guess(shop: Shop, run: Run, number: int) -> None:
    email = f"victim-{secrets.token_hex(6)}@example.com"
    tries = [
        ("POST", "/api/auth/login", {"email": email, "password": str(n)}, _from(run.rng.getrandbits(22)))
        for n in range(4 * LOGINS_PER_ACCOUNT)
    ]
    answers = await _together(shop, tries)
    _require(answers == {401: LOGINS_PER_ACCOUNT, 429: 3 * LOGINS_PER_ACCOUNT}, f"one account: {answers}")
    address = f"203.0.113.{number % 256}"
    # A client writes what it likes to the left of what the proxy saw.
    spoofed = [{"X-Forwarded-For": f"198.51.100.{n % 256}, 127.0.0.1, {address}"} for n in range(90)]
    answers = await _together(shop, [("POST", "/api/auth/register", {}, headers) for headers in spoofed])
    _require(answers == {400: AUTH_REQUESTS_PER_ADDRESS, 429: 90 - AUTH_REQUESTS_PER_ADDRESS}, f"one: {answers}")


async def _together(shop: Shop, requests: list[tuple[str, str, Any, dict[str, str]]]) -> Counter[int]:
    """The statuses of requests that are sent at once, each of a client of its own; refusals say when to come again."""
    anonymous = Client(shop.api.http, shop.api.base_url)
    answers = await asyncio.gather(
        *(anonymous.once(method, path, body, headers=headers) for method, path, body, headers in requests)
    )
    for answer in answers:
        if answer.status == 429:
            wait_s = int(answer.headers["Retry-After"])
            _require(1 <= wait_s <= 60, f"Retry-After: {wait_s}")
            _require(f"r=0;t={wait_s}" in answer.headers["RateLimit"], f"RateLimit: {answer.headers['RateLimit']}")
    return Counter(answer.status for answer in answers)


async def logins(run: Run) -> None:
    """A flood of logins from everywhere: payments go on as before."""

    async def login(shop: Shop, number: int) -> int:
        asked = {"email": f"nobody{secrets.token_hex(8)}@example.com", "password": "wrong"}
        client = Client(shop.api.http, shop.api.base_url, _from(number))
        return (await client.once("POST", "/api/auth/login", asked)).status

    await _flooded(run, login, {401, 503}, "logins")


async def a7(run: Run) -> None:
    """A flood of API keys that are none: who has one does not notice."""

    async def knock(shop: Shop, number: int) -> int:
        real = shop.api.credential["X-API-Key"]
        body = f"{real[:8]}{secrets.token_hex(22)}"
        guess = f"{real[:20]}{number:032d}"
        junk = (
            secrets.token_hex(29),
            body + "000000",
            body + api_keys._check_digits(body),
            guess + api_keys._check_digits(guess),
            "x" * 4000,
        )
        client = Client(shop.api.http, shop.api.base_url, {"X-API-Key": junk[number % len(junk)]})
        return (await client.once("GET", "/v1/orders")).status

    await _flooded(run, knock, {401, 503}, "junk API keys")


async def _flooded(run: Run, knock: Callable[[Shop, int], Awaitable[int]], expected: set[int], what: str) -> None:
    with running() as service:
        await service.ready()
        async with opened(service) as shop:
            await _latencies(shop, run)
            quiet = await _latencies(shop, run)
            async with _flood(shop, knock) as statuses:
                loud = await _latencies(shop, run)
            _require(set(statuses) <= expected, f"{what} were answered {statuses}")
            p50, p99 = [(_at(quiet, share), _at(loud, share)) for share in (0.5, 0.99)]
            run.say(
                f"{sum(statuses.values())} {what} ({dict(statuses)}); order and pay took {p50[0] * 1000:.1f} ms,"
                f" {p50[1] * 1000:.1f} in the flood (p50), {p99[0] * 1000:.1f} and {p99[1] * 1000:.1f} (p99)"
            )
            if run.loud:
                limit_s = run.limit_s(SLOWER_MAX * p99[0] + NOTICEABLE_S)
                _require(p99[1] <= limit_s, f"p99 went from {p99[0]:.3f} to {p99[1]:.3f} s in a flood of {what}")
            run.say(str(await check(shop)))


async def _latencies(shop: Shop, run: Run) -> list[float]:
    """Seconds of an order with its payment, sorted."""
    found = []
    for _ in range(SAMPLES * run.times):
        began_s = time.perf_counter()
        order = await shop.order(run.rng)
        await shop.api.ask("POST", f"/v1/orders/{order['id']}/pay", {}, key=f"k-{run.rng.getrandbits(96):x}")
        found.append(time.perf_counter() - began_s)
    return sorted(found)


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextlib.asynccontextmanager
async def _flood(shop: Shop, knock: Callable[[Shop, int], Awaitable[int]]) -> AsyncIterator[Counter[int]]:
    """FLOOD_PER_S requests for the length of the block, whatever becomes of them; their statuses."""
    statuses: Counter[int] = Counter()
    under_way: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        try:
            status = await knock(shop, number)
        except (TimeoutError, aiohttp.ClientError):
            status = NO_ANSWER
        statuses[status] += 1

    async def send() -> None:
        number = 0
        while True:
            task = asyncio.create_task(one(number))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
            await asyncio.sleep(1 / FLOOD_PER_S)

    sender = asyncio.create_task(send())
    try:
        yield statuses
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        await asyncio.gather(*under_way, return_exceptions=True)


CARD: Final = "4242 4242 4242 4242"


async def a8(run: Run) -> None:
    """Secrets that are told, and card numbers that are not taken: in no log, no table, no event and no error."""
    with running(LOG_LEVEL="debug") as service:
        await service.ready()
        async with opened(service) as shop:
            canaries = await _tell_secrets(shop, run)
            refused = [
                await shop.api.once("POST", f"/v1/orders/{uuid4()}/pay", {"paymentMethod": {"card": CARD}}),
                await shop.api.once("POST", "/v1/orders", {"amount": 1, "description": f"card {CARD}"}),
                await shop.api.once("POST", "/v1/orders", {"amount": canaries["password"], "currency": CARD}),
                await shop.dashboard.once("POST", "/api/auth/login", {"email": canaries["email"], "password": CARD}),
                await shop.dashboard.once("POST", "/api/processors/stripe", {"credentials": canaries["processor"]}),
            ]
            _require(all(400 <= each.status < 500 for each in refused), f"{[each.status for each in refused]}")
            errors = b"".join(each.raw for each in refused).decode()
            run.say(str(await check(shop)))
        service.stop()
        logs = "".join(part.log.read_text("utf-8", "replace") for part in service.parts.values())
        stored = _everything_stored(service)
    words = {**canaries, "card": CARD, "card in one": CARD.replace(" ", "")}
    for name, word in words.items():
        for place, text in (("a log", logs), ("the database", stored), ("an error", errors)):
            _require(word not in text, f"{name} is in {place}")
    run.say(f"{len(words)} words in {len(logs)} characters of logs, {len(stored)} of tables")


async def _tell_secrets(shop: Shop, run: Run) -> dict[str, str]:
    """Use every call that takes or gives a secret; the secrets."""
    made = {name: f"Canary{secrets.token_hex(12)}" for name in ("password", "new password", "processor", "hook secret")}
    made["email"] = f"canary-x{secrets.token_hex(8)}@example.com"
    told = {"name": "Canary", "email": made["email"], "password": made["password"]}
    arriving = Client(shop.api.http, shop.api.base_url, _from(run.rng.getrandbits(22)))
    token = (await arriving.ask("POST", "/api/auth/register", told)).body["token"]
    user = Client(shop.api.http, shop.api.base_url, {"Authorization": f"Bearer {token}", **arriving.credential})
    change = {"currentPassword": made["password"], "newPassword": made["new password"]}
    made["token"] = token
    made["new token"] = (await user.ask("POST", "/api/auth/password", change)).body["token"]
    user = Client(shop.api.http, shop.api.base_url, {"Authorization": f"Bearer {made['new token']}"})
    key = (await user.ask("POST", "/api/api-keys", {"name": "key"}, key="made-once")).body
    made["API key"] = key["secret"]
    made["rolled key"] = (await user.ask("POST", f"/api/api-keys/{key['apiKey']['id']}/roll", {})).body["secret"]
    credentials = {"secretKey": f"sk_test_{made['processor']}", "webhookSecret": made["hook secret"]}
    answer = await user.ask("POST", "/api/processors/stripe", {"credentials": credentials})
    _require(answer.status == 200, f"a processor was answered {answer.status}: {answer.raw!r}")
    api = Client(shop.api.http, shop.api.base_url, {"X-API-Key": made["rolled key"]})
    body = {"amount": 100, "customerEmail": made["email"], "captureMethod": "manual"}
    order = (await api.ask("POST", "/v1/orders", body, key="order-1")).body
    pay = {"paymentMethod": {"type": "card", "token": "pm_card_threeDSecure2Required"}}
    paid = (await api.ask("POST", f"/v1/orders/{order['id']}/pay", pay, key="pay-1")).body
    made["client secret"] = paid.get("clientSecret") or (await _client_secret(api, order["id"]))
    await api.ask("POST", f"/v1/orders/{order['id']}/cancel", {}, key="cancel-1")
    endpoint = (await user.ask("POST", "/api/webhook-endpoints", {"url": "https://shop.example/hook"})).body
    made["webhook secret"] = endpoint["secret"]
    await user.ask("DELETE", f"/api/webhook-endpoints/{endpoint['id']}")
    return made


async def _client_secret(api: Client, order_id: str) -> str:
    """Once the payment waits for the customer."""
    for _ in range(200):
        order = (await api.ask("GET", f"/v1/orders/{order_id}")).body
        if order["nextAction"] is not None:
            found: str = order["nextAction"]["clientSecret"]
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("the payment does not wait for its customer")


def _everything_stored(service: Service) -> str:
    """Every row of every table, and of the log's bytes what they say."""
    text = []
    with psycopg.connect(service.owner_dsn, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        ).fetchall()
        for (table,) in tables:
            for row in connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))):
                text += [bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                         for value in row]  # fmt: skip
    return "\n".join(text)


ROWS: Final = (
    Row("A1", "another merchant's ids on every route", "shared", smoke=200, full=5000, shared=a1),
    Row("A5", "logins with known and unknown addresses", "shared", smoke=1, full=6, shared=a5),
    Row("A6", "brute force over four processes, with spoofed addresses", "own", smoke=1, full=5, own=a6),
    Row("A6-flood", "a flood of logins", "own", smoke=1, full=9, own=logins),
    Row("A7", "a flood of junk API keys", "own", smoke=1, full=9, own=a7),
    Row("A8", "canary secrets and card numbers", "own", smoke=1, full=1, own=a8),
)
