"""Health: whether the process lives, and whether it can serve."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from payloops.errors import Unavailable
from payloops.http.answers.operations import Health, Live, Ready, Unready
from payloops.http.errors import error_body, error_headers, status_of
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import Operation, documented
from payloops.http.services import CheckResult, ReadinessCheck, Services
from payloops.values import iso

CHECK_TIMEOUT_S: Final = 2.0
ANSWER_TTL_S: Final = 0.5
"""Anyone may ask: however often, the parts are asked twice a second at most."""
NEEDED_TO_SERVE: Final = ("database", "schema")

_log = logging.getLogger(__name__)


@documented(Operation(summary="Whether the service answers", answers={200: Health}))
async def health(request: Request, services: Services) -> Reply:
    """``GET /health``."""
    body = {"status": "ok", "timestamp": iso(services.clock.now()), "correlationId": request.correlation_id}
    return Reply(200, orjson.dumps(body))


@documented(Operation(summary="Whether the process lives", answers={200: Live}))
async def live(_request: Request, _services: Services) -> Reply:
    """``GET /health/live``."""
    return Reply(200, b'{"status":"ok"}')


class Readiness:
    """``GET /health/ready``: all parts at once, each within CHECK_TIMEOUT_S."""

    def __init__(self) -> None:
        self._found: Mapping[str, CheckResult] = {}
        self._found_at_s = -math.inf
        self._asking: asyncio.Task[None] | None = None

    @documented(Operation(summary="Whether the service can serve", answers={200: Ready, 503: Unready}))
    async def __call__(self, request: Request, services: Services) -> Reply:
        """The parts' state as of a moment ago; 503, as an error too, when the service can't serve."""
        if time.monotonic() - self._found_at_s >= ANSWER_TTL_S:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask(services), name="readiness")
            await asyncio.shield(self._asking)
        well = all(result.status == "ok" for result in self._found.values())
        body: dict[str, Any] = {
            "status": "ok" if well else "degraded",
            "checks": {
                name: {"status": result.status, "detail": result.detail} for name, result in self._found.items()
            },
        }
        missing = [name for name in NEEDED_TO_SERVE if name in self._found and self._found[name].status == "down"]
        if not missing:
            return Reply(200, orjson.dumps(body))
        error = Unavailable(f"The service can't serve: {', '.join(missing)}.")
        body |= orjson.loads(error_body(error, request.correlation_id))
        return Reply(status_of(error), orjson.dumps(body), error_headers(error, ""))

    async def _ask(self, services: Services) -> None:
        names = list(services.checks)
        results = await asyncio.gather(*(_checked(name, services.checks[name]) for name in names))
        self._found = dict(zip(names, results, strict=True))
        self._found_at_s = time.monotonic()


async def _checked(name: str, check: ReadinessCheck) -> CheckResult:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return CheckResult("down", f"no answer within {CHECK_TIMEOUT_S:g} s")
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with a part is the answer, not a failure of asking
        _log.warning("the readiness check %s failed: %s", name, type(problem).__name__)
        return CheckResult("down", "the check failed")
