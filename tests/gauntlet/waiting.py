"""Waiting for something to be so, never for luck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.gauntlet.shop import Shop

LOOK_EVERY_S: Final = 0.02
MORE_WITHIN_S: Final = 60.0


async def until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait until it holds. Raises AssertionError."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(LOOK_EVERY_S)


async def more_acknowledged(shop: Shop, count: int) -> None:
    """Wait until so many more writes were answered."""
    goal = len(shop.api.acknowledged) + count
    await until(lambda: len(shop.api.acknowledged) >= goal, MORE_WITHIN_S, f"{count} more answers")


async def until_order(
    shop: Shop, order_id: str, holds: Callable[[dict[str, Any]], bool], *, within_s: float = 60.0
) -> dict[str, Any]:
    """Wait until the order is so; gives it. Raises AssertionError."""
    deadline_s = time.monotonic() + within_s
    while True:
        order = await shop.get(order_id)
        if holds(order):
            return order
        if time.monotonic() > deadline_s:
            raise AssertionError(f"an order that should have moved on within {within_s:g} s: {order}")
        await asyncio.sleep(LOOK_EVERY_S)


async def until_found(looks: Callable[[], Awaitable[bool]], within_s: float, what: str) -> None:
    """Wait until a look finds it. Raises AssertionError."""
    deadline_s = time.monotonic() + within_s
    while not await looks():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(LOOK_EVERY_S)
