"""How much one process sends at once: to one endpoint, to one host, and in all.

Nobody waits here. What finds no room is told so and comes again, so that a slow receiver holds up only itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

PER_ENDPOINT_MAX: Final = 16
"""As many as a relay of the default size has in hand of one lane: what is more waits in the outbox, not by asking."""
PER_HOST_MAX: Final = 64
"""Merchants may share a host (a hosted receiver), and each has its own part of it."""
TOTAL_MAX: Final = 500


@dataclass(slots=True)
class Bounds:
    """The counts of this process."""

    per_endpoint_max: int = PER_ENDPOINT_MAX
    per_host_max: int = PER_HOST_MAX
    total_max: int = TOTAL_MAX
    _endpoints: Counter[str] = field(default_factory=Counter)
    _hosts: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def room(self, endpoint: str, host: str) -> Iterator[bool]:
        """Whether there is room; if so it is taken for the length of the block."""
        if (
            self._endpoints[endpoint] >= self.per_endpoint_max
            or self._hosts[host] >= self.per_host_max
            or self._endpoints.total() >= self.total_max
        ):
            self._trim(endpoint, host)
            yield False
            return
        self._endpoints[endpoint] += 1
        self._hosts[host] += 1
        try:
            yield True
        finally:
            self._endpoints[endpoint] -= 1
            self._hosts[host] -= 1
            self._trim(endpoint, host)

    def _trim(self, endpoint: str, host: str) -> None:
        """Forget what is at zero: there is no end of endpoints."""
        for counts, name in ((self._endpoints, endpoint), (self._hosts, host)):
            if counts[name] <= 0:
                del counts[name]
