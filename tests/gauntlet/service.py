"""The service as it runs in the field: Postgres, the API, relays and the sandbox, each a process to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from payloops import embedded_postgres
from payloops.config import Settings
from payloops.embedded_postgres import EmbeddedPostgres
from payloops.migrations.runner import migrate
from tests.parts import open_directory
from tests.ports import held_ports

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
START_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 45.0
ASK_EVERY_S: Final = 0.05
LOG_TAIL_BYTES: Final = 4000
MISUSED: Final = 2
"""The status of a part that refuses its settings, a taken port among them."""

QUICK: Final[Mapping[str, str]] = {
    "OUTBOX_LEASE_S": "2",
    "PROCESSOR_TIMEOUT_S": "2",
    "PAY_WAIT_S": "0.5",
    # The rows' merchants come through a proxy, each from an address of its own.
    "TRUSTED_PROXIES": "127.0.0.0/8",
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "json",
}
"""Settings that make waiting short; nothing else differs from a fresh checkout."""


class NotReady(Exception):
    """A part did not get ready in time; the end of its log is quoted."""


@dataclass
class Part:
    """One process of the service."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.command, "--supervised-by", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=dict(self.environ),
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.process.pid

    @property
    def status(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_WITHIN_S)

    def stop(self) -> None:
        """An orderly stop, by force when it takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self) -> str:
        text = self.log.read_bytes() if self.log.exists() else b""
        return text[-LOG_TAIL_BYTES:].decode("utf-8", "replace")


@dataclass
class Service:
    """A running service. ``base_url`` is the API's, ``sandbox_url`` the Stripe simulator's with the control API."""

    directory: Path
    postgres: EmbeddedPostgres
    settings: dict[str, str]
    disk: Path
    """Where the database is; the logs and the sandbox's state are in ``directory``."""
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.settings['PORT']}"

    @property
    def port(self) -> int:
        return int(self.settings["PORT"])

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.settings['SANDBOX_PORT']}"

    @property
    def app_dsn(self) -> str:
        """The database itself, whatever stands between it and the parts."""
        return self.postgres.app_dsn

    @property
    def owner_dsn(self) -> str:
        return self.postgres.owner_dsn

    @property
    def api(self) -> Part:
        return self.parts["api"]

    @property
    def relay(self) -> Part:
        return self.parts["relay"]

    def part(self, name: str, *, kind: str | None = None, wrap: Sequence[str] = (), **settings: str) -> Part:
        """A part of that kind, not started; ``wrap`` names what is done to it first (tests.gauntlet.wrapped)."""
        given = [argument for each in wrap for argument in ("--do", each)]
        module = ("tests.gauntlet.wrapped", *given, "--") if given else ("payloops",)
        command = (sys.executable, "-m", *module, kind or name)
        made = Part(name, command, _environ(self.settings | settings), self.directory / f"{name}.log")
        self.parts[name] = made
        return made

    async def ready(self, *, within_s: float = START_WITHIN_S) -> float:
        """Wait until ``/health/ready`` is 200; answers how many seconds that took."""
        began_s = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as http:
            while time.monotonic() - began_s < within_s:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with http.get(f"{self.base_url}/health/ready") as answer:
                        if answer.status == 200:
                            return time.monotonic() - began_s
                await asyncio.sleep(ASK_EVERY_S)
        raise NotReady(f"not ready within {within_s:g} s\n{self.parts['api'].tail()}")

    def wait_for_ports(self) -> None:
        """Wait until the API and the sandbox listen."""
        for name, port in (("api", self.port), ("sandbox", int(self.settings["SANDBOX_PORT"]))):
            if name in self.parts:
                _wait_for_port(self.parts[name], port)

    def stop(self) -> None:
        for name in ("api", *(name for name in self.parts if name not in {"api", "sandbox"}), "sandbox"):
            if name in self.parts:
                self.parts[name].stop()

    # ------------------------------------------------------------------------------------------------- the database

    def kill_postgres(self) -> None:
        """``kill -9`` of the server's first process; its others notice and go."""
        self.postgres.server.kill()
        self.postgres.server.wait(STOP_WITHIN_S)

    def start_postgres(self) -> None:
        self.postgres.stop()
        self.postgres = embedded_postgres.start(self.disk)


def _kept_logs(directory: Path) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="payloops-gauntlet-"))
    for log in (*directory.glob("*.log"), *directory.glob("postgres/*.log")):
        shutil.copy(log, kept)
    return kept


def _environ(settings: Mapping[str, str]) -> dict[str, str]:
    # A process that is killed reports no coverage; measuring it would only slow it down.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in Settings.variables() and not name.startswith(("COV", "PYTEST"))
    }
    return kept | {"PYTHONPATH": str(ROOT)} | dict(settings)


def _wait_for_port(part: Part, port: int) -> None:
    deadline_s = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
            return
        if not part.running:
            break
        time.sleep(ASK_EVERY_S)
    raise NotReady(f"{part.name} does not listen (status {part.status})\n{part.tail()}")


@contextlib.contextmanager
def prepared(*, disk: Path | None = None, **settings: str) -> Iterator[Service]:
    """A service with a database (on that disk, if one is given) and settings, and no part running yet."""
    with open_directory() as directory, held_ports(3) as first:
        postgres = embedded_postgres.start(disk or directory)
        service = Service(
            directory,
            postgres,
            {
                **QUICK,
                "PAYLOOPS_DATA": str(directory),
                "HOST": HOST,
                "PORT": str(first),
                "SANDBOX_PORT": str(first + 1),
                "DATABASE_URL": postgres.app_dsn,
                "MIGRATION_DATABASE_URL": postgres.owner_dsn,
                "JWT_SECRET": secrets.token_urlsafe(48),
                "ENCRYPTION_KEY": secrets.token_urlsafe(48),
                **settings,
            },
            disk or directory,
        )
        try:
            migrate(postgres.owner_dsn, app_dsn=postgres.app_dsn)
            yield service
        except Exception as problem:
            problem.add_note(f"the logs are kept in {_kept_logs(directory)}")
            raise
        finally:
            service.stop()
            service.postgres.stop()


@contextlib.contextmanager
def running(disk: Path | None = None, **settings: str) -> Iterator[Service]:
    """A service with one API, one relay and the sandbox."""
    with prepared(disk=disk, **settings) as service:
        for name in ("sandbox", "api", "relay"):
            service.part(name).start()
        service.wait_for_ports()
        yield service
