"""A closed loop in this process: N callers, each starting its next call when its last one ended."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.samples import Count, Sample, Window


async def run(call: Callable[[], Awaitable[object]], callers: int, window: Window) -> Sample:
    """``callers`` tasks. What ends within the window counts. Raises what a call raises."""
    count = Count(window)

    async def caller() -> None:
        over = False
        while not over:
            started_s = time.perf_counter()
            await call()
            over = count.ended(started_s)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
    return count.sample()


def run_threads(call: Callable[[], object], threads: int, window: Window) -> Sample:
    """The same with threads."""
    count = Count(window)

    def caller(_: int) -> None:
        over = False
        while not over:
            started_s = time.perf_counter()
            call()
            over = count.ended(started_s)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(caller, range(threads)))
    return count.sample()


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection of the measuring process within the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
