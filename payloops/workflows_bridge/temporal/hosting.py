"""The activities as the server calls them: who they work for, heartbeats, and what history may keep of an error."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, TypeAlias

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError

from payloops.errors import Conflict, InvalidInput, NotFound, PayloopsError, RuleViolation, Unavailable
from payloops.telemetry import TraceContext, accept_correlation_id, correlation_id, span, trace_scope, traceparent
from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.temporal.causes import Cause
from payloops.workflows_bridge.temporal.tracing import called_from

Function: TypeAlias = Callable[[Mapping[str, Any], Caller], Awaitable[Any]]
Hosted: TypeAlias = Callable[..., Awaitable[Any]]

BEATS_PER_TIMEOUT: Final = 3
DESCRIBE_TIMEOUT: Final = timedelta(seconds=2)
CAUSES_MAX: Final = 10_000

_log = logging.getLogger(__name__)


class Causes:
    """What the workflows of others work for: their memo, asked for once a run, the CAUSES_MAX last ones kept."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: OrderedDict[str, Cause] = OrderedDict()

    async def of(self, info: activity.Info) -> Cause:
        """The cause of the workflow that called an activity; of one that knows none, its id is the correlation id."""
        workflow_id, run_id = info.workflow_id or "", info.workflow_run_id or ""
        kept = self._kept.get(run_id)
        if kept is not None:
            self._kept.move_to_end(run_id)
            return kept
        cause = Cause()
        try:
            handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
            description = await handle.describe(rpc_timeout=DESCRIBE_TIMEOUT)
            cause = Cause.from_json(await description.memo())
        except RPCError as problem:
            _log.debug("the memo of %s could not be read: %s", workflow_id, problem.status)
            return Cause(workflow_id)
        if not cause.correlation_id:
            cause = Cause(workflow_id, cause.traceparent)
        self._kept[run_id] = cause
        if len(self._kept) > CAUSES_MAX:
            self._kept.popitem(last=False)
        return cause


def own(activities: Activities) -> list[Hosted]:
    """Activities of this service's own workflows: told their input, and the cause as a second argument."""

    def host(name: str) -> Hosted:
        @activity.defn(name=name)
        async def run(told: Any = None, cause: Any = None) -> Any:
            return await _perform(name, told, Cause.from_json(cause), lambda told, by: activities.call(name, told, by))

        return run

    return [host(name) for name in activities.names]


def for_others(functions: Mapping[str, Function], causes: Causes) -> list[Hosted]:
    """The wire contract's activities, which workers of others call too: told their input only."""

    def host(name: str, function: Function) -> Hosted:
        @activity.defn(name=name)
        async def run(told: Any = None) -> Any:
            return await _perform(name, told, await causes.of(activity.info()), function)

        return run

    return [host(name, function) for name, function in functions.items()]


async def _perform(name: str, told: Any, cause: Cause, function: Function) -> Any:
    info = activity.info()
    workflow_id = info.workflow_id or ""
    # Not undone afterwards: the SDK's own line about a failure is written by this task too, and belongs to it.
    correlation_id.set(accept_correlation_id(cause.correlation_id))
    attributes: dict[str, str | int] = {"workflow.id": workflow_id, "workflow.attempt": info.attempt}
    with (
        trace_scope(TraceContext.parse(called_from.get()) or TraceContext.parse(cause.traceparent)),
        span(f"activity {name}", kind="consumer", attributes=attributes),
    ):
        caller = Caller(workflow_id, correlation_id.get(), traceparent(), repeated=info.attempt > 1)
        try:
            if not isinstance(told, Mapping):
                raise ContractViolation("the input must be an object")
            async with _heartbeats(info):
                return await function(told, caller)
        except Exception as problem:  # noqa: BLE001 - whatever it is, history gets our words of it
            raise _failure(name, problem, workflow_id) from None


@asynccontextmanager
async def _heartbeats(info: activity.Info) -> AsyncIterator[None]:
    """As long as the block runs, the server hears that its worker lives."""
    if not info.heartbeat_timeout:
        yield
        return

    async def beat(pause_s: float) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(pause_s)

    pause_s = info.heartbeat_timeout.total_seconds() / BEATS_PER_TIMEOUT
    task = asyncio.create_task(beat(pause_s), name="activity-heartbeat")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _failure(name: str, problem: Exception, workflow_id: str) -> ApplicationError:
    """The error as history may keep it: no text that is not ours, for a driver's may quote a row.

    Its type is the class (or the class of errors) that NEVER_AGAIN and workers of others can go by.
    """
    if isinstance(problem, ContractViolation):
        return ApplicationError(f"{name}: {problem}", type="ContractViolation", non_retryable=True)
    if isinstance(problem, NotFound | InvalidInput | RuleViolation):
        kind = next(cls.__name__ for cls in (NotFound, InvalidInput, RuleViolation) if isinstance(problem, cls))
        words = {"code": problem.code, "param": problem.param}
        return ApplicationError(f"{name}: {problem.message}", words, type=kind, non_retryable=True)
    if isinstance(problem, Unavailable | Conflict):
        _log.warning("%s could not be done yet: %s", name, problem.message, extra={"workflowId": workflow_id})
        return ApplicationError(
            f"{name}: {problem.message}", type=type(problem).__name__, category=ApplicationErrorCategory.BENIGN
        )
    if isinstance(problem, PayloopsError):
        return ApplicationError(f"{name}: {problem.message}", type=type(problem).__name__)
    _log.error("%s failed", name, exc_info=problem, extra={"workflowId": workflow_id})
    return ApplicationError(f"{name}: {type(problem).__name__}", type=type(problem).__name__)
