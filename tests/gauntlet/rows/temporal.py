"""K5: Temporal is away for a while, several times, under load."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from temporalio.client import Client

from payloops import temporal_server
from payloops.temporal_server import Ports, TemporalServer, TemporalServerError, find_program
from tests.gauntlet.checker import check
from tests.gauntlet.run import PartMissing, Row, Run
from tests.gauntlet.service import Service, prepared
from tests.gauntlet.shop import Shop, opened
from tests.gauntlet.waiting import until_found
from tests.parts import open_directory

NAMESPACE: Final = "loop"
AWAY_S: Final = (120.0, 150.0)
AWAY_SMOKE_S: Final = 3.0
BUYERS: Final = 4
PAUSE_S: Final = (0.3, 1.2)
"""Between two orders of one buyer."""
NOTICED_WITHIN_S: Final = 20.0
LISTED_WITHIN_S: Final = 60.0
DRAINED_WITHIN_S: Final = 60.0
WAYS: Final = ("killed", "stopped", "silent")
"""How it goes away: at once, in order, or by answering no more (SIGSTOP)."""


@dataclass
class Away:
    """A dev server that can go and come back, on the same ports with the same data."""

    directory: Path
    server: TemporalServer
    _silent: bool = field(default=False, init=False)

    def go(self, way: str) -> None:
        if way == "silent":
            psutil.Process(self.server.pid).suspend()
            self._silent = True
        elif way == "killed":
            self.server.server.send_signal(signal.SIGKILL)
            self.server.server.wait(10)
        else:
            self.server.stop()

    def come_back(self) -> None:
        if self._silent:
            psutil.Process(self.server.pid).resume()
            self._silent = False
            return
        self.server.stop()
        self.server = temporal_server.start(
            self.directory, namespace=NAMESPACE, program=self.server.program, ports=self.server.ports
        )

    def close(self) -> None:
        if self._silent:
            self.come_back()
        self.server.stop()


async def k5(run: Run) -> None:
    """Temporal goes away under load and comes back; nothing is refused, nothing is lost, nothing is started twice."""
    slowest_s = 0.0
    with dev_server() as temporal, on_temporal(temporal.server.address) as service:
        await service.ready()
        async with opened(service) as shop:
            await shop.paid_order(run.rng)
            for number in range(1, run.times + 1):
                way = WAYS[(number - 1 + run.seed) % len(WAYS)]
                took_s = await _away_once(run, temporal, shop, way)
                slowest_s = max(slowest_s, took_s)
                await _each_started_once(temporal, service, shop)
                run.say(f"round {number}: {way}; drained {took_s:.1f} s after its return; {await check(shop)}")
            if shop.api.unavailable:
                raise AssertionError(f"{shop.api.unavailable} requests were answered 503")
    allowed_s = run.limit_s(DRAINED_WITHIN_S)
    run.say(f"slowest drain: {slowest_s:.1f} s (allowed at this load: {allowed_s:.0f} s)")
    if slowest_s > allowed_s:
        raise AssertionError(f"the backlog was drained only after {slowest_s:.0f} s")


async def _away_once(run: Run, temporal: Away, shop: Shop, way: str) -> float:
    """One absence; answers how long after its return all that was accepted meanwhile was paid."""
    away_s = run.rng.uniform(*AWAY_S) if run.loud else AWAY_SMOKE_S
    noticed_s = run.limit_s(NOTICED_WITHIN_S)
    began_s = time.monotonic()
    async with _buyers(shop, run.rng) as orders:
        await asyncio.to_thread(temporal.go, way)
        gone_at = len(orders)
        await until_found(lambda: _engine_is(shop, "degraded"), noticed_s, "readiness says that Temporal is away")
        left_s = max(0.0, away_s - (time.monotonic() - began_s))
        await asyncio.sleep(left_s)
        while len(orders) < gone_at + BUYERS:  # some at least, however slow this machine is
            await asyncio.sleep(0.05)
    await asyncio.to_thread(temporal.come_back)
    back_s = time.monotonic()
    limit_s = run.limit_s(DRAINED_WITHIN_S) + 30.0
    for order_id in orders:
        paid = await shop.settled(order_id, within_s=max(1.0, back_s + limit_s - time.monotonic()))
        if paid["status"] != "captured":
            raise AssertionError(f"an order that was accepted while Temporal was away ended as {paid}")
    took_s = time.monotonic() - back_s
    await until_found(lambda: _engine_is(shop, "ok"), noticed_s, "readiness says that Temporal is back")
    return took_s


@contextlib.asynccontextmanager
async def _buyers(shop: Shop, rng: random.Random) -> AsyncIterator[list[str]]:
    """Orders that are paid without waiting for their outcome, for the length of the block; gives their ids."""
    orders: list[str] = []
    ending = asyncio.Event()

    async def buy(own: random.Random) -> None:
        while not ending.is_set():
            order = await shop.order(own)
            answer = await shop.pay(order["id"], rng=own)
            if answer.status != 200 or answer.body["status"] not in {"processing", "captured"}:
                raise AssertionError(f"a payment was answered {answer.status}: {answer.raw!r}")
            orders.append(order["id"])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), own.uniform(*PAUSE_S))

    tasks = [asyncio.create_task(buy(random.Random(rng.getrandbits(64)))) for _ in range(BUYERS)]
    try:
        yield orders
        ending.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _engine_is(shop: Shop, status: str) -> bool:
    """Whether readiness says so of the engine, with a reason; it can serve all the time."""
    answer = await shop.api.once("GET", "/health/ready")
    if answer.status != 200:
        raise AssertionError(f"not ready while Temporal is away: {answer.raw!r}")
    engine: dict[str, Any] = answer.body["checks"]["engine"]
    return bool(engine["status"] == status and engine["detail"])


async def _each_started_once(temporal: Away, service: Service, shop: Shop) -> None:
    """Every acknowledged payment is one workflow, with one run."""
    client = await Client.connect(temporal.server.address, namespace=NAMESPACE)
    paid = {
        each.path.split("/")[3]
        for each in shop.api.acknowledged
        if each.path.endswith("/pay") and each.body["status"] != "failed"
    }
    query = f"MerchantId = '{shop.merchant_id}' AND WorkflowType = 'PaymentWorkflow'"
    runs: Counter[str] = Counter()

    async def all_listed() -> bool:
        runs.clear()
        async for each in client.list_workflows(query):
            runs[each.id] += 1
        return len(runs) >= len(paid)

    await until_found(all_listed, LISTED_WITHIN_S, f"{len(paid)} workflows are listed\n{service.relay.tail()}")
    if runs != Counter({f"payment-{order_id}": 1 for order_id in paid}):
        odd = {name: count for name, count in runs.items() if count != 1 or name.removeprefix("payment-") not in paid}
        raise AssertionError(f"workflows differ from what was accepted: {odd}")


@contextlib.contextmanager
def dev_server() -> Iterator[Away]:
    """A Temporal dev server for the length of the block. Raises PartMissing."""
    try:
        program = find_program()
    except TemporalServerError as problem:
        raise PartMissing(f"a Temporal dev server: {problem.message}") from None
    with open_directory() as directory:
        server = temporal_server.start(directory, namespace=NAMESPACE, program=program, ports=Ports.any())
        away = Away(directory, server)
        try:
            yield away
        finally:
            away.close()


@contextlib.contextmanager
def on_temporal(address: str) -> Iterator[Service]:
    """A service on that engine, its worker included."""
    with prepared(disk=None, TEMPORAL_ADDRESS=address, TEMPORAL_NAMESPACE=NAMESPACE) as service:
        for name in ("sandbox", "api", "relay", "worker"):
            service.part(name).start()
        service.wait_for_ports()
        yield service


ROWS: Final = (Row("K5", "Temporal away for a while under load", "own", smoke=1, full=3, own=k5),)
