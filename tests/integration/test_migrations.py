"""The migrations and their runner, on a real database."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from payloops.db import Database
from payloops.migrations.runner import (
    LOG_TABLE,
    Migration,
    MigrationError,
    SchemaStatus,
    check_schema,
    fingerprint,
    load_migrations,
    migrate,
)
from tests.databases import TestDatabase, TestServer
from tests.parts import missing_part


def migration(version: int, sql: str, slug: str = "x") -> Migration:
    return Migration(version, slug, hashlib.sha256(sql.encode()).hexdigest(), sql)


ONE = migration(1, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1);")
TWO = migration(2, "ALTER TABLE a ADD COLUMN b text DEFAULT '100%';")


def rows(dsn: str, query: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def test_the_files_are_numbered_without_gaps() -> None:
    migrations = load_migrations()
    assert [one.version for one in migrations] == list(range(1, len(migrations) + 1))
    assert all(len(one.checksum) == 64 and one.sql.strip() for one in migrations)
    assert migrations[0].name.startswith("0001_")


def test_gaps_in_the_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gappy_migrations"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "0001_a.sql").write_text("SELECT 1")
    (package / "0003_c.sql").write_text("SELECT 1")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MigrationError, match=r"\[1, 3\]"):
        load_migrations("gappy_migrations")


def test_they_are_applied_once_and_recorded(empty_database: TestDatabase) -> None:
    assert migrate(empty_database.owner_dsn, migrations=[ONE]) == (ONE,)
    assert migrate(empty_database.owner_dsn, migrations=[ONE, TWO]) == (TWO,)
    assert migrate(empty_database.owner_dsn, migrations=[ONE, TWO]) == ()
    assert rows(empty_database.owner_dsn, "SELECT id, b FROM a") == [(1, "100%")]
    recorded = rows(empty_database.owner_dsn, "SELECT version, slug, checksum FROM schema_migrations ORDER BY version")
    assert recorded == [(1, "x", ONE.checksum), (2, "x", TWO.checksum)]


def test_a_failing_file_leaves_nothing_and_can_be_mended(empty_database: TestDatabase) -> None:
    broken = migration(2, "CREATE TABLE b (id int); SELECT 1/0;")
    with pytest.raises(MigrationError, match=r"0002_x\.sql failed and was rolled back: division by zero"):
        migrate(empty_database.owner_dsn, migrations=[ONE, broken])
    assert rows(empty_database.owner_dsn, "SELECT to_regclass('a') IS NULL, to_regclass('b') IS NULL") == [
        (False, True)
    ]
    assert migrate(empty_database.owner_dsn, migrations=[ONE, TWO]) == (TWO,)


def test_a_file_may_not_end_its_transaction(empty_database: TestDatabase) -> None:
    with pytest.raises(MigrationError, match="0001_x"):
        migrate(empty_database.owner_dsn, migrations=[migration(1, "CREATE TABLE c (id int); COMMIT;")])
    assert rows(empty_database.owner_dsn, "SELECT count(*) FROM schema_migrations") == [(0,)]


def test_a_changed_file_is_refused(empty_database: TestDatabase) -> None:
    migrate(empty_database.owner_dsn, migrations=[ONE])
    with pytest.raises(MigrationError, match=r"0001_x\.sql differs"):
        migrate(empty_database.owner_dsn, migrations=[migration(1, ONE.sql + " "), TWO])
    assert rows(empty_database.owner_dsn, "SELECT max(version) FROM schema_migrations") == [(1,)]


def test_a_newer_database_is_refused(empty_database: TestDatabase) -> None:
    migrate(empty_database.owner_dsn, migrations=[ONE, TWO])
    with pytest.raises(MigrationError, match=r"at 0002, this release knows 0001; run a newer release"):
        migrate(empty_database.owner_dsn, migrations=[ONE])


def test_concurrent_runs_wait_for_each_other(empty_database: TestDatabase) -> None:
    slow = migration(1, "SELECT pg_sleep(0.2); CREATE TABLE once (id int);")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: migrate(empty_database.owner_dsn, migrations=[slow]), range(4)))
    assert sorted(len(applied) for applied in results) == [0, 0, 0, 1]


async def test_a_process_knows_whether_the_schema_is_its_own(empty_database: TestDatabase) -> None:
    database = Database(empty_database.owner_dsn)
    await database.open()
    try:
        expectations: list[tuple[list[Migration], list[Migration], SchemaStatus, str]] = [
            ([], [ONE, TWO], SchemaStatus.ABSENT, "run: payloops migrate"),
            ([ONE], [ONE, TWO], SchemaStatus.BEHIND, "at 0001, 0002 is needed; run: payloops migrate"),
            ([ONE, TWO], [ONE, TWO], SchemaStatus.CURRENT, "at 0002"),
            ([ONE, TWO], [ONE], SchemaStatus.AHEAD, "run a newer release"),
            ([ONE, TWO], [ONE, migration(2, "SELECT 2")], SchemaStatus.CHANGED, "differs"),
        ]
        for applied, known, status, message in expectations:
            if applied:
                migrate(empty_database.owner_dsn, migrations=applied)
            state = await check_schema(database, known)
            assert state.status is status
            assert state.ok is (status is SchemaStatus.CURRENT)
            assert message in state.message
    finally:
        await database.close()


async def test_a_migrated_database_is_current_for_the_application(database: Database) -> None:
    assert (await check_schema(database)).ok


def test_a_fingerprint_names_exactly_these_files() -> None:
    assert fingerprint([ONE]) == fingerprint([ONE])
    assert len({fingerprint([ONE]), fingerprint([ONE, TWO]), fingerprint([TWO])}) == 3


def needs_two_roles(test_database: TestDatabase) -> None:
    if not test_database.separate_roles:
        missing_part("a second database role", "the given one may not make roles")


@pytest.mark.parametrize("statement", ["UPDATE {} SET topic = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_application_may_only_append_to_the_log(test_database: TestDatabase, statement: str) -> None:
    needs_two_roles(test_database)
    with psycopg.connect(test_database.app_dsn, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.format(LOG_TABLE).encode())
        for forbidden in ("DROP TABLE {}", "ALTER TABLE {} DISABLE TRIGGER ALL", "CREATE TABLE {}_copy (id int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.format(LOG_TABLE).encode())


@pytest.mark.parametrize("statement", ["UPDATE {} SET topic = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_not_even_the_owner_may_change_the_log(test_database: TestDatabase, statement: str) -> None:
    with (
        psycopg.connect(test_database.owner_dsn, autocommit=True) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        connection.execute(statement.format(LOG_TABLE).encode())


def test_the_application_may_do_what_it_needs(test_database: TestDatabase) -> None:
    needs_two_roles(test_database)
    query = """
        SELECT c.relname,
               has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
               has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'),
               has_table_privilege(c.oid, 'TRUNCATE')
          FROM pg_class AS c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"""
    rights = {name: tuple(given) for name, *given in rows(test_database.app_dsn, query)}
    assert rights.pop("schema_migrations") == (True, False, False, False, False)
    assert rights.pop(LOG_TABLE) == (True, True, False, False, False)
    assert rights
    assert set(rights.values()) == {(True, True, True, True, False)}


def test_later_tables_are_granted_too_and_the_log_never_more(empty_database: TestDatabase) -> None:
    needs_two_roles(empty_database)
    log = migration(1, f"CREATE TABLE {LOG_TABLE} (topic text)")
    later = migration(2, f"CREATE TABLE {LOG_TABLE}_2027 (topic text); CREATE TABLE orders (id int)")
    for known in ([log], [log, later]):
        migrate(empty_database.owner_dsn, app_dsn=empty_database.app_dsn, migrations=known)
    with psycopg.connect(empty_database.app_dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        connection.execute("DELETE FROM orders")
        for table in (LOG_TABLE, f"{LOG_TABLE}_2027"):
            connection.execute(f"INSERT INTO {table} VALUES ('x')".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"DELETE FROM {table}".encode())
    # A table that a rebuild makes between two releases is usable at once.
    with psycopg.connect(empty_database.owner_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders_new (id int)")
    rows(empty_database.app_dsn, "SELECT * FROM orders_new")


def test_an_unknown_application_role_is_named(empty_database: TestDatabase) -> None:
    with pytest.raises(MigrationError, match="nobody_like_this"):
        migrate(empty_database.owner_dsn, app_dsn="postgresql://nobody_like_this@/x", migrations=[ONE])


def test_each_test_has_a_database_of_its_own(postgres_server: TestServer, test_database: TestDatabase) -> None:
    other = postgres_server.create()
    try:
        assert other.name != test_database.name
        with psycopg.connect(other.owner_dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE only_here (id int)")
        assert rows(test_database.owner_dsn, "SELECT to_regclass('only_here')") == [(None,)]
    finally:
        postgres_server.drop(other)
