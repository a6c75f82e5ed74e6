"""How a process of the service runs: on uvloop, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

from payloops.config import SANDBOX_HOST, Settings
from payloops.errors import ConfigurationError

GC_YOUNG_OBJECTS: Final = 50_000
"""New objects between two looks for cycles; CPython's default is 700."""


def _calm_garbage_collection() -> None:
    """Look for cycles seldom, and not among what the imports made, which stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 50)


def run_until_stopped(serve: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run ``serve`` on uvloop; the event it gets is set by SIGTERM or SIGINT. Returns the exit status."""

    async def main() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        _calm_garbage_collection()
        await serve(stopping)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main())
    return 0


def run_projector(_settings: Settings) -> int:
    """Raises ConfigurationError: no read table is asynchronous in this release."""
    raise ConfigurationError("payloops projector: all read tables are written with the events; there is nothing to run")


def run_sandbox(settings: Settings) -> int:
    """The processors' simulator, until SIGTERM or SIGINT."""
    from payloops.sandbox.process import run_sandbox as run

    return run(
        settings.data_dir / "sandbox.sqlite3",
        host=SANDBOX_HOST,
        stripe_port=settings.sandbox_port,
        razorpay_port=settings.sandbox_port + 1,
    )
