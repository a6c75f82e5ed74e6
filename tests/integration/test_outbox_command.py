"""``payloops outbox``, as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg


def outbox(database_url: str, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": database_url, "PAYLOOPS_DATA": str(data_dir), "LOG_LEVEL": "error"}
    return subprocess.run(
        [sys.executable, "-m", "payloops", "outbox", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def park(owner_database_url: str) -> str:
    row_id = str(uuid4())
    with psycopg.connect(owner_database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO outbox (id, key, kind, payload, correlation_id, attempts, parked_at, last_error)"
            " VALUES (%s, 'payment-1', 'start', '{}', 'corr-1', 10, now(), 'ContractViolation: no such kind')",
            (row_id,),
        )
    return row_id


def test_a_parked_row_is_listed_and_can_go_on(database_url: str, owner_database_url: str, tmp_path: Path) -> None:
    row_id = park(owner_database_url)
    listed = outbox(database_url, tmp_path, "list")
    assert listed.returncode == 0, listed.stderr
    assert row_id in listed.stdout
    assert "ContractViolation" in listed.stdout
    retried = outbox(database_url, tmp_path, "retry", row_id)
    assert retried.returncode == 0, retried.stderr
    with psycopg.connect(owner_database_url, autocommit=True) as connection:
        row = connection.execute("SELECT parked_at, attempts FROM outbox WHERE id = %s", (row_id,)).fetchone()
    assert row == (None, 0)


def test_an_unknown_row_is_said_to_be_unknown(database_url: str, tmp_path: Path) -> None:
    missing = str(uuid4())
    answer = outbox(database_url, tmp_path, "retry", missing)
    assert answer.returncode == 1
    assert missing in answer.stdout
