"""The service over a real Temporal server: commands, a relay that hands workflows over, and workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.contract_activities import ContractActivities
from payloops.workflows_bridge.embedded_relay import embedded_relay
from payloops.workflows_bridge.engines.temporal import TemporalEngine
from payloops.workflows_bridge.relay import Relay, RelayOptions
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from payloops.workflows_bridge.temporal.worker import QueueWorkers, WorkerOptions
from payloops.workflows_bridge.temporal.workflows import PAYMENT_WORKFLOWS
from tests.workflows.world import OPTIONS, RING, World, eventually, opened, process

QUEUES = ("stripe-payments", "razorpay-payments", "backend-operations")


@dataclass
class TemporalWorld:
    """``base`` is the world of the embedded engine's tests; here its relays speak to ``server``."""

    base: World
    client: Client
    server: ServerAddress

    def preparation(self) -> Preparation:
        return Preparation(Connection(self.server, part="test"))

    @asynccontextmanager
    async def relaying(self, options: RelayOptions = OPTIONS) -> AsyncIterator[Relay]:
        """A relay as a process of its own has it."""
        base = self.base
        async with (
            opened(base.dsn) as database,
            process(database) as (handler, personal),
            embedded_relay(
                database,
                handler,
                base.orders,
                ring=RING,
                personal=personal,
                clock=base.clock,
                api_bases=self.api_bases,
                processor_timeout_s=2.0,
                options=options,
                engine=TemporalEngine(self.preparation()),
            ) as relay,
        ):
            yield relay

    @asynccontextmanager
    async def working(
        self,
        queues: tuple[str, ...] = QUEUES,
        workflows: Sequence[type[Any]] = PAYMENT_WORKFLOWS,
        *,
        timeout_s: float = 2.0,
        grace_s: float = 1.0,
        deployment: str = "",
        build_id: str = "test",
    ) -> AsyncIterator[None]:
        """A worker for each queue, as a process of its own has them."""
        base, stopping, ready = self.base, asyncio.Event(), asyncio.Event()
        async with opened(base.dsn) as database, process(database) as (handler, personal):
            accounts = ProcessorAccounts(database, RING, api_bases=self.api_bases, timeout_s=timeout_s)
            await accounts.open()
            activities = Activities(
                handler=handler, orders=base.orders, accounts=accounts, personal=personal, clock=base.clock
            )
            contract = ContractActivities(
                handler=handler, orders=base.orders, database=database, ring=RING, personal=personal, clock=base.clock
            )
            workers = QueueWorkers(
                self.preparation(),
                WorkerOptions(queues=queues, grace_s=grace_s, deployment=deployment, build_id=build_id),
                activities=activities,
                contract_activities=contract.by_name,
                payment_workflows=workflows,
            )
            task = asyncio.create_task(workers.run(stopping, ready=ready))
            try:
                await asyncio.wait_for(ready.wait(), 60)
                yield
            finally:
                stopping.set()
                await asyncio.wait_for(task, 60)
                await accounts.close()

    @asynccontextmanager
    async def serving(self, workflows: Sequence[type[Any]] = PAYMENT_WORKFLOWS) -> AsyncIterator[None]:
        """A relay and workers."""
        async with self.relaying(), self.working(workflows=workflows):
            yield

    @property
    def api_bases(self) -> dict[str, str]:
        return {"stripe": self.base.sandbox.stripe_url, "razorpay": self.base.sandbox.razorpay_url}

    def payment(self, order_id: UUID) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(f"payment-{order_id}")

    async def result(self, workflow_id: str) -> Any:
        """A workflow's result, once it has one."""
        return await asyncio.wait_for(self.client.get_workflow_handle(workflow_id).result(), 60)

    async def waits(self, order_id: UUID) -> Any:
        """The state of a payment's workflow once it waits."""
        handle = self.payment(order_id)
        state: dict[str, Any] = {}

        async def waiting() -> bool:
            state.update(await handle.query("state"))
            return bool(state["doing"] == "waiting")

        await eventually(waiting, "the workflow waits")
        return state

    async def terminate_all(self) -> None:
        """Whatever still waits would be taken up by the next test's workers."""
        async for execution in self.client.list_workflows('ExecutionStatus="Running"'):
            try:
                await self.client.get_workflow_handle(execution.id).terminate()
            except RPCError as problem:
                # The list lags behind: one of it may have ended.
                if problem.status is not RPCStatusCode.NOT_FOUND:
                    raise


async def history_of(handle: WorkflowHandle[Any, Any]) -> str:
    """All of a workflow's history, as JSON."""
    return (await handle.fetch_history()).to_json()


def cause_of(problem: BaseException) -> ApplicationError:
    """The application's error at the end of the chain."""
    while not isinstance(problem, ApplicationError):
        assert problem.__cause__ is not None, problem
        problem = problem.__cause__
    return problem
