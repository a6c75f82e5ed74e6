"""What a command finds around it: a database, free ports, the supervisor that started it."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from payloops import embedded_postgres, telemetry, temporal_server
from payloops.config import Settings
from payloops.errors import ConfigurationError

_PR_SET_PDEATHSIG: Final = 1
_LOOK_FOR_PARENT_EVERY_S: Final = 0.5
_ORPHAN_GRACE_S: Final = 8.0
_PORT_RETRY_S: Final = 2.0
_PORT_RETRY_EVERY_S: Final = 0.1


def accept_supervisor(parser: argparse.ArgumentParser) -> None:
    """Let ``up`` tell a part which process it must not outlive. Not for people, so not in the help."""
    parser.add_argument("--supervised-by", type=int, metavar="PID", help=argparse.SUPPRESS)


def run_part(
    part: str, arguments: argparse.Namespace, settings: Settings, serve: Callable[[Settings], int], *, database: bool
) -> int:
    """Run one part of the service in this process until it is told to stop; returns the exit status."""
    if arguments.supervised_by is not None:
        live_no_longer_than(arguments.supervised_by)
    reporting = telemetry.start(settings, part)
    try:
        with database_of(on_temporal(settings)) if database else contextlib.nullcontext(settings) as ready:
            return serve(ready.with_secrets())
    finally:
        reporting.stop()


def on_temporal(settings: Settings) -> Settings:
    """Settings with a Temporal server, where the engine needs one: TEMPORAL_ADDRESS's, else the one that ``up`` runs.

    :raises ConfigurationError: there is none.
    """
    if settings.workflow_engine != "temporal" or settings.temporal_address:
        return settings
    running = temporal_server.find_running(settings.data_dir)
    if running is None:
        raise ConfigurationError(
            "TEMPORAL_ADDRESS is needed by WORKFLOW_ENGINE=temporal: set it to host:port, or run payloops up",
            param="TEMPORAL_ADDRESS",
        )
    return settings.with_temporal(running.address)


def run_task(name: str, settings: Settings, task: Callable[[Settings], int]) -> int:
    """Run something that ends by itself, with a database and with secrets; returns its exit status."""
    reporting = telemetry.start(settings, name)
    try:
        with database_of(settings) as ready:
            return task(ready.with_secrets())
    finally:
        reporting.stop()


@contextlib.contextmanager
def database_of(settings: Settings) -> Iterator[Settings]:
    """Settings with a database: DATABASE_URL's, else the embedded one that ``up`` runs, else one for the block's time.

    :raises ConfigurationError: embedded Postgres can't be started.
    """
    if settings.database_url:
        yield settings
        return
    running = embedded_postgres.find_running(settings.data_dir)
    if running is not None:
        yield settings.with_database(running.app_dsn, running.owner_dsn)
        return
    server = embedded_postgres.start(settings.data_dir)
    try:
        yield settings.with_database(server.app_dsn, server.owner_dsn)
    finally:
        server.stop()


def ensure_port_free(host: str, port: int, variable: str) -> None:
    """Say now, in one line, that a port is taken, rather than later in a part's log.

    A port may be busy for a moment after the process that had it was killed, so it is asked for two seconds.

    :raises ConfigurationError: something listens there, or we may not.
    """
    deadline_s = time.monotonic() + _PORT_RETRY_S
    while (problem := _why_not(host, port)) is not None:
        if time.monotonic() > deadline_s:
            raise ConfigurationError(f"{variable}: port {port} on {host} {problem}", param=variable)
        time.sleep(_PORT_RETRY_EVERY_S)


def _why_not(host: str, port: int) -> str | None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as problem:
        return f"can't be used: {problem.strerror}"
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            # As servers do; it lets a port be taken that is only waiting out its last connections.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                probe.listen(1)
            except PermissionError:
                return "may not be used by this user; choose one above 1023"
            except OSError as problem:
                return f"can't be used: {problem.strerror}; stop what listens there or choose another"
    return None


def live_no_longer_than(parent_pid: int) -> None:
    """End this process when its parent is gone, killed ones too: SIGTERM at once, no more grace after eight seconds.

    On Linux the kernel sends the signal; a thread that looks for the parent does so elsewhere, and covers a parent that
    went before we asked.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    threading.Thread(target=_watch_parent, args=(parent_pid,), name="parent-watch", daemon=True).start()


def _watch_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_LOOK_FOR_PARENT_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    os._exit(1)
