"""Applies the numbered migrations, and tells whether a database has the schema that this release needs.

Each file runs in a transaction of its own and is recorded with its checksum; a session-level advisory lock makes
concurrent runs wait for each other. After that the application's role is granted what it needs and no more: the log
(``stored_events``) can be read and appended to, never changed.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from payloops.db import Connection, Database, connection_string, load_sql
from payloops.errors import PayloopsError

PACKAGE: Final = "payloops.migrations"
LOG_TABLE: Final = "stored_events"
LEDGER_TABLE: Final = "schema_migrations"

_FILE_NAME: Final = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_OTHER_RUN_TIMEOUT_MS: Final = 300_000
_STATEMENT_TIMEOUT_MS: Final = 600_000
_TABLE_LOCK_TIMEOUT_MS: Final = 5_000

_log = logging.getLogger(__name__)
_SQL = load_sql(PACKAGE, "schema")
_GRANTS = load_sql(PACKAGE, "grants")


class MigrationError(PayloopsError):
    """The migrations can't be applied; the message says which one and why."""

    code = "migration_error"


@dataclass(frozen=True)
class Migration:
    """One numbered file; ``checksum`` is the hex SHA-256 of its bytes."""

    version: int
    slug: str
    checksum: str
    sql: str

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return f"{self.version:04d}_{self.slug}"


@dataclass(frozen=True)
class Applied:
    """One row of the ledger."""

    version: int
    slug: str
    checksum: str


class SchemaStatus(StrEnum):
    """How a database's schema compares with the migrations of this release."""

    CURRENT = "current"
    ABSENT = "absent"
    BEHIND = "behind"
    AHEAD = "ahead"
    CHANGED = "changed"


@dataclass(frozen=True)
class SchemaState:
    """What :func:`check_schema` found: the database's latest version and the one that this release needs."""

    status: SchemaStatus
    found: int
    needed: int

    @property
    def ok(self) -> bool:
        """Whether this release can serve on that schema."""
        return self.status is SchemaStatus.CURRENT

    @property
    def message(self) -> str:
        """One line for a person, with what to do."""
        match self.status:
            case SchemaStatus.CURRENT:
                return f"the schema is at {self.found:04d}"
            case SchemaStatus.ABSENT:
                return "the database has no schema yet; run: payloops migrate"
            case SchemaStatus.BEHIND:
                return f"the schema is at {self.found:04d}, {self.needed:04d} is needed; run: payloops migrate"
            case SchemaStatus.AHEAD:
                return f"the schema is at {self.found:04d}, this release knows {self.needed:04d}; run a newer release"
            case SchemaStatus.CHANGED:
                return "an applied migration differs from this release's file; restore the file that was applied"


def load_migrations(package: str = PACKAGE) -> tuple[Migration, ...]:
    """The numbered files beside ``package``'s modules, in order.

    :raises MigrationError: the numbers are not 1, 2, 3 … without gaps or repeats.
    """
    found = []
    for entry in resources.files(package).iterdir():
        if match := _FILE_NAME.fullmatch(entry.name):
            content = entry.read_bytes()
            checksum = hashlib.sha256(content).hexdigest()
            found.append(Migration(int(match[1]), match[2], checksum, content.decode("utf-8")))
    found.sort(key=lambda migration: migration.version)
    numbers = [migration.version for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations must be numbered 0001, 0002, … without gaps; found {numbers}")
    return tuple(found)


def fingerprint(migrations: Sequence[Migration]) -> str:
    """A short name of exactly this schema with exactly these grants (16 hex digits)."""
    parts = [migration.checksum for migration in migrations]
    parts += [block for source in (_SQL, _GRANTS) for block in source.values()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def migrate(
    owner_dsn: str, *, app_dsn: str | None = None, migrations: Sequence[Migration] | None = None
) -> tuple[Migration, ...]:
    """Apply what is missing as the owner, grant the user of ``app_dsn`` its rights, and return what was applied.

    Nothing is granted when both are the same user: then only the log's own trigger guards it.

    :raises MigrationError: a file fails, an applied file was changed, or the database is newer than this release.
    :raises psycopg.OperationalError: the database can't be reached, or another run held the lock for five minutes.
    """
    wanted = load_migrations() if migrations is None else tuple(migrations)
    conninfo = connection_string(
        owner_dsn,
        application_name="payloops-migrate",
        statement_timeout_ms=_STATEMENT_TIMEOUT_MS,
        lock_timeout_ms=_OTHER_RUN_TIMEOUT_MS,
    )
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_SQL["lock"])
        connection.execute(
            sql.SQL("SET lock_timeout = {}").format(sql.Literal(_TABLE_LOCK_TIMEOUT_MS)),
        )
        connection.execute(_SQL["create_ledger"])
        missing = _missing(wanted, _read_applied(connection))
        for migration in missing:
            _apply(connection, migration)
        app_role = None if app_dsn is None else conninfo_to_dict(app_dsn).get("user")
        if app_role is not None and app_role != connection.info.user:
            _grant(connection, str(app_role))
        connection.execute(_SQL["unlock"])
    return missing


async def check_schema(database: Database, migrations: Sequence[Migration] | None = None) -> SchemaState:
    """Whether ``database`` has the schema of this release.

    :raises psycopg.OperationalError: the database can't be reached.
    """
    wanted = load_migrations() if migrations is None else tuple(migrations)
    async with database.connection() as connection:
        applied = await _read_applied_async(connection)
    return compare(wanted, applied)


def compare(wanted: Sequence[Migration], applied: Sequence[Applied]) -> SchemaState:
    """How a ledger compares with the migrations of this release."""
    found, needed = len(applied), len(wanted)
    if any(
        (ours.version, ours.checksum) != (theirs.version, theirs.checksum)
        for ours, theirs in zip(wanted, applied, strict=False)
    ):
        status = SchemaStatus.CHANGED
    elif found > needed:
        status = SchemaStatus.AHEAD
    elif found == 0 < needed:
        status = SchemaStatus.ABSENT
    elif found < needed:
        status = SchemaStatus.BEHIND
    else:
        status = SchemaStatus.CURRENT
    return SchemaState(status, found, needed)


def _missing(wanted: tuple[Migration, ...], applied: Sequence[Applied]) -> tuple[Migration, ...]:
    state = compare(wanted, applied)
    match state.status:
        case SchemaStatus.CURRENT:
            return ()
        case SchemaStatus.ABSENT | SchemaStatus.BEHIND:
            return wanted[state.found :]
        case SchemaStatus.AHEAD:
            raise MigrationError(state.message)
        case SchemaStatus.CHANGED:
            names = [
                ours.name
                for ours, theirs in zip(wanted, applied, strict=False)
                if (ours.version, ours.checksum) != (theirs.version, theirs.checksum)
            ]
            raise MigrationError(f"{names[0]}.sql differs from what was applied; restore it and add a new migration")


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    started_s = time.monotonic()
    try:
        with connection.transaction():
            connection.execute(migration.sql)
            if connection.info.transaction_status is not TransactionStatus.INTRANS:
                raise MigrationError(f"{migration.name}.sql ends the transaction that it runs in")
            duration_ms = round((time.monotonic() - started_s) * 1000)
            connection.execute(
                _SQL["record"],
                {
                    "version": migration.version,
                    "slug": migration.slug,
                    "checksum": migration.checksum,
                    "duration_ms": duration_ms,
                },
            )
    except psycopg.Error as problem:
        text = (problem.diag.message_primary or str(problem)).strip()
        raise MigrationError(f"{migration.name}.sql failed and was rolled back: {text}") from problem
    _log.info("applied %s in %d ms", migration.name, duration_ms)


def _grant(connection: psycopg.Connection, app_role: str) -> None:
    row = connection.execute(_SQL["app_role_exists"], {"role": app_role}).fetchone()
    if row is None or not row[0]:
        raise MigrationError(f'the user of DATABASE_URL does not exist; run: CREATE ROLE "{app_role}" LOGIN')
    schema = connection.execute("SELECT current_schema()").fetchone()
    if schema is None or schema[0] is None:
        raise MigrationError("the search_path of the migrating role names no existing schema")
    names = {"schema": sql.Identifier(schema[0]), "app": sql.Identifier(app_role)}
    with connection.transaction():
        connection.execute(sql.SQL(_GRANTS["schema_wide"]).format(**names))
        tables = connection.execute(_GRANTS["tables"], {"schema": schema[0]}).fetchall()
        for (table,) in tables:
            block = _GRANTS[_rights_on(table)]
            connection.execute(sql.SQL(block).format(table=sql.Identifier(schema[0], table), **names))


def _rights_on(table: str) -> str:
    # Partitions of the log bear its name as a prefix and are guarded alike.
    if table == LOG_TABLE or table.startswith(f"{LOG_TABLE}_"):
        return "append_only"
    return "read_only" if table == LEDGER_TABLE else "read_write"


def _read_applied(connection: psycopg.Connection) -> list[Applied]:
    return [Applied(*row) for row in connection.execute(_SQL["applied"])]


async def _read_applied_async(connection: Connection) -> list[Applied]:
    exists = await (await connection.execute(_SQL["ledger_exists"])).fetchone()
    if exists is None or not exists[0]:
        return []
    return [Applied(*row) for row in await (await connection.execute(_SQL["applied"])).fetchall()]
