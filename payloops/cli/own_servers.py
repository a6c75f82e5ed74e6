"""Servers that ``up`` owns where none is given, embedded Postgres and Temporal; started again when they die."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from payloops import embedded_postgres, temporal_server
from payloops.cli.supervisor import PartFailed, RestartPolicy
from payloops.config import Settings
from payloops.embedded_postgres import EmbeddedPostgres
from payloops.errors import ConfigurationError
from payloops.temporal_server import Ports, TemporalServer

_STOP_WITHIN_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.2

_log = logging.getLogger(__name__)


class Running(Protocol):
    """A server that this process started."""

    @property
    def server(self) -> subprocess.Popen[bytes]:
        """Its process."""
        ...

    def is_running(self) -> bool:
        """Whether it is alive."""
        ...

    def stop(self, *, within_s: float) -> None:
        """End it; safe to call twice."""


ServerT = TypeVar("ServerT", bound=Running)


class OwnServer(Generic[ServerT]):
    """One server; ``start`` is told what ran before, so that it can come back in the same place."""

    def __init__(self, name: str, start: Callable[[ServerT | None], ServerT], *, stop_within_s: float) -> None:
        self._name = name
        self._start = start
        self._stop_within_s = stop_within_s
        self.running = start(None)

    def stop(self) -> None:
        """End it."""
        self.running.stop(within_s=self._stop_within_s)

    async def keep(self) -> None:
        """Start it again whenever it ends.

        :raises PartFailed: it dies too often or can't be started.
        """
        policy = RestartPolicy(self._name)
        started_s = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self.running.is_running():
                continue
            now_s = time.monotonic()
            delay_s = policy.next_delay_s(lived_s=now_s - started_s, now_s=now_s)
            _log.warning("%s ended (status %s); starting it again", self._name, self.running.server.returncode)
            await asyncio.sleep(delay_s)
            starting = asyncio.ensure_future(asyncio.to_thread(self._start_again))
            try:
                await asyncio.shield(starting)
            except ConfigurationError as problem:
                raise PartFailed(problem.message) from None
            except asyncio.CancelledError:
                # The thread can't be cancelled; without waiting, its server would outlive the stop.
                await asyncio.wait({starting})
                raise
            started_s = time.monotonic()

    def _start_again(self) -> None:
        self.running.stop(within_s=self._stop_within_s)
        self.running = self._start(self.running)


@dataclass(frozen=True, slots=True)
class OwnServers:
    """What an ``up`` runs because nothing else was given."""

    database: OwnServer[EmbeddedPostgres] | None
    temporal: OwnServer[TemporalServer] | None

    def apply(self, settings: Settings) -> Settings:
        """Settings on these servers."""
        ready = settings
        if self.database is not None:
            ready = ready.with_database(self.database.running.app_dsn, self.database.running.owner_dsn)
        if self.temporal is not None:
            ready = ready.with_temporal(self.temporal.running.address)
        return ready

    def keeping(self) -> list[Awaitable[None]]:
        """What starts them again when they die."""
        return [server.keep() for server in (self.database, self.temporal) if server is not None]

    def describe(self) -> list[str]:
        """Where they are, for a person."""
        database = "DATABASE_URL" if self.database is None else f'psql "{self.database.running.owner_dsn}"'
        lines = [f"  database      {database}"]
        if self.temporal is not None:
            lines.append(f"  Temporal      {self.temporal.running.address}   page: {self.temporal.running.page_url}")
        return lines


@contextlib.contextmanager
def own_servers(settings: Settings) -> Iterator[OwnServers]:
    """Embedded Postgres unless DATABASE_URL is set; a Temporal dev server where the engine has no TEMPORAL_ADDRESS.

    :raises EmbeddedPostgresError: it can't be started.
    :raises TemporalServerError: there is none to be had, or it can't be started.
    """
    # Looked for before anything runs: it may have to be built.
    own_temporal = settings.workflow_engine == "temporal" and not settings.temporal_address
    program = temporal_server.find_program() if own_temporal else None
    with ThreadPoolExecutor() as stopping, contextlib.ExitStack() as stack:
        # Neither calls the other, so both stop at once; leaving the pool waits for both.
        database = None
        if not settings.database_url:
            database = OwnServer("postgres", _postgres_starter(settings), stop_within_s=_STOP_WITHIN_S)
            stack.callback(stopping.submit, database.stop)
        temporal = None
        if program is not None:
            temporal = OwnServer("temporal", _temporal_starter(settings, program), stop_within_s=_STOP_WITHIN_S)
            stack.callback(stopping.submit, temporal.stop)
        yield OwnServers(database, temporal)


def _postgres_starter(settings: Settings) -> Callable[[EmbeddedPostgres | None], EmbeddedPostgres]:
    return lambda _before: embedded_postgres.start(settings.data_dir)


def _temporal_starter(settings: Settings, program: Path) -> Callable[[TemporalServer | None], TemporalServer]:
    def start(before: TemporalServer | None) -> TemporalServer:
        ports = Ports.preferred() if before is None else before.ports
        namespace = settings.temporal_namespace
        return temporal_server.start(settings.data_dir, namespace=namespace, program=program, ports=ports)

    return start
