"""A relay whose slots are all taken, while more and more is announced to it."""

from __future__ import annotations

import asyncio
import time

import pytest

from payloops.db import Database
from payloops.workflows_bridge import relay as relays
from payloops.workflows_bridge.engines.base import Work
from tests.integration.relay.engine import NotingEngine, start_row, until, write
from tests.integration.relay.test_relay import UNHURRIED, relaying

SLOTS = 4
YOUNG_S = 40.0
"""How long its rows count as young: so long nobody else would run, if it waited for what is there already."""


async def test_a_full_relay_lets_what_it_has_in_hand_go_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "YOUNG_S", YOUNG_S)
    release = asyncio.Event()

    async def held(_name: str, _work: Work) -> None:
        await release.wait()

    engine = NotingEngine(held)
    options = relays.RelayOptions(concurrency=SLOTS, lease_s=60.0, poll_s=UNHURRIED.poll_s)
    async with relaying(database, engine, options):
        await write(database, [start_row(f"{n}") for n in range(2 * SLOTS)])
        await until(lambda: len(engine.begun) == SLOTS)
        began_s = time.monotonic()
        await write(database, [start_row("more")])
        for _ in range(20):
            await asyncio.sleep(0.01)
        release.set()
        await until(lambda: len(engine.ended) == 2 * SLOTS + 1)
        assert time.monotonic() - began_s < YOUNG_S
