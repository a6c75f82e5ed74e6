"""A worker that is told to stop amid its work ends in time and in order, each time; what it had in hand is done."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from functools import partial
from typing import Final

import pytest

from tests.gauntlet.checker import check
from tests.gauntlet.service import Part, prepared
from tests.gauntlet.shop import opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until
from tests.temporal import servers

pytestmark = [pytest.mark.temporal, pytest.mark.slow]

WORKERS: Final = 4
ROUNDS: Final = 5
"""Twenty exits."""
POLLS_WITHIN_S: Final = 120.0
ENDS_WITHIN_S: Final = 60.0
"""The wire contract's ten seconds ("Command line") are for a machine that is not busy with other tests."""


async def test_a_worker_ends_in_order_each_time_that_it_is_told_to() -> None:
    rng = random.Random(7)
    with (
        servers.dev_server() as server,
        prepared(TEMPORAL_ADDRESS=server.address, TEMPORAL_NAMESPACE=servers.NAMESPACE) as service,
    ):
        for name in ("sandbox", "api", "relay"):
            service.part(name).start()
        workers = [service.part(f"worker {number}", kind="worker") for number in range(WORKERS)]
        spare = service.part("spare", kind="worker")
        service.wait_for_ports()
        await service.ready()
        async with opened(service) as shop:
            for number in range(ROUNDS):
                for worker in workers:
                    worker.start()
                await until(partial(all_poll, workers, number + 1), POLLS_WITHIN_S, "all of them poll")
                async with under_load(shop, rng):
                    await more_acknowledged(shop, rng.randint(10, 30))
                    ends = await asyncio.gather(*(end_of(worker) for worker in workers))
                    assert ends == [0] * WORKERS, [worker.tail() for worker in workers]
                    spare.start()
                await asyncio.to_thread(spare.stop)
            spare.start()
            verdict = await check(shop)
    assert verdict.orders


def all_poll(workers: list[Part], times: int) -> bool:
    """Whether each has begun so often."""
    return all(worker.log.read_text().count("the worker polls") >= times for worker in workers)


async def end_of(part: Part) -> int | None:
    """The status of a part that is told to stop."""
    part.send(signal.SIGTERM)
    assert part.process is not None
    return await asyncio.to_thread(part.process.wait, ENDS_WITHIN_S)


@pytest.mark.parametrize(("loaded", "said"), (("temporalio.bridge.runtime", "done\n"), ("json", "done\ntaken down\n")))
def test_with_the_sdk_loaded_the_interpreter_is_not_taken_down(loaded: str, said: str) -> None:
    """Its threads may be calling Python at that moment, which would abort the process."""
    code = (
        f"import atexit, {loaded}, payloops.__main__ as program\n"
        "atexit.register(print, 'taken down')\n"
        "program.main = lambda: print('done') or 3\n"
        "program.program()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, said)
