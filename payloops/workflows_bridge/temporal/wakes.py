"""When workflows go on by themselves, as they say: for a person who looks at an order, never for a decision.

Whoever looks must not wait for Temporal: an answer that does not come at once is none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from payloops.errors import Unavailable
from payloops.workflows_bridge.temporal.connection import Connection, passing
from payloops.workflows_bridge.temporal.driver import STATE_QUERY

WITHIN_S: Final = 0.25
"""How long the answer may take in all, the first connection included."""
WORKFLOWS_MAX: Final = 16
"""Of more than these the first wake is not asked for: nothing but a flood of refunds without an answer has so many."""
QUERIES_MAX: Final = 32
"""At a time, in all of the process; a worker has to answer each."""

_NEVER: Final = math.inf
"""The wake of a workflow that waits for nothing: it works, has ended, or was not begun."""


class Wakes:
    """Asks workflows with the query ``state``, which their workers answer."""

    def __init__(self, connection: Connection, *, within_s: float = WITHIN_S) -> None:
        self._connection = connection
        self._within_s = within_s
        self._room = asyncio.Semaphore(QUERIES_MAX)

    async def first(self, workflow_ids: Sequence[str]) -> datetime | None:
        """When the first of them goes on. None when none of them waits, and when that can't be said.

        One without an answer makes the others' no answer: it may be the first.
        """
        if not 0 < len(workflow_ids) <= WORKFLOWS_MAX:
            return None
        try:
            async with asyncio.timeout(self._within_s):
                client = await self._connection.client()
                wakes = await asyncio.gather(*(self._wake(client, workflow_id) for workflow_id in workflow_ids))
        except (TimeoutError, Unavailable):
            return None
        known = [wake_s for wake_s in wakes if wake_s is not None]
        return _moment(min(known)) if len(known) == len(wakes) else None

    async def _wake(self, client: Client, workflow_id: str) -> float | None:
        """In Unix seconds; None when it is not known."""
        workflow = client.get_workflow_handle(workflow_id)
        try:
            async with self._room:
                told = await workflow.query(
                    STATE_QUERY,
                    reject_condition=QueryRejectCondition.NOT_OPEN,
                    rpc_timeout=timedelta(seconds=self._within_s),
                )
        except WorkflowQueryRejectedError:
            return _NEVER
        except WorkflowQueryFailedError:
            # A workflow of somebody else's worker, which need not know the query.
            return None
        except RPCError as problem:
            missing = problem.status is RPCStatusCode.NOT_FOUND and passing(problem, self._connection.server) is None
            return _NEVER if missing else None
        return _wake_of(told)


def _wake_of(told: Any) -> float | None:
    """Of an answer, which may be somebody else's under the same name."""
    if not isinstance(told, Mapping) or told.get("doing") not in ("starting", "calling", "waiting", "ended"):
        return None
    if told["doing"] != "waiting":
        return _NEVER
    wake_s = told.get("wakeAt")
    return float(wake_s) if isinstance(wake_s, int | float) and abs(wake_s) < _LATEST_S else None


_LATEST_S: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def _moment(wake_s: float) -> datetime | None:
    return None if wake_s == _NEVER else datetime.fromtimestamp(wake_s, UTC)
