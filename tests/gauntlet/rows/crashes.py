"""K1, K2: processes that die at any moment, and at chosen ones."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Final

from tests.gauntlet.checker import check
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, prepared, running
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until
from tests.gauntlet.wrapped import POINTS

READY_WITHIN_S: Final = 5.0
WORKERS: Final = 4
CRASH_WITHIN_S: Final = 45.0
PAIRS_OF_SMOKE: Final = 3


async def k1(run: Run) -> None:
    """``kill -9`` of the API, then of the relay, under load; each starts again at once."""
    slowest_s = {"api": 0.0, "relay": 0.0}
    with running() as service:
        await service.ready()
        async with opened(service) as shop:
            for number in range(1, run.times + 1):
                for name in ("api", "relay"):
                    async with under_load(shop, run.rng, workers=WORKERS):
                        await more_acknowledged(shop, run.rng.randint(2, 25))
                        took_s = await kill_and_wait(service, shop, name, run)
                    slowest_s[name] = max(slowest_s[name], took_s)
                    verdict = await check(shop)
                    run.say(f"round {number}: {name} back after {took_s:.2f} s; {verdict}")
    allowed_s = run.limit_s(READY_WITHIN_S)
    slowest = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest_s.items())
    run.say(f"slowest return: {slowest} (allowed at this load: {allowed_s:.1f} s)")
    for name, seconds in slowest_s.items():
        if seconds > allowed_s:
            raise AssertionError(f"{name} was ready only after {seconds:.1f} s")


async def kill_and_wait(service: Service, shop: Shop, name: str, run: Run) -> float:
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
    """Each kill point, one of the API and one of the relay together, at passes that the seed chooses."""
    with prepared() as service:
        for name in ("sandbox", "api", "relay"):
            service.part(name).start()
        service.wait_for_ports()
        async with opened(service) as shop:
            for _ in range(run.times):
                for points in _pairs(run)[: PAIRS_OF_SMOKE if run.times == 1 else None]:
                    deeds = {POINTS[point][0]: f"crash:{point}:{run.rng.randint(1, 6)}" for point in points}
                    await _crash_at(service, shop, deeds, run)
                    run.say(f"{', '.join(deeds.values())}: {await check(shop)}")


def _pairs(run: Run) -> list[tuple[str, ...]]:
    """All points, each once at least, an API's with a relay's."""
    of_api = [point for point, (kind, _, _) in POINTS.items() if kind == "api"]
    of_relay = [point for point, (kind, _, _) in POINTS.items() if kind == "relay"]
    run.rng.shuffle(of_api)
    run.rng.shuffle(of_relay)
    while len(of_api) < len(of_relay):
        of_api.append(run.rng.choice(of_api))
    return list(zip(of_api, of_relay, strict=True))


async def _crash_at(service: Service, shop: Shop, deeds: dict[str, str], run: Run) -> None:
    for kind, deed in deeds.items():
        service.parts[kind].stop()
        service.part(kind, wrap=(deed,)).start()
    async with under_load(shop, run.rng, workers=WORKERS):
        await asyncio.gather(*(_back_after_its_crash(service, kind, deed) for kind, deed in deeds.items()))


async def _back_after_its_crash(service: Service, kind: str, deed: str) -> None:
    doomed = service.parts[kind]
    await until(lambda: not doomed.running, CRASH_WITHIN_S, f"{kind} passes {deed}")
    if doomed.status != -signal.SIGKILL:
        raise AssertionError(f"{kind} ended with {doomed.status} instead of dying\n{doomed.tail()}")
    service.part(kind).start()
    if kind == "api":
        await service.ready()


ROWS: Final = (
    Row("K1", "kill -9 of the API and the relay under load", "own", smoke=2, full=20, own=k1),
    Row("K2", "kill at chosen points", "own", smoke=1, full=5, own=k2),
)
