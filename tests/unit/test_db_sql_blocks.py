from __future__ import annotations

from importlib import resources
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

import payloops
from payloops.db import connection_string, is_connection_failure, is_unavailable, load_sql, parse_sql_blocks


def test_blocks_are_split_by_name() -> None:
    text = "-- What it is.\n\n-- name: first\nSELECT 1 -- one\n;\n--name:second_2  \n\nSELECT 2\n"
    assert parse_sql_blocks(text, "x.sql") == {"first": "SELECT 1 -- one\n;", "second_2": "SELECT 2"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1\n-- name: a\nSELECT 2", "before the first"),
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", "a stands twice"),
        ("-- name: a\n-- nothing\n-- name: b\nSELECT 2", "a is empty"),
        ("-- name: a b\nSELECT 1", "not a block name"),
        ("-- name: \nSELECT 1", "not a block name"),
        ("-- name: Upper\nSELECT 1", "not a block name"),
    ],
)
def test_a_malformed_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_sql_blocks(text, "x.sql")
    assert str(caught.value).startswith("x.sql: ")


def test_a_file_beside_a_package_is_loaded_once() -> None:
    blocks = load_sql("payloops.migrations", "schema")
    assert "create_ledger" in blocks
    assert load_sql("payloops.migrations", "schema") is blocks
    with pytest.raises(FileNotFoundError):
        load_sql("payloops.migrations", "absent")


def test_every_sql_file_of_the_package_can_be_loaded() -> None:
    root = Path(str(resources.files(payloops)))
    files = [path for path in root.rglob("*.sql") if not path.name[:4].isdigit()]
    assert files
    for path in files:
        parse_sql_blocks(path.read_text(), path.name)


def test_limits_are_added_and_given_options_kept() -> None:
    text = connection_string(
        "postgresql://u@h/d?options=-c%20work_mem%3D8MB",
        application_name="x",
        statement_timeout_ms=1,
        lock_timeout_ms=2,
    )
    assert "'-c jit=off -c work_mem=8MB -c statement_timeout=1 -c lock_timeout=2 " in text
    assert "tcp_user_timeout=5000" in text
    assert "connect_timeout=3" in text


def error(kind: type[psycopg.Error], state: str | None) -> psycopg.Error:
    problem = kind("x")
    problem.sqlstate = state
    return problem


@pytest.mark.parametrize(
    ("problem", "broken", "unavailable"),
    [
        (PoolTimeout("x"), True, True),
        (PoolClosed("x"), True, True),
        (TooManyRequests("x"), True, True),
        (error(psycopg.OperationalError, None), True, True),
        (error(psycopg.InterfaceError, None), True, True),
        (error(psycopg.OperationalError, "08006"), True, True),
        (psycopg.errors.AdminShutdown("x"), True, True),
        (psycopg.errors.CannotConnectNow("x"), True, True),
        (psycopg.errors.DiskFull("x"), False, True),
        (psycopg.errors.TooManyConnections("x"), False, True),
        (psycopg.errors.QueryCanceled("x"), False, True),
        (psycopg.errors.LockNotAvailable("x"), False, True),
        (psycopg.errors.ReadOnlySqlTransaction("x"), False, True),
        (psycopg.errors.UniqueViolation("x"), False, False),
        (psycopg.errors.SyntaxError("x"), False, False),
        (ValueError("x"), False, False),
    ],
)
def test_what_a_driver_error_means(problem: Exception, broken: bool, unavailable: bool) -> None:
    assert is_connection_failure(problem) is broken
    assert is_unavailable(problem) is unavailable
