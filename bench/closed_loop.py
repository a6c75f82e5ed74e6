"""A closed loop in this process: N callers, each starting its next call when its last one ended."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.samples import Sample, Window, from_latencies


async def run(call: Callable[[], Awaitable[object]], callers: int, window: Window) -> Sample:
    """``callers`` tasks. What ends within the window counts. Raises what a call raises."""
    begin_s, end_s = _bounds(window)
    latencies_s: list[float] = []

    async def caller() -> None:
        started_s = time.perf_counter()
        while started_s < end_s:
            await call()
            ended_s = time.perf_counter()
            if begin_s <= ended_s < end_s:
                latencies_s.append(ended_s - started_s)
            started_s = ended_s

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
    return from_latencies(latencies_s, window.seconds)


def run_threads(call: Callable[[], object], threads: int, window: Window) -> Sample:
    """The same with threads."""
    begin_s, end_s = _bounds(window)

    def caller(_: int) -> list[float]:
        latencies_s = []
        started_s = time.perf_counter()
        while started_s < end_s:
            call()
            ended_s = time.perf_counter()
            if begin_s <= ended_s < end_s:
                latencies_s.append(ended_s - started_s)
            started_s = ended_s
        return latencies_s

    with ThreadPoolExecutor(threads) as pool:
        latencies_s = [latency_s for some in pool.map(caller, range(threads)) for latency_s in some]
    return from_latencies(latencies_s, window.seconds)


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection of the measuring process within the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _bounds(window: Window) -> tuple[float, float]:
    begin_s = time.perf_counter() + window.warmup_s
    return begin_s, begin_s + window.seconds
