"""Databases for tests: one template per schema, migrated once, and a clone of it for each test."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from payloops.embedded_postgres import APP_ROLE
from payloops.migrations.runner import fingerprint, load_migrations, migrate
from tests.postgres_keeper import DATABASE_PREFIX, shared_postgres

_TEMPLATE_LOCK = "SELECT pg_advisory_lock(hashtextextended('payloops.tests.template', 0))"
_TEMPLATE_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('payloops.tests.template', 0))"


@dataclass(frozen=True)
class TestDatabase:
    """One database, by the application's role and by the owner of its schema."""

    __test__ = False

    name: str
    app_dsn: str
    owner_dsn: str
    separate_roles: bool


class TestServer:
    """A server on which tests may make databases."""

    __test__ = False

    def __init__(self, admin_dsn: str, owner_dsn: str, app_dsn: str) -> None:
        self.admin_dsn = admin_dsn
        self._owner_dsn = owner_dsn
        self._app_dsn = app_dsn
        self._admin = psycopg.connect(admin_dsn, autocommit=True)

    def close(self) -> None:
        self._admin.close()

    def create(self) -> TestDatabase:
        """A new database with the current schema, cloned from a template."""
        template = self._template()
        database = self._named(f"{DATABASE_PREFIX}est_{uuid4().hex}")
        statement = "CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY"
        self._run(statement, database.name, template, _user(database.owner_dsn))
        return database

    def create_empty(self) -> TestDatabase:
        """A new database without any schema."""
        database = self._named(f"{DATABASE_PREFIX}est_{uuid4().hex}")
        self._make_empty(database)
        return database

    def drop(self, database: TestDatabase) -> None:
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name)

    def cut_off(self, database: TestDatabase) -> None:
        """Let nobody in any more, and throw out who is."""
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name)
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database.name,)
        )

    def _template(self) -> str:
        # Named after the files as they are now, so that an edited migration gives a new template.
        name = f"{DATABASE_PREFIX}emplate_{fingerprint(load_migrations())}"
        if self._exists(name):
            return name
        self._admin.execute(_TEMPLATE_LOCK)
        try:
            if not self._exists(name):
                draft = self._named(f"{DATABASE_PREFIX}emplate_draft_{uuid4().hex}")
                self._make_empty(draft)
                migrate(draft.owner_dsn, app_dsn=draft.app_dsn)
                self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", draft.name)
                self._run("ALTER DATABASE {} RENAME TO {}", draft.name, name)
        finally:
            self._admin.execute(_TEMPLATE_UNLOCK)
        return name

    def _make_empty(self, database: TestDatabase) -> None:
        self._run("CREATE DATABASE {} OWNER {}", database.name, _user(database.owner_dsn))

    def _exists(self, name: str) -> bool:
        found = self._admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        return found is not None

    def _named(self, name: str) -> TestDatabase:
        return TestDatabase(
            name,
            _on(self._app_dsn, name),
            _on(self._owner_dsn, name),
            separate_roles=self._app_dsn != self._owner_dsn,
        )

    def _run(self, statement: str, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))


@contextlib.contextmanager
def serve_databases() -> Iterator[TestServer]:
    """DATABASE_URL_TEST or DATABASE_URL (a role that may create databases), else the embedded server."""
    given = os.environ.get("DATABASE_URL_TEST") or os.environ.get("DATABASE_URL")
    with contextlib.ExitStack() as stack:
        if given:
            server = TestServer(given, given, _second_role(given))
        else:
            address = stack.enter_context(shared_postgres())
            server = TestServer(address.admin_dsn, address.owner_dsn, address.app_dsn)
        stack.callback(server.close)
        yield server


def _second_role(admin_dsn: str) -> str:
    """The application's role on a given server, made if we may; else the given role plays both parts."""
    password = hashlib.sha256(f"payloops tests {admin_dsn}".encode()).hexdigest()
    role = sql.Identifier(f"{APP_ROLE}_test")
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        try:
            with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        except psycopg.errors.InsufficientPrivilege:
            return admin_dsn
    parts = urlsplit(admin_dsn)
    location = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(APP_ROLE + '_test')}:{password}@{location}").geturl()


def _user(dsn: str) -> str:
    return unquote(urlsplit(dsn).username or "")


def _on(dsn: str, database: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{database}").geturl()
