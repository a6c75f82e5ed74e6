"""A relay with the embedded engine and all that it stands on, for the composition root and for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from payloops.commands.aggregates import Orders, processor_events
from payloops.commands.handlers import CommandHandler
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.projections.personal_data import PersonalData
from payloops.projections.processor_event_views import InboxViews
from payloops.projections.processor_events import PROCESSOR_EVENTS
from payloops.values import Clock
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities, ActivityFunction
from payloops.workflows_bridge.contracts import Kind
from payloops.workflows_bridge.engines.base import Engine
from payloops.workflows_bridge.engines.embedded import EmbeddedEngine
from payloops.workflows_bridge.inbox.outbox import INBOX_OUTBOX
from payloops.workflows_bridge.inbox.processing import Inbox, Patience
from payloops.workflows_bridge.machines.registry import machines
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, Schedule
from payloops.workflows_bridge.processors.base import TIMEOUT_S_DEFAULT
from payloops.workflows_bridge.relay import Relay, RelayOptions, Task
from payloops.workflows_bridge.sync import OrderSync
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
    engine: Engine | None = None,
    patience: Patience | None = None,
    tasks: Mapping[str, Task] | None = None,
    others: Mapping[str, ActivityFunction] | None = None,
) -> AsyncIterator[Relay]:
    """A relay that runs for the length of the block.

    ``api_bases`` holds a processor's base URL by its name (STRIPE_API_BASE, RAZORPAY_API_BASE). ``orders`` must write
    the outbox (``outbox.OUTBOX``) beside its read tables: what the workflows record has effects of its own.
    ``engine`` runs the workflows instead of the embedded one (engines/temporal.py). ``patience`` is for processors'
    events that come before what they build on. ``others`` are the activities of
    workflows that are no payment's (deliveries).
    """
    async with AsyncExitStack() as stack:
        accounts = ProcessorAccounts(database, ring, api_bases=api_bases, timeout_s=processor_timeout_s, clock=clock)
        stack.push_async_callback(accounts.close)
        await accounts.open()
        activities = Activities(
            handler=handler, orders=orders, accounts=accounts, personal=personal, clock=clock, others=others
        )
        chosen = engine or EmbeddedEngine(machines(schedule), activities)
        inbox = Inbox(
            views=InboxViews(database, personal),
            handler=handler,
            orders=orders,
            processor_events=processor_events(PROCESSOR_EVENTS, INBOX_OUTBOX),
            accounts=accounts,
            personal=personal,
            clock=clock,
            patience=patience,
        )
        sync = OrderSync(handler=handler, orders=orders, activities=activities, accounts=accounts, clock=clock)
        every_task: dict[str, Task] = {Kind.PROCESS.value: inbox, Kind.SYNC.value: sync, **(tasks or {})}
        relay = Relay(database, chosen, untaken=DirectMoves(activities), tasks=every_task, options=options)
        stack.push_async_callback(relay.close)
        await relay.open()
        yield relay
