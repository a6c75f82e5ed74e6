"""The only place where objects are wired together, for processes and tests alike."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvloop

from payloops.commands import aggregates
from payloops.commands.aggregates import Merchants, Orders
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.config import SANDBOX_HOST, Settings
from payloops.crypto import HashingPool, JwtSigner, KeyRing
from payloops.db import Database
from payloops.errors import ConfigurationError, Unavailable
from payloops.events.store import EventStore
from payloops.http.app import build_server
from payloops.http.services import CheckResult, Services
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
from payloops.workflows_bridge.outbox_table import OutboxTable

if TYPE_CHECKING:
    from payloops.workflows_bridge.relay import Relay

MERCHANT_PROJECTIONS: Final = (MERCHANTS, API_KEYS, PROCESSOR_CONFIGS)
ORDER_PROJECTIONS: Final[tuple[InlineProjection, ...]] = (ORDERS, TRANSACTIONS, REFUNDS)

DATABASE_WAIT_S: Final = 20.0
"""How long a part that starts waits for the database: longer than a crash recovery of an embedded one."""
OUTBOX_LATE_S: Final = 5.0
"""A row that is due for longer than this is a sign that nobody dispatches."""
IDEMPOTENCY_KEPT_S: Final = 80 * 3600.0
"""Longer than the 72 hours that clients are promised."""
CLEAN_EVERY_S: Final = 60.0
CLEAN_ROWS_MAX: Final = 5_000
GC_YOUNG_OBJECTS: Final = 50_000
"""New objects between two looks for cycles; CPython's default is 700."""
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


@asynccontextmanager
async def services(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Services]:
    """What the API's handlers work with, for the length of the block. Raises as ``core``."""
    async with core(settings, "api", clock=clock) as base, AsyncExitStack() as stack:
        hashing = HashingPool()
        stack.callback(hashing.close)
        views = Views(base.database)
        stack.push_async_callback(views.close)
        key_uses = KeyUses(base.database, base.clock)
        stack.push_async_callback(key_uses.close)
        await key_uses.open()
        outbox = OutboxTable(base.database)
        stack.push_async_callback(outbox.close)
        yield Services(
            settings=settings,
            clock=base.clock,
            handler=base.handler,
            orders=base.orders,
            merchants=base.merchants,
            views=views,
            personal=base.personal,
            ring=base.ring,
            hashing=hashing,
            jwt=JwtSigner(
                settings.jwt_secret,
                expires_in_s=settings.jwt_expires_in_s,
                issuer=JWT_ISSUER,
                audience=JWT_AUDIENCE,
            ),
            key_uses=key_uses,
            checks={
                "database": lambda: _database_check(base),
                "schema": lambda: _schema_check(base),
                "projections": _projections_check,
                "outbox": lambda: _outbox_check(outbox),
                "engine": lambda: _engine_check(settings),
            },
        )


async def _database_check(base: Core) -> CheckResult:
    return CheckResult("ok", f"the log is at position {await base.store.head()}")


async def _schema_check(base: Core) -> CheckResult:
    state = await runner.check_schema(base.database)
    return CheckResult("ok" if state.ok else "down", state.message)


async def _projections_check() -> CheckResult:
    return CheckResult("ok", "all read tables are written in the append transaction")


async def _outbox_check(outbox: OutboxTable) -> CheckResult:
    backlog = await outbox.backlog()
    detail = f"{backlog.due} due, the first for {backlog.overdue_s:.1f} s; {backlog.parked} parked"
    late = backlog.overdue_s > OUTBOX_LATE_S or backlog.parked > 0
    return CheckResult("degraded" if late else "ok", detail)


async def _engine_check(settings: Settings) -> CheckResult:
    return CheckResult("ok", f"{settings.workflow_engine}, run by the relay")


def run_api(settings: Settings) -> int:
    """The HTTP API, until SIGTERM or SIGINT; then what was accepted is finished."""

    async def serve(stopping: asyncio.Event) -> None:
        async with services(settings) as parts:
            server = build_server(parts)
            await server.start(settings.host, settings.port, share_port=True)
            _log.info("the API listens on %s port %d", settings.host, settings.port)
            await stopping.wait()
            parts.stopping.set()
            await server.stop()

    return run_until_stopped(serve)


@asynccontextmanager
async def relay(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Relay]:
    """A relay with the embedded engine, running for the length of the block. Raises as ``core``."""
    # Here, so that an API process does not spend half a second on the processors' SDKs.
    from payloops.workflows_bridge.embedded_relay import embedded_relay
    from payloops.workflows_bridge.relay import RelayOptions

    async with core(settings, "relay", clock=clock) as base:
        options = RelayOptions(concurrency=settings.relay_concurrency, lease_s=settings.outbox_lease_s)
        async with embedded_relay(
            base.database,
            base.handler,
            base.orders,
            ring=base.ring,
            personal=base.personal,
            clock=base.clock,
            api_bases={"stripe": settings.stripe_api_base, "razorpay": settings.razorpay_api_base},
            processor_timeout_s=settings.processor_timeout_s,
            options=options,
        ) as running:
            cleaner = asyncio.create_task(_forget_old_keys(base.store), name="idempotency-cleaner")
            try:
                yield running
            finally:
                cleaner.cancel()
                await asyncio.gather(cleaner, return_exceptions=True)


async def _forget_old_keys(store: EventStore) -> None:
    while True:
        try:
            await store.forget_idempotency_keys(older_than_s=IDEMPOTENCY_KEPT_S, limit=CLEAN_ROWS_MAX)
        except Unavailable as problem:
            _log.warning("old idempotency keys were not deleted: %s", problem.message)
        await asyncio.sleep(CLEAN_EVERY_S)


def run_relay(settings: Settings) -> int:
    """The outbox relay with the embedded engine, until SIGTERM or SIGINT; then it gives its leases back."""
    if settings.workflow_engine != "embedded":
        raise ConfigurationError(
            "WORKFLOW_ENGINE: this release runs the embedded engine only; unset TEMPORAL_ADDRESS",
            param="WORKFLOW_ENGINE",
        )

    async def serve(stopping: asyncio.Event) -> None:
        async with relay(settings):
            _log.info("the relay runs, with %d slots", settings.relay_concurrency)
            await stopping.wait()

    return run_until_stopped(serve)


def run_worker(_settings: Settings) -> int:
    """Raises ConfigurationError: there is no Temporal worker in this release."""
    raise ConfigurationError("payloops worker: this release has no Temporal worker; the relay runs the embedded engine")


def run_projector(_settings: Settings) -> int:
    """Raises ConfigurationError: no read table is asynchronous in this release."""
    raise ConfigurationError("payloops projector: all read tables are written with the events; there is nothing to run")


def run_sandbox(settings: Settings) -> int:
    """The processors' simulator, until SIGTERM or SIGINT."""
    from payloops.sandbox.process import run_sandbox as run

    return run(
        settings.data_dir / "sandbox.sqlite3",
        host=SANDBOX_HOST,
        stripe_port=settings.sandbox_port,
        razorpay_port=settings.sandbox_port + 1,
    )


def _calm_garbage_collection() -> None:
    """Look for cycles seldom, and not among what the imports made, which stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 50)


def run_until_stopped(serve: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run ``serve`` on uvloop; the event it gets is set by SIGTERM or SIGINT. Returns the exit status."""

    async def main() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        _calm_garbage_collection()
        await serve(stopping)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main())
    return 0
