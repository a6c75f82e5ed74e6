"""O1–O3: what is sent to merchants' own servers, dead, hostile or somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, receiving
from tests.gauntlet.checker import check
from tests.gauntlet.client import Client
from tests.gauntlet.hooks import attempts_of, deliveries_to, endpoint_at, hook
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, prepared
from tests.gauntlet.shop import Shop, open_shop, opened
from tests.gauntlet.waiting import until_found

ENDPOINTS_OF_A_SHOP: Final = 10
ORDERS_OF_ITS_SHOP: Final = 6
HEALTHY: Final = 100
HEALTHY_OF_SMOKE: Final = 12
P99_S_MAX: Final = 1.0
AN_ORDER_EVERY_S: Final = 0.1
"""At full size. That makes 200 webhooks a second, which two processors serve in time: what is late then is late because
of the black hole, and not because of all that was asked for at once."""
ENDED: Final = frozenset({"delivered", "failed"})
ENDED_WITHIN_S: Final = 90.0
REAL_SETTLE_WITHIN_S: Final = 180.0
"""At full size the black hole has the contract's fifteen seconds, and is tried again after a minute."""
REFUSALS: Final = ("refused: ", "the URL can't be used", "the host name can't be resolved")
REPLY_CHARS_MAX: Final = 16 * 1024
MEMORY_MIB_MAX: Final = 64
"""By how much a relay may grow when receivers flood it."""
ATTEMPTS: Final = 6

FORMS: Final = (
    "127.0.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "localhost",
    "name-of-a-stranger.example", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "0.0.0.0", "[::]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "10.0.0.1", "192.168.0.1",
    "172.16.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "[fd00::1]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]",
)  # fmt: skip


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _start(service: Service, *relay: str, **settings: str) -> None:
    for name in ("sandbox", "api"):
        service.part(name).start()
    service.part("relay", wrap=relay, **settings).start()
    service.wait_for_ports()


# ------------------------------------------------------------------------------------------------------- O1: black hole


async def o1(run: Run) -> None:
    """One endpoint that never answers, of a shop that has others: those and all other shops' are told in time."""
    with prepared() as service:
        _start(service, *(() if run.loud else ("deliveries:quick",)))
        async with receiving() as receiver, opened(service) as first:
            count = HEALTHY if run.loud else HEALTHY_OF_SMOKE
            shops = [first, *[await _another(first) for _ in range(count // ENDPOINTS_OF_A_SHOP)]]
            for number in range(count):
                shop = shops[number // ENDPOINTS_OF_A_SHOP]
                await hook(shop, receiver, f"shop{number}")
            dead = await hook(first, receiver, "dead", takes_all=False)
            receiver.behave("dead", then=r.black_hole)
            for _ in range(run.times):
                # The black hole's shop sells most: whatever waits for it is more than what the others wait for.
                sellers = [*(shop for shop in shops if shop.hooks), *([first] * ORDERS_OF_ITS_SHOP)]
                await _sell(run, sellers)
            await first.dashboard.ask("PATCH", f"/api/webhook-endpoints/{dead.endpoint_id}", {"enabled": False})
            settle_s = REAL_SETTLE_WITHIN_S if run.loud else 75.0
            verdict = await check(*shops, settle_within_s=settle_s)
            late_s = sorted(_lateness_s(receiver))
            p50_s, p99_s = (late_s[int(len(late_s) * share)] for share in (0.5, 0.99))
            run.say(f"{len(late_s)} webhooks to {count} endpoints, p50 {p50_s:.3f} s, p99 {p99_s:.3f} s;"
                    f" {len(dead.received())} to the black hole; {verdict}")  # fmt: skip
            _require(bool(dead.received()), "the black hole was never tried")
            _require(p99_s <= run.limit_s(P99_S_MAX), f"the others' p99 is {p99_s:.2f} s")


async def _sell(run: Run, sellers: list[Shop]) -> None:
    """One order of each, in any order."""
    run.rng.shuffle(sellers)
    async with asyncio.TaskGroup() as selling:
        for shop in sellers:
            selling.create_task(shop.paid_order(run.rng))
            await asyncio.sleep(AN_ORDER_EVERY_S if run.loud else 0)


async def _another(shop: Shop) -> Shop:
    return await open_shop(shop.service, Client(shop.api.http, shop.api.base_url))


def _lateness_s(receiver: Receiver) -> list[float]:
    """From each event to its arrival, by the one clock that this machine has."""
    ahead_s = time.time() - time.monotonic()
    return [
        one.at_s + ahead_s - datetime.fromisoformat(one.document["createdAt"]).timestamp()
        for one in receiver.received
        if one.path != "dead"
    ]


# -------------------------------------------------------------------------------------------------------- O2: addresses


async def o2(run: Run) -> None:
    """Every way to write an address of ours: refused when the endpoint is made, or when we would connect."""
    with prepared() as service:
        _start(service, "deliveries:quick", "names:loopback", WEBHOOK_ALLOW_LOOPBACK="false")
        async with receiving() as receiver, opened(service) as shop:
            accepted: list[str] = []
            for _ in range(run.times):
                accepted.clear()
                for number in range(0, len(FORMS), ENDPOINTS_OF_A_SHOP):
                    accepted += await _refused(await _another(shop), receiver, FORMS[number : number + 10], run)
                run.say(f"{len(FORMS)} forms, {len(accepted)} of them only seen at connect: {', '.join(accepted)}")
            _require(receiver.received == [], f"{len(receiver.received)} requests came through")
            _require(len(accepted) >= len(FORMS) // 4, "too few got as far as connecting")
            run.say(str(await check(shop)))


async def _refused(shop: Shop, receiver: Receiver, forms: tuple[str, ...], run: Run) -> list[str]:
    """The forms that an endpoint was made of; of each, that its delivery was refused."""
    made: dict[str, str] = {}
    for form in forms:
        body = {"url": f"http://{form}:{receiver.port}/hook", "eventTypes": ["payment.captured"]}
        answer = await shop.dashboard.ask("POST", "/api/webhook-endpoints", body)
        _require(answer.status in {201, 400}, f"{form} was answered {answer.status}: {answer.raw!r}")
        if answer.status == 201:
            made[form] = answer.body["id"]
    await shop.paid_order(run.rng)
    for form, endpoint_id in made.items():
        delivery = await _ended(shop, endpoint_id)
        attempts = await attempts_of(shop, delivery["id"])
        _require(delivery["status"] == "failed" and len(attempts) == ATTEMPTS, f"{form}: {delivery}")
        strange = [one for one in attempts if one["statusCode"] or not one["error"].startswith(REFUSALS)]
        _require(not strange, f"{form}: {strange}")
    return list(made)


async def _ended(shop: Shop, endpoint_id: str) -> dict[str, Any]:
    """The newest delivery to that endpoint, once it has ended."""
    seen: list[dict[str, Any]] = []

    async def over() -> bool:
        seen[:] = await deliveries_to(shop, endpoint_id)
        return bool(seen) and seen[0]["status"] in ENDED

    await until_found(over, ENDED_WITHIN_S, f"the delivery to {endpoint_id} ends; it is {seen}")
    return seen[0]


# -------------------------------------------------------------------------------------------------------- O3: receivers


Look = Callable[[Shop, str, list[dict[str, Any]], Receiver], Awaitable[None]]


async def o3(run: Run) -> None:
    """Receivers that flood, drip, bomb, redirect, are gone or busy: bounded reads, and what the contract says."""
    with prepared() as service:
        _start(service, "deliveries:quick")
        async with receiving() as receiver, opened(service) as shop:
            await shop.paid_order(run.rng)
            before_mib = _memory_mib(service)
            for number in range(run.times):
                owner = shop if number == 0 else await _another(shop)
                await hook(owner, receiver, f"good{number}")
                ends = await _behaved(owner, receiver, number, run)
                run.say(f"{ends}: {await check(owner)}")
            grown_mib = _memory_mib(service) - before_mib
            run.say(f"the relay grew by {grown_mib} MiB")
            _require(grown_mib <= MEMORY_MIB_MAX, f"receivers made the relay grow by {grown_mib} MiB")


async def _behaved(shop: Shop, receiver: Receiver, number: int, run: Run) -> str:
    target = receiver.at(f"target{number}")
    manners: dict[str, tuple[r.Manner, str, int]] = {
        "flood": (r.flood(), "delivered", 1),
        "flooded failure": (r.flood(500), "failed", ATTEMPTS),
        "headers": (r.flood_of_headers(), "failed", ATTEMPTS),
        "drip": (r.drip(), "delivered", 1),
        "dripped head": (r.drip_head(), "failed", ATTEMPTS),
        "gzip bomb": (r.gzip_bomb(), "delivered", 1),
        "redirect": (r.redirect(target), "failed", ATTEMPTS),
        "silence": (r.black_hole, "failed", ATTEMPTS),
        "hangs up": (r.hang_up, "failed", ATTEMPTS),
        "gone": (r.GONE, "failed", 1),
        "busy": (r.OK, "delivered", 2),
    }
    endpoints: dict[str, str] = {}
    for name, (manner, _, _) in manners.items():
        path = f"{name.replace(' ', '-')}{number}"
        receiver.behave(path, then=manner)
        fields = {"eventTypes": ["payment.captured"]}
        endpoints[name] = (await endpoint_at(shop, receiver.at(path), **fields))["id"]
    receiver.behave(f"busy{number}", r.busy("3600"), then=r.OK)
    await shop.paid_order(run.rng)
    for name, (_, status, tries) in manners.items():
        delivery = await _ended(shop, endpoints[name])
        attempts = await attempts_of(shop, delivery["id"])
        _require((delivery["status"], len(attempts)) == (status, tries), f"{name}: {delivery}, {attempts}")
        replies = [one["responseBody"] or "" for one in attempts]
        _require(max(map(len, replies)) <= REPLY_CHARS_MAX, f"{name}: a reply of {max(map(len, replies))} was kept")
    _require(receiver.of(f"target{number}") == [], "a redirect was followed")
    came = receiver.of(f"busy{number}")
    # Retry-After counts up to twice the step, which is more than the step with all its jitter.
    _require(came[1].at_s - came[0].at_s >= 0.55, f"it came again after {came[1].at_s - came[0].at_s:.2f} s")
    (gone,) = [one for one in await _endpoints(shop) if one["id"] == endpoints["gone"]]
    _require((gone["enabled"], gone["disabledReason"]) == (False, "gone"), f"after 410: {gone}")
    return f"{len(manners)} manners"


async def _endpoints(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shop.dashboard.ask("GET", "/api/webhook-endpoints")).body["data"]
    return found


def _memory_mib(service: Service) -> int:
    """What the relay ever needed at most; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{service.relay.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


ROWS: Final = (
    Row("O1", "one endpoint that never answers among a hundred", "own", smoke=2, full=10, own=o1),
    Row("O2", "endpoints at addresses of ours, in every form", "own", smoke=1, full=3, own=o2),
    Row("O3", "receivers that flood, drip, bomb, redirect, are gone or busy", "own", smoke=1, full=5, own=o3),
)
