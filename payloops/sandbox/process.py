"""The sandbox as a process of its own: until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import uvloop

from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock

_log = logging.getLogger(__name__)


def _say(sandbox: Sandbox) -> None:
    _log.info("sandbox ready: Stripe at %s, Razorpay at %s", sandbox.stripe_url, sandbox.razorpay_url)


def run_sandbox(
    state_path: Path | None,
    *,
    host: str,
    stripe_port: int,
    razorpay_port: int,
    public_url: str | None = None,
    ready: Callable[[Sandbox], None] = _say,
) -> int:
    """Serve until a signal asks to stop; the exit status. ``ready`` is called once both ports listen.

    :raises ConfigurationError: the state is in use or unreadable, or a port is taken.
    """

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        sandbox = build_sandbox(state_path, SystemClock(), public_url=public_url)
        await sandbox.start(host, stripe_port, razorpay_port)
        try:
            ready(sandbox)
            await stopping.wait()
        finally:
            await sandbox.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0
