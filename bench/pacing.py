"""An open loop: calls that start at a steady pace, however long each takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.samples import Window

Marks = dict[str, float]
"""What was done at which CLOCK_MONOTONIC second, which all processes of a machine share."""


async def run(call: Callable[[], Awaitable[str]], per_s: float, window: Window) -> tuple[Marks, float]:
    """Start ``call`` ``per_s`` times a second over warm-up and window; each returns the name of what it did.

    Returns when each was started, and the time from which on they count. Raises what a call raises.
    """
    started: Marks = {}
    origin_s = time.monotonic()

    async def one(due_s: float) -> None:
        await asyncio.sleep(max(due_s - time.monotonic(), 0))
        started_s = time.monotonic()
        started[await call()] = started_s

    async with asyncio.TaskGroup() as tasks:
        for number in range(round(per_s * (window.warmup_s + window.seconds))):
            tasks.create_task(one(origin_s + number / per_s))
    return started, origin_s + window.warmup_s
