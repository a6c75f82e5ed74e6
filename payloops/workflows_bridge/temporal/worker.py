"""The worker: polls the task queues, runs workflows and activities, and outlives a server that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from payloops.errors import Unavailable
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.contracts import BACKEND_QUEUE
from payloops.workflows_bridge.temporal.hosting import Causes, Function, Hosted, for_others, own
from payloops.workflows_bridge.temporal.log_lines import CorrelatedLines
from payloops.workflows_bridge.temporal.preparation import Preparation
from payloops.workflows_bridge.temporal.tracing import CalledFrom
from payloops.workflows_bridge.temporal.workflows import BACKEND_WORKFLOWS, PAYMENT_WORKFLOWS

GRACE_S: Final = 6.0
"""How long activities may go on when the worker stops; one that is broken off is called again elsewhere."""
PURE_MODULES: Final = (
    "payloops.workflows_bridge.contracts",
    "payloops.workflows_bridge.machines",
    "payloops.workflows_bridge.temporal.calls",
    "payloops.workflows_bridge.temporal.causes",
    "payloops.workflows_bridge.temporal.driver",
    "payloops.workflows_bridge.temporal.workflows",
)
"""What workflows consist of. None of it reaches a clock, chance or the world (a test looks at their imports), so the
sandbox takes them as they are instead of loading them anew for each workflow: that halves a workflow's cost."""
RUNNER: Final = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE_MODULES)
)
NO_BUILD_ID: Final = "unnamed"
PAUSE_MIN_S: Final = 0.5
PAUSE_MAX_S: Final = 10.0
SAY_AGAIN_S: Final = 60.0
"""That the server is away is said this often."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """``queues`` are the task queues; the limits are for each of them."""

    queues: tuple[str, ...]
    activities_max: int = 64
    workflow_tasks_max: int = 64
    cached_workflows_max: int = 1000
    deployment: str = ""
    build_id: str = ""
    """With both, the worker takes part in Temporal's worker versioning; without the first, it takes any task."""
    grace_s: float = GRACE_S


class QueueWorkers:
    """One worker for each task queue, over one client."""

    def __init__(
        self,
        preparation: Preparation,
        options: WorkerOptions,
        *,
        activities: Activities,
        contract_activities: Mapping[str, Function],
        payment_workflows: Sequence[type[Any]] = PAYMENT_WORKFLOWS,
        backend_workflows: Sequence[type[Any]] = BACKEND_WORKFLOWS,
    ) -> None:
        self._preparation = preparation
        self._options = options
        self._activities = activities
        self._contract_activities = contract_activities
        self._workflows = {False: payment_workflows, True: backend_workflows}
        self._lines = CorrelatedLines()

    async def run(self, stopping: asyncio.Event, *, ready: asyncio.Event | None = None) -> None:
        """Work until ``stopping``; then finish what runs, for the grace period at most.

        ``ready`` is set when the server answers and the queues are about to be polled.
        """
        with self._lines.attached():
            await self._keep_working(stopping, ready)

    async def _keep_working(self, stopping: asyncio.Event, ready: asyncio.Event | None) -> None:
        pause_s = PAUSE_MIN_S
        while not stopping.is_set():
            client = await self._client(stopping)
            if client is None:
                return
            workers = [self._worker(client, queue) for queue in self._options.queues]
            began_s = asyncio.get_running_loop().time()
            try:
                await self._work(workers, stopping, ready)
            except Exception as problem:  # noqa: BLE001 - the SDK ends a worker for what it can't go on from
                _log.error("the worker ended and starts again: %s: %s", type(problem).__name__, problem)
            if asyncio.get_running_loop().time() - began_s > SAY_AGAIN_S:
                pause_s = PAUSE_MIN_S
            pause_s = await _pause(stopping, pause_s)

    async def _client(self, stopping: asyncio.Event) -> Client | None:
        """The client, once the server answers; None when it is time to stop."""
        loop, pause_s, said_at_s = asyncio.get_running_loop(), PAUSE_MIN_S, float("-inf")
        while not stopping.is_set():
            try:
                return await self._preparation.client()
            except Unavailable as problem:
                if loop.time() - said_at_s >= SAY_AGAIN_S:
                    said_at_s = loop.time()
                    _log.warning("the worker waits: %s", problem.message)
            pause_s = await _pause(stopping, pause_s)
        return None

    async def _work(self, workers: Sequence[Worker], stopping: asyncio.Event, ready: asyncio.Event | None) -> None:
        """Raises what ends one of the workers."""
        runs = [asyncio.create_task(worker.run(), name=f"worker-{worker.task_queue}") for worker in workers]
        stop = asyncio.create_task(stopping.wait(), name="worker-stop")
        _log.info("the worker polls %s", ", ".join(worker.task_queue for worker in workers))
        if ready is not None:
            ready.set()
        try:
            await asyncio.wait([stop, *runs], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            with suppress(asyncio.CancelledError):
                await stop
            ended = [run for run in runs if run.done()]
            await asyncio.gather(
                *(worker.shutdown() for worker, run in zip(workers, runs, strict=True) if not run.done()),
                return_exceptions=True,
            )
            await asyncio.gather(*runs, return_exceptions=True)
        for run in ended:
            run.result()

    def _worker(self, client: Client, queue: str) -> Worker:
        options, backend = self._options, queue == BACKEND_QUEUE
        hosted: list[Hosted] = own(self._activities)
        if backend:
            hosted += for_others(self._contract_activities, Causes(client))
        return Worker(
            client,
            task_queue=queue,
            workflows=self._workflows[backend],
            workflow_runner=RUNNER,
            activities=hosted,
            max_concurrent_activities=options.activities_max,
            max_concurrent_workflow_tasks=options.workflow_tasks_max,
            max_cached_workflows=options.cached_workflows_max,
            graceful_shutdown_timeout=timedelta(seconds=options.grace_s),
            interceptors=[CalledFrom(), self._lines],
            **_version(options),
        )


def _version(options: WorkerOptions) -> dict[str, Any]:
    """With a deployment, a workflow stays with the version that began it: what it decides can't change under it.

    A build id is given in any case: to make one up, the SDK reads all modules of the process, which takes seconds.
    """
    if not options.deployment:
        return {"build_id": options.build_id or NO_BUILD_ID}
    version = WorkerDeploymentVersion(deployment_name=options.deployment, build_id=options.build_id)
    config = WorkerDeploymentConfig(
        version=version, use_worker_versioning=True, default_versioning_behavior=VersioningBehavior.PINNED
    )
    return {"deployment_config": config}


async def _pause(stopping: asyncio.Event, pause_s: float) -> float:
    """Wait, unless it is time to stop; answers the next pause."""
    with suppress(TimeoutError):
        async with asyncio.timeout(pause_s):
            await stopping.wait()
    return min(pause_s * 2, PAUSE_MAX_S)
