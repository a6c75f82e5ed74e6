"""The only place where objects are wired together, for processes and tests alike."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import uvloop

from payloops.commands import aggregates
from payloops.commands.aggregates import Merchants, Orders
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.config import SANDBOX_HOST, Settings, http_url
from payloops.crypto import HashingPool, JwtSigner, KeyRing
from payloops.db import Database
from payloops.errors import ConfigurationError
from payloops.events.store import EventStore
from payloops.http.services import Services
from payloops.migrations import runner
from payloops.projections.base import InlineProjection
from payloops.projections.key_uses import KeyUses
from payloops.projections.merchants import API_KEYS, MERCHANTS, PROCESSOR_CONFIGS
from payloops.projections.orders import ORDERS
from payloops.projections.personal_data import PersonalData
from payloops.projections.refunds import REFUNDS
from payloops.projections.transactions import TRANSACTIONS
from payloops.projections.views import Views
from payloops.values import Clock, SystemClock
from payloops.workflows_bridge.outbox import OUTBOX

MERCHANT_PROJECTIONS: Final = (MERCHANTS, API_KEYS, PROCESSOR_CONFIGS)
ORDER_PROJECTIONS: Final[tuple[InlineProjection, ...]] = (ORDERS, TRANSACTIONS, REFUNDS)

DATABASE_WAIT_S: Final = 20.0
"""How long a part that starts waits for the database: longer than a crash recovery of an embedded one."""
JWT_ISSUER: Final = "payloops"
JWT_AUDIENCE: Final = "payloops-dashboard"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Core:
    """What every process of the service stands on."""

    settings: Settings
    clock: Clock
    database: Database
    store: EventStore
    handler: CommandHandler
    orders: Orders
    merchants: Merchants
    ring: KeyRing
    personal: PersonalData


def order_aggregate() -> Orders:
    """Orders with all that their events write."""
    return aggregates.orders(*ORDER_PROJECTIONS, OUTBOX)


def merchant_aggregate() -> Merchants:
    """Merchants with all that their events write."""
    return aggregates.merchants(*MERCHANT_PROJECTIONS)


@asynccontextmanager
async def core(settings: Settings, part: str, *, clock: Clock | None = None) -> AsyncIterator[Core]:
    """The core over ``settings.database_url``, for the length of the block.

    Raises ConfigurationError (the schema is not this release's), PoolTimeout (no database within DATABASE_WAIT_S).
    """
    database = Database(
        settings.database_url, min_size=2, max_size=settings.db_pool_max, application_name=f"payloops-{part}"
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        await database.open(wait_s=DATABASE_WAIT_S)
        await require_schema(database)
        store = EventStore(database, queue_max=settings.append_queue_max)
        stack.push_async_callback(store.close)
        await store.open()
        ring = KeyRing.from_setting(settings.encryption_key)
        yield Core(
            settings=settings,
            clock=clock or SystemClock(),
            database=database,
            store=store,
            handler=CommandHandler(store, ResponseKeeper(ring)),
            orders=order_aggregate(),
            merchants=merchant_aggregate(),
            ring=ring,
            personal=PersonalData(database, ring),
        )


async def require_schema(database: Database) -> None:
    """Raises ConfigurationError when the database is not at this release's schema; says what to run."""
    state = await runner.check_schema(database)
    if not state.ok:
        raise ConfigurationError(state.message)


def run_sandbox(settings: Settings) -> int:
    """The processors' simulator, until SIGTERM or SIGINT."""
    from payloops.sandbox.process import run_sandbox as run

    return run(
        settings.data_dir / "sandbox.sqlite3",
        host=SANDBOX_HOST,
        stripe_port=settings.sandbox_port,
        razorpay_port=settings.sandbox_port + 1,
    )


def run_until_stopped(serve: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run ``serve`` on uvloop; the event it gets is set by SIGTERM or SIGINT. Returns the exit status."""

    async def main() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await serve(stopping)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main())
    return 0
