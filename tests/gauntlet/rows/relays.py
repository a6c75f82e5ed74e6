"""K7, K10: clocks that jump, and relays that are stopped past their lease."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from payloops.values import iso
from tests.gauntlet.checker import check
from tests.gauntlet.client import Client
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, prepared
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until_found, until_order

HOUR_S: Final = 3600
LEASE_S: Final = 1


async def k7(run: Run) -> None:
    """Processes an hour ahead and an hour behind: leases, waits and expiries do not care."""
    with prepared(OUTBOX_LEASE_S=str(LEASE_S)) as service:
        for name in ("sandbox", "api", "relay"):
            service.part(name).start()
        service.wait_for_ports()
        async with opened(service) as shop:
            for ahead in (HOUR_S, -HOUR_S)[: run.times] * ((run.times + 1) // 2):
                lasting = await _key(shop, expires_in_s=1800)
                waiting = await shop.order(run.rng)
                await shop.pay(waiting["id"], "pm_card_threeDSecure2Required", rng=run.rng)
                await until_order(shop, waiting["id"], lambda seen: seen["status"] == "requires_action")
                await _skew(service, shop, ahead)
                async with under_load(shop, run.rng):
                    await more_acknowledged(shop, 15)
                    await _expiries(shop, lasting)
                seen = await shop.get(waiting["id"])
                if seen["status"] != "requires_action":
                    raise AssertionError(f"a customer's 15 minutes passed with a jump of the clock: {seen}")
                await shop.write(waiting["id"], "cancel", rng=run.rng)
                await until_order(shop, waiting["id"], lambda seen: seen["status"] == "cancelled")
                run.say(f"clock {ahead:+d} s: {await check(shop)}")
                await _skew(service, shop, 0)


async def _skew(service: Service, shop: Shop, ahead_s: int) -> None:
    """One relay and the API with a clock that is off, and one relay without, side by side."""
    for name in ("api", "relay", "relay 2"):
        if name in service.parts:
            await asyncio.to_thread(service.parts[name].stop)
    wrap = (f"skew:{ahead_s}",) if ahead_s else ()
    service.part("api", wrap=wrap).start()
    service.part("relay", wrap=wrap).start()
    if ahead_s:
        service.part("relay 2", kind="relay").start()
    await service.ready()


async def _key(shop: Shop, *, expires_in_s: float) -> Client:
    body = {"name": "for a while", "expiresAt": iso(datetime.now(UTC) + timedelta(seconds=expires_in_s))}
    made: dict[str, Any] = (await shop.dashboard.once("POST", "/api/api-keys", body)).body
    return Client(shop.api.http, shop.api.base_url, {"X-API-Key": made["secret"]})


async def _expiries(shop: Shop, lasting: Client) -> None:
    """A key holds for as long as the database says, whatever this process believes the time to be."""
    for _ in range(2):  # the second time its secret is remembered
        answer = await lasting.once("GET", "/v1/orders")
        if answer.status != 200:
            raise AssertionError(f"a key that holds for half an hour was answered {answer.status}: {answer.raw!r}")


async def k10(run: Run) -> None:
    """A relay is stopped with work in hand, another one does it, the first wakes up."""
    with prepared(OUTBOX_LEASE_S=str(LEASE_S), PROCESSOR_TIMEOUT_S="20") as service:
        for name in ("sandbox", "api", "relay"):
            service.part(name).start()
        service.wait_for_ports()
        async with opened(service) as shop:
            for number in range(1, run.times + 1):
                await _stopped_in_the_middle(service, shop, run)
                run.say(f"round {number}: stopped during a call: {await check(shop)}")
                await _stopped_under_load(service, shop, run)
                run.say(f"round {number}: stopped under load: {await check(shop)}")


async def _stopped_in_the_middle(service: Service, shop: Shop, run: Run) -> None:
    """At the very moment at which the processor has the charge and the relay waits for its answer."""
    await shop.fault("payment.create", "slow", ms=400)
    before = (await shop.ledger())["calls"].get("payment.create", 0)
    order = await shop.order(run.rng)
    paying = asyncio.create_task(shop.pay(order["id"], rng=run.rng))

    async def called() -> bool:
        return bool((await shop.ledger())["calls"].get("payment.create", 0) > before)

    await until_found(called, 10.0, "the charge is under way")
    service.relay.send(signal.SIGSTOP)
    second = service.part("relay 2", kind="relay")
    second.start()
    await until_order(shop, order["id"], lambda seen: seen["status"] == "captured")
    service.relay.send(signal.SIGCONT)
    await paying
    await shop.paid_order(run.rng)
    await asyncio.to_thread(second.stop)


async def _stopped_under_load(service: Service, shop: Shop, run: Run) -> None:
    second = service.part("relay 2", kind="relay")
    second.start()
    async with under_load(shop, run.rng):
        await more_acknowledged(shop, run.rng.randint(5, 25))
        service.relay.send(signal.SIGSTOP)
        await more_acknowledged(shop, 20)
        await shop.paid_order(run.rng)
        service.relay.send(signal.SIGCONT)
        await more_acknowledged(shop, 10)
    await asyncio.to_thread(second.stop)


ROWS: Final = (
    Row("K7", "clock jumps", "own", smoke=1, full=3, own=k7),
    Row("K10", "a relay stopped past its lease, then resumed", "own", smoke=1, full=10, own=k10),
)
