"""I7 and I8: two spellings of one e-mail address, and origins that look like one of ours."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections import Counter
from typing import Any, Final

import psycopg

from payloops.http.routes import routes
from tests.gauntlet.client import Answer, Client, new_session
from tests.gauntlet.rows.access import _from, _require
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, running
from tests.gauntlet.shop import opened

TOGETHER: Final = 8
ORIGINS: Final = ("https://app.example.com", "http://localhost:5173")
GRANT: Final = "access-control-"


async def i7(run: Run, service: Service) -> None:
    """An address in many spellings, all at once: one account, and its password signs in by each spelling."""
    async with opened(service) as shop:
        spellings_tried = 0
        for number in range(run.times):
            local, domain = f"josé.{secrets.token_hex(5)}", f"mün{secrets.token_hex(4)}.example"
            spellings = run.rng.sample(_spellings(local, domain), k=TOGETHER)
            spellings_tried += len(spellings)
            told = {"name": "Somebody", "password": "correct horse"}
            answers = await asyncio.gather(
                *(
                    _as(shop.api, run).ask("POST", "/api/auth/register", {**told, "email": spelling})
                    for spelling in spellings
                )
            )
            outcomes = Counter((answer.status, answer.code) for answer in answers)
            expected = {(201, None): 1, (400, "email_exists"): TOGETHER - 1}
            _require(outcomes == expected, f"{spellings} were answered {outcomes}")
            spelling = run.rng.choice(spellings)
            body = {"email": spelling, "password": told["password"]}
            login = await _as(shop.api, run).ask("POST", "/api/auth/login", body)
            _require(login.status == 200, f"signing in as {spelling!r} was answered {login.status}")
            if number == 0:
                await _others_are_others(shop.api, run, local, domain)
        _require(_unique_in_the_database(service), "two accounts have one address in the database")
        run.say(f"{run.times} addresses in {spellings_tried} spellings at once: one account each")


def _as(client: Client, run: Run) -> Client:
    return Client(client.http, client.base_url, _from(run.rng.getrandbits(22)))


def _spellings(local: str, domain: str) -> list[str]:
    plain = f"{local}@{domain}"
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and c not in "@." else c for c in local)
    ascii_domain = domain.encode("idna").decode()
    return [
        plain,
        plain.upper(),
        unicodedata.normalize("NFD", plain),
        unicodedata.normalize("NFD", plain.upper()),
        f"  {plain}\t",
        f"{plain}.",
        f"{wide}@{domain}",
        f"{local}@{ascii_domain}",
        f"{local.upper()}@{ascii_domain.upper()}",
        f"{local}@{domain.replace('.', '。')}",
        f"{local}@{domain.replace('e', 'ｅ')}",
    ]


async def _others_are_others(client: Client, run: Run, local: str, domain: str) -> None:
    """What only looks alike is somebody else: another alphabet, a tag, a dot fewer."""
    told = {"name": "Somebody else", "password": "correct horse"}
    for other in (f"{local.replace('o', 'о')}@{domain}", f"{local}+tag@{domain}", f"{local.replace('.', '')}@{domain}"):
        answer = await _as(client, run).ask("POST", "/api/auth/register", {**told, "email": other})
        _require(answer.status == 201, f"{other!r} was answered {answer.status}: {answer.raw!r}")


def _unique_in_the_database(service: Service) -> bool:
    with psycopg.connect(service.owner_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) = count(DISTINCT email_digest) FROM merchants").fetchone()
    return row == (True,)


async def i8(run: Run) -> None:
    """Origins of others, null, and all that chance makes of ours: no reply to them says that they may read it."""
    with running(API_WORKERS="2", CORS_ORIGINS=",".join(ORIGINS)) as service:
        await service.ready()
        async with new_session() as http:
            client = Client(http, service.base_url)
            table = routes()
            granted = 0
            for attempt in range(run.times):
                route = table[attempt % len(table)]
                origin = run.rng.choice(ORIGINS) if run.rng.random() < 0.1 else _alike(run)
                method = run.rng.choice((route.method, "OPTIONS"))
                answer = await _asked_from(client, method, route.path, origin, route.method)
                grants = {
                    name.lower(): value for name, value in answer.headers.items() if name.lower().startswith(GRANT)
                }
                if origin in ORIGINS:
                    granted += 1
                    _require(
                        grants.get(f"{GRANT}allow-origin") == origin, f"{origin} was refused {method} {route.path}"
                    )
                    _require(f"{GRANT}allow-credentials" not in grants, f"cookies for {origin}")
                else:
                    _require(not grants, f"{origin!r} was told {grants} of {method} {route.path}")
        run.say(f"{run.times} requests over {len(table)} routes, {granted} of them from our origins")


async def _asked_from(client: Client, method: str, path: str, origin: str, wanted: str) -> Answer:
    headers = {"Origin": origin, "Access-Control-Request-Method": wanted}
    return await client.once(method, path.replace(":", ""), headers=headers)


def _alike(run: Run) -> str:
    """An origin that is not one of ours, near to one of them."""
    ours = run.rng.choice(ORIGINS)
    scheme, _, host = ours.partition("://")
    makers: tuple[Any, ...] = (
        lambda: "null",
        lambda: f"{ours}.evil.example",
        lambda: f"{scheme}://evil.example/{ours}",
        lambda: f"{scheme}://{ours}",
        lambda: f"{scheme}://user@{host}",
        lambda: f"{scheme}://evil.example#{host}",
        lambda: f"{ours}:8443",
        lambda: f"{ours}/",
        lambda: f"{'http' if scheme == 'https' else 'https'}://{host}",
        ours.upper,
        lambda: f"{ours} https://evil.example",
        lambda: f"{ours},{ours}",
        lambda: host,
        lambda: "*",
        lambda: _mutated(ours, run),
    )
    made = str(run.rng.choice(makers)())
    return made if made not in ORIGINS else "https://evil.example"


def _mutated(ours: str, run: Run) -> str:
    place, letter = run.rng.randrange(len(ours)), run.rng.choice("abcdefghijklmnopqrstuvwxyz0123456789.-")
    return run.rng.choice(
        (
            ours[:place] + letter + ours[place:],
            ours[:place] + ours[place + 1 :],
            ours[:place] + letter + ours[place + 1 :],
        )
    )


ROWS: Final = (
    Row("I7", "one e-mail address in many spellings", "shared", smoke=2, full=40, shared=i7),
    Row("I8", "origins that are not ours", "own", smoke=150, full=3000, own=i8),
)
