"""A row that a relay has in hand: its lease, and what an engine may ask of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from payloops.workflows_bridge.engines.base import LeaseLost, Run
from payloops.workflows_bridge.outbox_table import ClaimedRow


@dataclass(slots=True, eq=False)
class RowInHand:
    """See engines.base.Work. All ``_s`` that are no duration are monotonic."""

    row: ClaimedRow
    lease_until_s: float
    started_s: float
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    lost: bool = False
    settling: bool = False
    """Its removal is being written: that it is gone from the table is no loss any more."""

    @property
    def key(self) -> str:
        """The workflow's id."""
        return self.row.key

    @property
    def correlation_id(self) -> str:
        """Of the request that caused the row."""
        return self.row.correlation_id

    @property
    def traceparent(self) -> str | None:
        """Of the same."""
        return self.row.traceparent

    @property
    def run(self) -> Run | None:
        """The embedded engine's workflow of the row's key."""
        return self.row.run

    @property
    def repeated(self) -> bool:
        """Whether the row was in hand before."""
        return self.row.claims > 1

    def now_s(self) -> float:
        """The database's time, carried on by our monotonic clock: a jump of the machine's clock changes nothing."""
        return self.row.now_s + (time.monotonic() - self.row.claimed_s)

    def require_lease(self) -> None:
        """Raises LeaseLost when the lease has run out as far as we know."""
        if self.lost or time.monotonic() >= self.lease_until_s:
            raise LeaseLost(self.row.key)
