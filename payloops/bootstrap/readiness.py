"""The parts of /health/ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payloops.bootstrap.core import Core
from payloops.http.services import CheckResult
from payloops.migrations import runner
from payloops.telemetry.metrics import METRICS
from payloops.workflows_bridge.outbox_table import OutboxTable

if TYPE_CHECKING:
    from payloops.workflows_bridge.temporal.connection import Connection

OUTBOX_LATE_S: Final = 5.0
"""A row that is due for longer than this is a sign that nobody dispatches."""


async def database_check(base: Core) -> CheckResult:
    """The log can be read."""
    return CheckResult("ok", f"the log is at position {await base.store.head()}")


async def schema_check(base: Core) -> CheckResult:
    """The database has this release's schema."""
    state = await runner.check_schema(base.database)
    return CheckResult("ok" if state.ok else "down", state.message)


async def projections_check() -> CheckResult:
    """The read tables are as far as the log."""
    # They are written in the append transaction, all of them, so they can't be behind.
    METRICS.projection_lag.set(0, ("inline",))
    return CheckResult("ok", "all read tables are written in the append transaction")


async def outbox_check(outbox: OutboxTable) -> CheckResult:
    """Effects are dispatched in time, and none is parked. Renews the gauges of the outbox, too."""
    backlog = await outbox.backlog()
    METRICS.outbox_due.set(backlog.due)
    METRICS.outbox_lag_s.set(backlog.overdue_s)
    METRICS.outbox_parked.set(backlog.parked)
    detail = f"{backlog.due} due, the first for {backlog.overdue_s:.1f} s; {backlog.parked} parked"
    late = backlog.overdue_s > OUTBOX_LATE_S or backlog.parked > 0
    return CheckResult("degraded" if late else "ok", detail)


async def embedded_check() -> CheckResult:
    """It is the relay's, whose health the outbox shows."""
    return CheckResult("ok", "embedded, run by the relay")


async def temporal_check(connection: Connection) -> CheckResult:
    """A Temporal that is away fails nothing: what it is to do waits in the outbox."""
    trouble = await connection.trouble()
    if trouble is not None:
        return CheckResult("degraded", f"{trouble} Payments are accepted, and wait in the outbox.")
    return CheckResult("ok", f"temporal at {connection.server.address}, namespace {connection.server.namespace}")
