"""K1, K2: processes that die at any moment, and at chosen ones."""

from __future__ import annotations

import time
from typing import Final

from tests.gauntlet.checker import check
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Part, Service, prepared, running
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until
from tests.gauntlet.wrapped import POINTS

READY_WITHIN_S: Final = 5.0
WORKERS: Final = 4
CRASH_WITHIN_S: Final = 30.0


async def k1(run: Run) -> None:
    """``kill -9`` of the API, then of the relay, under load; each starts again at once."""
    slowest_s = {"api": 0.0, "relay": 0.0}
    with running() as service:
        await service.ready()
        async with opened(service) as shop:
            for number in range(1, run.times + 1):
                for name in slowest_s:
                    async with under_load(shop, run.rng, workers=WORKERS):
                        await more_acknowledged(shop, run.rng.randint(2, 25))
                        took_s = await _kill_and_wait(service, shop, name, run)
                    slowest_s[name] = max(slowest_s[name], took_s)
                    verdict = await check(shop)
                    run.say(f"round {number}: {name} back after {took_s:.2f} s; {verdict}")
    run.say("slowest return: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest_s.items()))
    for name, seconds in slowest_s.items():
        if seconds > READY_WITHIN_S:
            raise AssertionError(f"{name} was ready only after {seconds:.1f} s")


async def _kill_and_wait(service: Service, shop: Shop, name: str, run: Run) -> float:
    """Seconds until the part does its work again."""
    part = service.parts[name]
    part.kill()
    began_s = time.monotonic()
    part.start()
    if name == "api":
        await service.ready()
    else:
        # A relay works when a payment that began after its death goes through.
        await shop.paid_order(run.rng)
    return time.monotonic() - began_s


async def k2(run: Run) -> None:
    """Each kill point in turn, at a pass that the seed chooses."""
    with prepared() as service:
        service.part("sandbox").start()
        service.part("api").start()
        service.part("relay").start()
        service.wait_for_ports()
        async with opened(service) as shop:
            for _ in range(run.times):
                for point, (kind, _, _) in POINTS.items():
                    number = run.rng.randint(1, 6)
                    await _crash_at(service, shop, kind, f"crash:{point}:{number}", run)
                    run.say(f"{point} at pass {number}: {await check(shop)}")


async def _crash_at(service: Service, shop: Shop, kind: str, deed: str, run: Run) -> None:
    service.parts[kind].stop()
    doomed: Part = service.part(kind, wrap=(deed,))
    doomed.start()
    async with under_load(shop, run.rng, workers=WORKERS):
        await until(lambda: not doomed.running, CRASH_WITHIN_S, f"{kind} passes {deed}")
        if doomed.status != -9:
            raise AssertionError(f"{kind} ended with {doomed.status} instead of dying\n{doomed.tail()}")
        service.part(kind).start()
        if kind == "api":
            await service.ready()


ROWS: Final = (
    Row("K1", "kill -9 of the API and the relay under load", "own", smoke=2, full=20, own=k1),
    Row("K2", "kill at chosen points", "own", smoke=1, full=5, own=k2),
)
