"""A relay with the embedded engine and all that it stands on, for the composition root and for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from payloops.commands.aggregates import Orders
from payloops.commands.handlers import CommandHandler
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.projections.personal_data import PersonalData
from payloops.values import Clock
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.engines.embedded import EmbeddedEngine
from payloops.workflows_bridge.machines.registry import machines
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, Schedule
from payloops.workflows_bridge.processors.base import TIMEOUT_S_DEFAULT
from payloops.workflows_bridge.relay import Relay, RelayOptions
from payloops.workflows_bridge.untaken import DirectMoves


@asynccontextmanager
async def embedded_relay(
    database: Database,
    handler: CommandHandler,
    orders: Orders,
    *,
    ring: KeyRing,
    personal: PersonalData,
    clock: Clock,
    api_bases: Mapping[str, str],
    processor_timeout_s: float = TIMEOUT_S_DEFAULT,
    options: RelayOptions | None = None,
    schedule: Schedule = CONTRACT_SCHEDULE,
) -> AsyncIterator[Relay]:
    """A relay that runs for the length of the block.

    ``api_bases`` holds a processor's base URL by its name (STRIPE_API_BASE, RAZORPAY_API_BASE). ``orders`` must write
    the outbox (``outbox.OUTBOX``) beside its read tables: what the workflows record has effects of its own.
    """
    async with AsyncExitStack() as stack:
        accounts = ProcessorAccounts(database, ring, api_bases=api_bases, timeout_s=processor_timeout_s, clock=clock)
        stack.push_async_callback(accounts.close)
        await accounts.open()
        activities = Activities(handler=handler, orders=orders, accounts=accounts, personal=personal, clock=clock)
        engine = EmbeddedEngine(machines(schedule), activities)
        relay = Relay(database, engine, untaken=DirectMoves(activities), options=options)
        stack.push_async_callback(relay.close)
        await relay.open()
        yield relay
