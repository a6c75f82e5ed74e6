"""The time of tests that look at the order in which things were made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from payloops.values import Clock, SystemClock

_TICK: Final = timedelta(milliseconds=1)


class TickingClock:
    """A clock of which no two answers are the same: each is later than the last, if only by a millisecond.

    A fast machine makes several things in one millisecond, and what is listed by time is then in no order of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: datetime | None = None

    def now(self) -> datetime:
        """The present, or a little later where many ask at once."""
        now = self._clock.now()
        if self._last is not None and now <= self._last:
            now = self._last + _TICK
        self._last = now
        return now


CLOCK: Final = TickingClock(SystemClock())
"""Of all worlds of this process: what one of them makes after another has is later, too."""
