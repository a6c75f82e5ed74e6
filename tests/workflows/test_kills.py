"""Relays that are killed, and relays that stand still past their lease: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from payloops.events.order_state import Captured, status
from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.outbox import intents
from tests.workflows.world import AMOUNT, FAST, OPTIONS, World, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
TOKENS = ("pm_card_visa", "pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired")


@asynccontextmanager
async def relay_process(world: World, dsn: str, *, lease_s: float = 1.0) -> AsyncIterator[asyncio.subprocess.Process]:
    """A relay in a process of its own; killed at the end if it still runs."""
    told = {
        "dsn": dsn,
        "lease_s": lease_s,
        "api_bases": {"stripe": world.sandbox.stripe_url, "razorpay": world.sandbox.razorpay_url},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.workflows.relay_process",
        cwd=ROOT,
        env={**os.environ, "RELAY": json.dumps(told)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"relaying\n"
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.slow
async def test_relays_that_are_killed_at_any_moment(world: World, database_url: str) -> None:
    chance = random.Random(7)
    orders = [await world.create() for _ in range(24)]
    for number, order_id in enumerate(orders):
        await world.pay(order_id, TOKENS[number % len(TOKENS)])
    for _ in range(2):
        async with relay_process(world, database_url) as process:
            await asyncio.sleep(chance.uniform(0.02, 0.25))
            process.kill()
    async with relay_process(world, database_url), relay_process(world, database_url):
        for number, order_id in enumerate(orders):
            expected = "captured" if number % len(TOKENS) < 2 else "failed"
            await world.reach(order_id, expected)
        await world.quiet()
    for number, order_id in enumerate(orders):
        payments = await world.agree(order_id)
        assert len(payments) == 1
        assert payments[0]["amountCaptured"] == (AMOUNT if number % len(TOKENS) < 2 else 0)


@pytest.mark.slow
async def test_a_relay_that_stands_still_past_its_lease_is_fenced(world: World, database_url: str) -> None:
    """SIGSTOP while the processor is slow; another relay takes over; SIGCONT."""
    await world.fault("payment.create", "slow", times=1)
    async with relay_process(world, database_url, lease_s=1.0) as process:
        order_id = await world.paid("pm_card_visa")

        async def asked() -> bool:
            return bool((await world.ledger())["calls"].get("payment.create"))

        await eventually(asked, "the processor was asked")
        os.kill(process.pid, signal.SIGSTOP)
        async with world.relaying(FAST, replace(OPTIONS, lease_s=1.0), timeout_s=5.0) as relay:
            await world.reach(order_id, "captured")
            await world.quiet()
            refund_id = await world.refund(order_id, 1000)
            os.kill(process.pid, signal.SIGCONT)
            await world.reach(order_id, "partially_refunded")
            await world.quiet()
            assert relay.counters.lost == 0
    state = await world.state(order_id)
    assert isinstance(state, Captured)
    assert list(state.refunds) == [refund_id]
    assert len(await world.agree(order_id)) == 1
    assert (await world.history(order_id)).count("PaymentCaptured") == 1


async def test_two_relays_with_a_lease_that_is_too_short(world: World) -> None:
    """Each believes that the other has lost its row: whatever they do together has the effect of one."""
    await world.fault("payment.create", "slow", times=6)
    hasty = replace(OPTIONS, lease_s=0.15, poll_s=0.05)
    async with world.relaying(FAST, hasty, timeout_s=5.0), world.relaying(FAST, hasty, timeout_s=5.0):
        orders = [await world.paid("pm_card_visa") for _ in range(3)]
        for order_id in orders:
            await world.reach(order_id, "captured")
        await world.quiet()
    for order_id in orders:
        assert len(await world.agree(order_id)) == 1
        assert (await world.history(order_id)).count("PaymentCaptured") == 1


async def test_starts_that_are_written_twice(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.quiet()
        events = await world.store.load(order_id)
        state = world.orders.initial
        for event in events:
            after = world.orders.evolve(state, event)
            for row in intents(state, event, after):  # type: ignore[arg-type]
                # The same effect again, then once more as if it were another.
                await world.insert(row)
                await world.insert({**row, "id": str(order_id)})
            state = after
        await world.quiet()
    assert status(await world.state(order_id)) == "captured"
    assert (await world.ledger())["calls"] == {"payment.create": 1}
    await world.agree(order_id)


@pytest.mark.parametrize("where", ("before", "after"))
@pytest.mark.parametrize("call", range(5))
async def test_a_crash_at_any_call(world: World, monkeypatch: pytest.MonkeyPatch, call: int, where: str) -> None:
    """3-D Secure, authorization, capture; the process dies at the n-th activity and goes on from its rows."""
    real, calls = Activities.call, count()

    async def dying(self: Activities, name: str, told: Any, caller: Caller) -> dict[str, Any]:
        mine = next(calls)
        if mine == call and where == "before":
            raise RuntimeError("killed")
        result = await real(self, name, told, caller)
        if mine == call:
            raise RuntimeError("killed")
        return result

    monkeypatch.setattr(Activities, "call", dying)
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired", capture_method="manual")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        await world.reach(order_id, "authorized")
        await world.capture(order_id, 1234)
        await world.reach(order_id, "captured")
        await world.quiet()
    assert next(calls) > call
    assert len(await world.agree(order_id)) == 1
    assert await world.history(order_id) == [
        "OrderCreated",
        "PaymentStarted",
        "PaymentActionRequired",
        "PaymentAuthorized",
        "CaptureRequested",
        "PaymentCaptured",
    ]
