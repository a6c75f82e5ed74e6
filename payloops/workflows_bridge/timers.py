"""When a relay's own rows are due: it wakes for them by itself, where a poll would come later."""

from __future__ import annotations

import heapq
import math
import time
from typing import Final

TIMERS_MAX: Final = 10_000
TIMER_HORIZON_S: Final = 60.0
"""What is due later is left to the poll."""
TIMER_SLACK_S: Final = 0.01
"""The database's time is known to a round trip: a timer that went off before its row is due would find nothing."""


class Timers:
    """A heap of moments, bounded in number and time. In seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._due_s: list[float] = []

    def remember(self, delay_s: float) -> bool:
        """A row is due in so many seconds. True when nothing that is remembered is due before."""
        if delay_s >= TIMER_HORIZON_S or len(self._due_s) >= TIMERS_MAX:
            return False
        due_s = time.monotonic() + delay_s + TIMER_SLACK_S
        heapq.heappush(self._due_s, due_s)
        return self._due_s[0] == due_s

    def next_in_s(self) -> float:
        """How long until the next one; infinite without any, negative when it has gone off."""
        return self._due_s[0] - time.monotonic() if self._due_s else math.inf

    def forget_gone(self) -> None:
        """Those that have gone off have done their work."""
        now_s = time.monotonic()
        while self._due_s and self._due_s[0] <= now_s:
            heapq.heappop(self._due_s)
