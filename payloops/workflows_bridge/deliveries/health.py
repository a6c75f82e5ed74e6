"""The circuit of an endpoint: one that fails again and again is left alone for a while, then tried by one delivery.

It opens after FAILURES_MAX failures in a row, for OPEN_MIN_S, and for twice as long each time the try fails. A delivery
that comes meanwhile waits, which counts as no attempt of it. An endpoint that does nothing but fail for FAILING_S is to
be disabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.projections.reading import change, fetch

SQL: Final = load_sql("payloops.workflows_bridge.deliveries", "health")
FAILURES_MAX: Final = 10
OPEN_MIN_S: Final = 30.0
OPEN_MAX_S: Final = 600.0
PROBE_S: Final = 25.0
"""A try that takes longer is lost: an attempt takes 15 s, and its record little."""
PROBE_LOOK_S: Final = 2.0
"""How soon those look again that found another one trying."""
FAILING_S: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """All in seconds but the count."""

    failures_max: int = FAILURES_MAX
    open_min_s: float = OPEN_MIN_S
    open_max_s: float = OPEN_MAX_S
    probe_s: float = PROBE_S
    probe_look_s: float = PROBE_LOOK_S
    failing_s: float = FAILING_S


CONTRACT_LIMITS: Final = Limits()


class Health:
    """How endpoints fare; ``version`` is the endpoint's, with each of which it begins anew. All raise Unavailable."""

    def __init__(self, database: Database, limits: Limits = CONTRACT_LIMITS) -> None:
        self._database = database
        self.limits = limits

    async def failed(self, endpoint_id: UUID, version: int, *, probe: bool) -> bool:
        """One more failure. True when the endpoint has done nothing but fail for so long that it is to be disabled."""
        limits = self.limits
        parameters = {
            "endpoint_id": endpoint_id,
            "version": version,
            "probe": probe,
            "failures_max": limits.failures_max,
            "open_min_s": limits.open_min_s,
            "open_max_s": limits.open_max_s,
        }
        ((failures, failing_for_s),) = await fetch(self._database, SQL["failed"], parameters)
        return bool(failures >= limits.failures_max and failing_for_s >= limits.failing_s)

    async def recovered(self, endpoint_id: UUID) -> None:
        """It is well."""
        await change(self._database, SQL["recovered"], {"endpoint_id": endpoint_id})

    async def claim_probe(self, endpoint_id: UUID, version: int) -> bool:
        """Whether the caller is the one that may try."""
        parameters = {"endpoint_id": endpoint_id, "version": version, "probe_s": self.limits.probe_s}
        return bool(await fetch(self._database, SQL["claim_probe"], parameters))

    async def release_probe(self, endpoint_id: UUID, version: int) -> None:
        """The try did not take place."""
        await change(self._database, SQL["release_probe"], {"endpoint_id": endpoint_id, "version": version})
