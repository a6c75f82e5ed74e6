"""Outbound webhooks wired together, for the relay and for the worker."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from payloops.commands.aggregates import Orders, WebhookDeliveries, WebhookEndpoints
from payloops.commands.handlers import CommandHandler
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.projections.personal_data import PersonalData
from payloops.projections.public_events import PublicEvents
from payloops.values import Clock
from payloops.workflows_bridge.activities import ActivityFunction
from payloops.workflows_bridge.contracts import Kind
from payloops.workflows_bridge.deliveries.bounds import Bounds
from payloops.workflows_bridge.deliveries.contract_activities import DeliveryContractActivities
from payloops.workflows_bridge.deliveries.deliverer import Deliverer, Parts
from payloops.workflows_bridge.deliveries.health import CONTRACT_LIMITS, Health, Limits
from payloops.workflows_bridge.deliveries.outside import Outside
from payloops.workflows_bridge.deliveries.publisher import Publisher
from payloops.workflows_bridge.deliveries.receivers import Receivers
from payloops.workflows_bridge.deliveries.resolver import Lookup, system_lookup
from payloops.workflows_bridge.deliveries.sender import TIMEOUT_S, Sender
from payloops.workflows_bridge.machines.results import Activity
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, DeliverySchedule
from payloops.workflows_bridge.relay import Task


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """``allow_loopback`` and ``https_only`` are settings; the rest are the contract's numbers, and what tests bring."""

    allow_loopback: bool
    https_only: bool
    schedule: DeliverySchedule = CONTRACT_SCHEDULE.delivery
    timeout_s: float = TIMEOUT_S
    limits: Limits = CONTRACT_LIMITS
    bounds: Bounds | None = None
    lookup: Lookup = system_lookup
    tls: ssl.SSLContext | None = None
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What others plug in."""

    activities: Mapping[str, ActivityFunction]
    """Of our own workflows, for ``Activities(others=…)``."""
    tasks: Mapping[str, Task]
    """Of the relay."""
    contract: DeliveryContractActivities
    """What external workers call."""


@asynccontextmanager
async def open_deliveries(
    database: Database,
    handler: CommandHandler,
    *,
    orders: Orders,
    deliveries: WebhookDeliveries,
    endpoints: WebhookEndpoints,
    ring: KeyRing,
    personal: PersonalData,
    clock: Clock,
    options: DeliveryOptions,
) -> AsyncIterator[Deliveries]:
    """The parts, for the length of the block. ``deliveries`` must write the outbox (``outbox.DELIVERY_OUTBOX``)."""
    sender = Sender(
        clock,
        allow_loopback=options.allow_loopback,
        https_only=options.https_only,
        timeout_s=options.timeout_s,
        lookup=options.lookup,
        tls=options.tls,
    )
    await sender.open()
    try:
        events, receivers = PublicEvents(database, personal), Receivers(database, ring)
        outside = Outside(events, receivers, sender, clock)
        parts = Parts(
            handler=handler,
            deliveries=deliveries,
            endpoints=endpoints,
            events=events,
            personal=personal,
            receivers=receivers,
            health=Health(database, options.limits),
            sender=sender,
            outside=outside,
            clock=clock,
        )
        deliverer = Deliverer(parts, schedule=options.schedule, bounds=options.bounds, chance=options.chance)
        contract = DeliveryContractActivities(
            handler=handler, orders=orders, personal=personal, receivers=receivers, outside=outside, clock=clock
        )
        yield Deliveries(
            activities={Activity.ATTEMPT_DELIVERY.value: deliverer.attempt},
            tasks={Kind.PUBLISH.value: Publisher(handler, deliveries, receivers, clock)},
            contract=contract,
        )
    finally:
        await sender.close()
