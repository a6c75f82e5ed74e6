"""The engine for more than one machine: it tells a Temporal server what to run; workers do the rest.

A row is done when the server has it. Start and signal are idempotent: an id that runs or has run is not started again,
and a workflow that is told something twice asks twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from payloops.errors import PayloopsError
from payloops.telemetry import traceparent
from payloops.workflows_bridge.contracts import (
    BACKEND_QUEUE,
    ContractViolation,
    SignalWorkflow,
    StartWorkflow,
    WorkflowType,
    processor_queue,
)
from payloops.workflows_bridge.engines.base import Advance, Answer, NotTaken, Run, Taken, Work
from payloops.workflows_bridge.temporal.causes import Cause
from payloops.workflows_bridge.temporal.connection import RPC_TIMEOUT
from payloops.workflows_bridge.temporal.preparation import Preparation

MOVED: Final = {"result": {"moved": "temporal"}}
"""What is left in the embedded engine's table of a workflow that Temporal has taken over."""


class Refused(PayloopsError):
    """The server will not have this one call. Names its status, never what was sent."""


class TemporalEngine:
    """See Engine. It keeps nothing but the connection: any relay can take any row.

    A workflow that the embedded engine began, before the setting was changed, is carried over with its state as soon as
    it has something to do.
    """

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation

    async def start(self, start: StartWorkflow, work: Work) -> Taken:
        """See Engine."""
        if work.run is None:
            await self._start(start, work, [start.input])
        return Taken()

    async def signal(self, signal: SignalWorkflow, work: Work) -> Answer:
        """See Engine. The rows of one workflow come in order, so a signal never overtakes the start."""
        moved = None
        if work.run is not None and not work.run.finished:
            moved = await self._carry_over(work.run, work)
        client = await self._preparation.client()
        work.require_lease()
        try:
            handle = client.get_workflow_handle(signal.workflow_id)
            await handle.signal(signal.signal, signal.payload, rpc_timeout=RPC_TIMEOUT)
        except RPCError as problem:
            trouble = await self._preparation.passing(problem)
            if trouble is not None:
                raise trouble from problem
            if problem.status is RPCStatusCode.NOT_FOUND:
                return NotTaken("finished or unknown")
            raise _refused(problem) from problem
        return Taken(moved)

    async def wake(self, version: int, work: Work) -> Taken:
        """See Engine. Temporal keeps its timers itself: this one is the embedded engine's."""
        if work.run is None or work.run.finished or work.run.version != version:
            return Taken()
        return Taken(await self._carry_over(work.run, work))

    async def _carry_over(self, run: Run, work: Work) -> Advance:
        told = run.state.get("told")
        if not isinstance(told, Mapping):
            raise ContractViolation(f"{run.type}: the saved state has no input")
        start = StartWorkflow(
            type=run.type,
            workflow_id=work.key,
            task_queue=_queue(run.type, told),
            input=dict(told),
            merchant_id=str(told.get("merchantId")),
            order_id=told.get("orderId"),
        )
        await self._start(start, work, [start.input, {"state": dict(run.state)}])
        return Advance(run.type, MOVED, run.version, finished=True)

    async def _start(self, start: StartWorkflow, work: Work, arguments: list[Any]) -> None:
        client = await self._preparation.client()
        work.require_lease()
        try:
            await self._ask(client, start, work, arguments)
        except RPCError as problem:
            trouble = await self._preparation.passing(problem)
            if trouble is not None:
                raise trouble from problem
            if not self._preparation.refused(problem):
                raise _refused(problem) from problem
            await self._ask(client, start, work, arguments)

    async def _ask(self, client: Client, start: StartWorkflow, work: Work, arguments: list[Any]) -> None:
        attributes = {
            "CorrelationId": work.correlation_id,
            "MerchantId": start.merchant_id,
            "OrderId": start.order_id,
        }
        try:
            await client.start_workflow(
                start.type,
                args=arguments,
                id=start.workflow_id,
                task_queue=start.task_queue,
                memo=Cause(work.correlation_id, traceparent() or work.traceparent or "").to_json(),
                search_attributes=self._preparation.attributes(attributes),
                static_summary=None if start.order_id is None else f"order {start.order_id}",
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            # It runs, or has run: that is success.
            return


def _queue(workflow: str, told: Mapping[str, Any]) -> str:
    if workflow == WorkflowType.WEBHOOK_DELIVERY:
        return BACKEND_QUEUE
    return processor_queue(str(told.get("processor")))


def _refused(problem: RPCError) -> Refused:
    return Refused(f"Temporal refuses: {problem.status.name}")
