"""Temporal's workers, and their process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from payloops.bootstrap.core import core
from payloops.bootstrap.relaying import outbound_webhooks
from payloops.bootstrap.running import run_until_stopped
from payloops.config import Settings
from payloops.errors import ConfigurationError
from payloops.values import Clock

if TYPE_CHECKING:
    from payloops.workflows_bridge.temporal.worker import QueueWorkers


@asynccontextmanager
async def temporal_workers(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[QueueWorkers]:
    """The workers of the settings' task queues, to be run within the block. Raises as ``core``."""
    from payloops.workflows_bridge.accounts import ProcessorAccounts
    from payloops.workflows_bridge.activities import Activities
    from payloops.workflows_bridge.contract_activities import ContractActivities
    from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
    from payloops.workflows_bridge.temporal.preparation import Preparation
    from payloops.workflows_bridge.temporal.worker import QueueWorkers, WorkerOptions

    server = ServerAddress.from_settings(settings)
    async with core(settings, "worker", clock=clock) as base, AsyncExitStack() as stack:
        webhooks = await stack.enter_async_context(outbound_webhooks(base))
        accounts = ProcessorAccounts(
            base.database,
            base.ring,
            api_bases={"stripe": settings.stripe_api_base, "razorpay": settings.razorpay_api_base},
            timeout_s=settings.processor_timeout_s,
            clock=base.clock,
        )
        stack.push_async_callback(accounts.close)
        await accounts.open()
        contract = ContractActivities(
            handler=base.handler,
            orders=base.orders,
            database=base.database,
            ring=base.ring,
            personal=base.personal,
            clock=base.clock,
        )
        yield QueueWorkers(
            Preparation(Connection(server, part="worker")),
            WorkerOptions(
                queues=settings.worker_queues,
                activities_max=settings.worker_concurrency,
                workflow_tasks_max=settings.worker_concurrency,
                deployment=settings.worker_deployment,
                build_id=settings.worker_build_id,
            ),
            activities=Activities(
                handler=base.handler,
                orders=base.orders,
                accounts=accounts,
                personal=base.personal,
                clock=base.clock,
                others=webhooks.activities,
            ),
            contract_activities={**contract.by_name, **webhooks.contract.by_name},
        )


def run_worker(settings: Settings) -> int:
    """The Temporal worker, until SIGTERM or SIGINT; then what runs is finished, or broken off after a while.

    Raises ConfigurationError where the embedded engine is chosen: there the relay does it all.
    """
    if settings.workflow_engine != "temporal":
        raise ConfigurationError(
            "payloops worker: WORKFLOW_ENGINE is embedded, and the relay runs that one; set TEMPORAL_ADDRESS",
            param="WORKFLOW_ENGINE",
        )

    async def serve(stopping: asyncio.Event) -> None:
        async with temporal_workers(settings) as workers:
            await workers.run(stopping)

    return run_until_stopped(serve)
