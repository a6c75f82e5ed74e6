"""``payloops api``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from payloops import telemetry
from payloops.cli.supervisor import Child, Stage, supervise
from payloops.cli.surroundings import (
    accept_supervisor,
    database_of,
    ensure_port_free,
    live_no_longer_than,
    run_part,
)
from payloops.config import Settings

STOP_WITHIN_S: Final = 4.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    accept_supervisor(parser)
    # One of several processes on the port: it neither looks whether the port is free nor starts others.
    parser.add_argument("--sharing-port", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, with API_WORKERS processes.

    :raises ConfigurationError: the port is taken.
    """
    from payloops.bootstrap import api

    if not arguments.sharing_port:
        ensure_port_free(settings.host, settings.port, "PORT")
        if settings.api_workers > 1:
            return _run_workers(arguments, settings)
    return run_part("api", arguments, settings, api.run_api, database=True)


def api_children(environ: Mapping[str, str], workers: int) -> tuple[Child, ...]:
    """The API processes, children of this one."""
    command = (sys.executable, "-m", "payloops", "api", "--sharing-port", "--supervised-by", str(os.getpid()))
    return tuple(
        Child("api" if workers == 1 else f"api {number}", command, environ) for number in range(1, workers + 1)
    )


def child_environ(settings: Settings) -> dict[str, str]:
    """The environment of a child process: ours, with exactly these settings."""
    declared = settings.to_env()
    return {name: value for name, value in os.environ.items() if name not in Settings.variables()} | declared


def _run_workers(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.supervised_by is not None:
        live_no_longer_than(arguments.supervised_by)
    reporting = telemetry.start(settings, "api-supervisor")

    async def serve(ready: Settings) -> None:
        stop, hurry = asyncio.Event(), asyncio.Event()
        stop_on_signals(stop, hurry)
        await supervise([Stage(api_children(child_environ(ready), ready.api_workers), STOP_WITHIN_S)], stop, hurry)

    try:
        with database_of(settings) as ready:
            asyncio.run(serve(ready.with_secrets()))
    finally:
        reporting.stop()
    return 0


def stop_on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT sets ``stop``, a further one ``hurry``."""

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
