"""Schemathesis against a running service: it reads the API's description, and sends what that allows and what not.

Examples, edges, what chance makes of the schemas, and flows along the links. Every reply must be one that is described,
and none a 5xx. What a schema can't say (a state, a signature, two fields that must fit together) is refused with a 400
that is described too, so that check alone (positive_data_acceptance) is left out.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from payloops.http.openapi.document import calls
from payloops.http.routes import routes
from tests.gauntlet.client import Client
from tests.gauntlet.service import ROOT, Service
from tests.gauntlet.shop import Shop, opened

MARGIN_S: Final = 120
PART_S_MIN: Final = 5
"""A part that would have less is left to longer runs."""
NOTHING: Final = "No test cases were generated"
"""Of a part whose time was over before it began, on a slow machine: what all of them did is counted."""
WEBHOOK_SECRET: Final = "whsec_of_the_processors"
SETTINGS: Final[dict[str, Any]] = {
    "API_KEY_REQUESTS_PER_MIN": "1000000000",
    "API_KEYS_CREATED_PER_MIN": "1000",
    "WEBHOOK_ENDPOINTS_CREATED_PER_MIN": "1000",
    "TRUSTED_PROXIES": "127.0.0.0/8",
    # What chance takes for a URL must lead nowhere: see names:nowhere.
    "WEBHOOK_ALLOW_LOOPBACK": "false",
    # A flow goes on when it knows what became of a payment.
    "PAY_WAIT_S": "5",
    "LOG_LEVEL": "warning",
}

PROCESSORS: Final = r"^/api/processors"
KEYS: Final = r"^/api/api-keys/"
ORDERS: Final = r"^/(v1|api)/orders"
PASSWORD: Final = r"^/api/auth/password$"
SIGNING_OUT: Final = r"^/api/auth/(logout|password)$"


@dataclass(frozen=True)
class Part:
    """A run of its own, with a merchant of its own. ``share`` is how much of the time it gets."""

    name: str
    share: float
    choose: tuple[str, ...]


PARTS: Final = (
    # What would end the credentials that a run uses, or its processors, has a run of its own.
    Part("everything", 0.65, ("--exclude-path-regex", f"{PROCESSORS}|{KEYS}|{SIGNING_OUT}")),
    # Deep enough for a capture: it takes an order, then its payment.
    Part("orders", 0.15, ("--include-path-regex", ORDERS, "--phases", "stateful", "--mode", "positive")),
    Part("setup", 0.14, ("--include-path-regex", f"{PROCESSORS}|{KEYS}|^/api/api-keys$")),
    Part("password", 0.03, ("--include-path-regex", PASSWORD, "--phases", "fuzzing", "--mode", "positive")),
    Part("signing out", 0.03, ("--include-path-regex", SIGNING_OUT, "--phases", "examples,coverage,fuzzing")),
)


@dataclass(frozen=True)
class Outcome:
    """``unreached`` are described calls that were never answered with success."""

    generated: int
    requests: int
    failed: str
    server_errors: tuple[str, ...]
    reached: dict[str, tuple[int, int]]

    @property
    def unreached(self) -> list[str]:
        names = sorted({call.route.name for call in calls(routes())})
        return [name for name in names if not self.reached.get(name, (0, 0))[0]]

    def table(self) -> str:
        """Successes and all answers of each route."""
        rows = (f"{good:7d} of {total:7d}  {name}" for name, (good, total) in sorted(self.reached.items()))
        return "\n".join(rows)


async def run(service: Service, *, seconds: float, seed: int) -> Outcome:
    """All parts, one after the other. Raises TimeoutError."""
    generated, failures = 0, []
    for part in PARTS:
        part_s = round(seconds * part.share)
        if part_s < PART_S_MIN and generated:
            continue
        async with opened(service) as shop:
            await _furnish(shop, random.Random(seed))
            status, told = await _schemathesis(shop, part, part_s, seed)
        found = re.search(r"(\d+) generated", told)
        generated += 0 if found is None else int(found[1])
        if (status or found is None) and NOTHING not in told:
            failures.append(f"{part.name}:\n{told[-12_000:]}")
    reached, errors = await _answers(service)
    return Outcome(generated, sum(total for _, total in reached.values()), "\n".join(failures), errors, reached)


async def _furnish(shop: Shop, rng: random.Random) -> None:
    """One of everything, so that lists have something to show and flows somewhere to go on."""
    credentials: dict[str, Any] = {"secretKey": shop.account, "webhookSecret": WEBHOOK_SECRET}
    await shop.dashboard.ask("POST", "/api/processors/stripe", {"credentials": credentials})
    credentials = {"keyId": "rzp_test_1", "keySecret": "secret", "webhookSecret": WEBHOOK_SECRET}
    await shop.dashboard.ask("POST", "/api/processors/razorpay", {"credentials": credentials, "priority": 9})
    await shop.dashboard.ask("POST", "/api/webhook-endpoints", {"url": "https://shop.example/hook"})
    await shop.dashboard.ask("PUT", "/api/me", {"webhookUrl": "https://shop.example/default"})
    await shop.paid_order(rng)


async def _schemathesis(shop: Shop, part: Part, seconds: int, seed: int) -> tuple[int, str]:
    """The exit status and what was printed."""
    with tempfile.TemporaryDirectory(prefix="payloops-schemathesis-") as place:
        config = _config(shop, place)
        arguments = (
            *("--config-file", str(config), "run", f"{shop.service.base_url}/openapi.json"),
            *("--max-time", str(seconds), "--seed", str(seed), "--warnings", "off", *part.choose),
            *("--exclude-checks", "positive_data_acceptance"),
        )
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))},
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.gauntlet.schemathesis_hooks",
            "PAYLOOPS_SCHEMATHESIS_MERCHANT": shop.merchant_id,
            "PAYLOOPS_SCHEMATHESIS_PASSWORD": shop.password,
            "PAYLOOPS_SCHEMATHESIS_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *arguments,
            cwd=place,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds + MARGIN_S):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, printed.decode()


def _config(shop: Shop, place: str) -> Path:
    config = Path(place, "schemathesis.toml")
    token = shop.dashboard.credential["Authorization"].removeprefix("Bearer ")
    config.write_text(
        f'[auth.openapi.ApiKey]\napi_key = "{shop.api.credential["X-API-Key"]}"\n'
        f'[auth.openapi.Token]\nbearer = "{token}"\n'
        "[generation]\nallow-x00 = false\n"
    )
    return config


_SERIES: Final = re.compile(r'http_requests_total\{method="(\w*)",route="([^"]*)",status="(\d+)"\} ([0-9.e+]+)')


async def _answers(service: Service) -> tuple[dict[str, tuple[int, int]], tuple[str, ...]]:
    """By the service's own count: successes and all answers of each route, and the 5xx."""
    async with opened(service) as shop:
        text = (await Client(shop.api.http, service.base_url).once("GET", "/metrics")).raw.decode()
    reached: dict[str, tuple[int, int]] = {}
    errors = []
    for method, route, status, count in _SERIES.findall(text):
        good, total = reached.get(f"{method} {route}", (0, 0))
        number = int(float(count))
        reached[f"{method} {route}"] = (good + (number if int(status) < 400 else 0), total + number)
        if int(status) >= 500:
            errors.append(f"{method} {route}: {number} times {status}")
    return reached, tuple(errors)
