"""One line a request while there are few; under load only the failed and the slow ones, and a count of the rest.

A line costs as much as a tenth of a request. So at most LINES_PER_S are written in a second, failed and slow requests
before all others; what went unwritten is counted in one line a second. A line holds method, route, status, duration
and the code of the error, if it was one: never a query, a body or a header.
"""

from __future__ import annotations

import logging
from typing import Final

from payloops.http.message import Request

LINES_PER_S: Final = 20
URGENT_LINES_PER_S: Final = 100
"""For requests that failed on our side or were slow."""
SLOW_S: Final = 2.0
NO_ROUTE: Final = "(no route)"
_SERVER_ERROR: Final = 500

_log = logging.getLogger("payloops.http.access")


class AccessLog:
    """Counts and writes. ``now_s`` is the event loop's clock."""

    def __init__(self) -> None:
        self._enabled = _log.isEnabledFor(logging.INFO)
        self._second = 0
        self._lines = 0
        self._urgent_lines = 0
        self._unwritten = 0

    def note(self, request: Request, status: int, now_s: float) -> None:
        """A request was answered."""
        if not self._enabled:
            return
        second = int(now_s)
        if second != self._second:
            self._next_second(second)
        duration_s = now_s - request.started_at_s
        if status >= _SERVER_ERROR or duration_s > SLOW_S:
            if self._urgent_lines < URGENT_LINES_PER_S:
                self._urgent_lines += 1
                self._write(request, status, duration_s)
                return
        elif self._lines < LINES_PER_S:
            self._lines += 1
            self._write(request, status, duration_s)
            return
        self._unwritten += 1

    def _next_second(self, second: int) -> None:
        if self._unwritten:
            _log.info("%d more requests in that second", self._unwritten, extra={"count": self._unwritten})
        self._second = second
        self._lines = self._urgent_lines = self._unwritten = 0

    def _write(self, request: Request, status: int, duration_s: float) -> None:
        route = NO_ROUTE if request.route is None else request.route.path
        duration_ms = round(duration_s * 1000, 1)
        fields = {"method": request.method, "route": route, "status": status, "durationMs": duration_ms}
        if request.error_code:
            fields["errorCode"] = request.error_code
        _log.info("%s %s %d", request.method, route, status, extra=fields)
