"""The one Postgres of a run: the embedded server as it is shipped, with durable commits; its data is thrown away."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from payloops import embedded_postgres
from payloops.embedded_postgres import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from payloops.embedded_postgres.places import runnable_binaries, server_account, usual_home
from payloops.migrations.runner import migrate

DURABILITY: Final = ("fsync", "synchronous_commit", "full_page_writes")


class NotDurableError(RuntimeError):
    """The server would measure commits that a power cut could undo."""


@dataclass(frozen=True, slots=True)
class BenchDatabase:
    """A database of this run, by both roles."""

    name: str
    app_dsn: str
    owner_dsn: str

    @property
    def socket_dir(self) -> str:
        """The directory of the server's socket."""
        with psycopg.connect(self.app_dsn) as connection:
            return connection.info.host


class Postgres:
    """A running server of which databases can be had."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._made = 0

    @property
    def pgbench(self) -> Path:
        """The load program that comes with the server."""
        return runnable_binaries(server_account()) / "pgbench"

    @property
    def version(self) -> str:
        """The server's version, as it says it."""
        return self._ask("SHOW server_version")

    @contextmanager
    def database(self, *, schema: bool = True) -> Iterator[BenchDatabase]:
        """A new database, with our schema unless told otherwise; dropped afterwards."""
        self._made += 1
        name = f"bench_{self._made}"
        made = BenchDatabase(name, self._server.dsn(APP_ROLE, name), self._server.dsn(OWNER_ROLE, name))
        self._run("CREATE DATABASE {} OWNER {}", name, OWNER_ROLE)
        try:
            if schema:
                migrate(made.owner_dsn, app_dsn=made.app_dsn)
            yield made
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def require_durable(self) -> None:
        """Raises NotDurableError unless every commit is on disk before it is acknowledged."""
        for setting in DURABILITY:
            if self._ask(f"SHOW {setting}") != "on":
                raise NotDurableError(f"{setting} is off; figures without it would not count")

    def _ask(self, question: str) -> str:
        with psycopg.connect(self._server.admin_dsn) as connection:
            row = connection.execute(sql.SQL(question)).fetchone()
        return "" if row is None else str(row[0])

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server.admin_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def start_postgres() -> Iterator[Postgres]:
    """A server for the length of the block; its data is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="payloops-bench-"))
    # The server may run as another account (it refuses root): that account must be able to pass through.
    directory.chmod(0o711)
    server = None
    try:
        server = embedded_postgres.start(directory)
        yield Postgres(server)
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(usual_home(directory / "postgres", server_account()), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def database_name(dsn: str) -> str:
    """The database that a connection string names."""
    return urlsplit(dsn).path.lstrip("/")
