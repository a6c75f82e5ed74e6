"""P3's baseline: the original's design, a small Node server of ours with three round trips a request (node/server.mjs).

Its packages are installed from its lock file into bench/out when it is measured.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from bench.harness import Bench, MissingPartError, child_environment
from bench.postgres import BenchDatabase
from bench.processes import free_port, running, wait_until_served
from payloops.embedded_postgres import OWNER_ROLE

SOURCE: Final = Path(__file__).with_name("node")
_FILES: Final = ("package.json", "package-lock.json", "server.mjs")
_INSTALL_S: Final = 180.0


@contextmanager
def node_server(bench: Bench, database: BenchDatabase) -> Iterator[tuple[int, str]]:
    """Its port and an API key that it takes. Raises MissingPartError without node and npm or without their packages."""
    node = _program("node")
    directory = _installed(bench)
    api_key = _prepare(database)
    port = free_port()
    environment = child_environment(
        PGSOCKET=database.socket_dir,
        PGDATABASE=database.name,
        PGUSER=OWNER_ROLE,
        PORT=str(port),
        NODE_ENV="production",
    )
    log = bench.log("node")
    with running([node, "server.mjs"], environment, log=log, cwd=directory) as process:
        wait_until_served(process, port, "/health", log=log)
        yield port, api_key


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingPartError(f"{name} is not on PATH")
    return found


def _installed(bench: Bench) -> Path:
    """The server beside its packages; installed once for each lock file."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    directory = bench.out_dir / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    complete = directory / ".complete"
    directory.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copy(SOURCE / name, directory / name)
    if complete.exists():
        return directory
    bench.say("installing the baseline's packages with npm")
    done = subprocess.run(
        [_program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=_INSTALL_S,
        env=dict(os.environ),  # npm's own settings and proxies
    )
    if done.returncode != 0:
        bench.log("npm").write_text(done.stdout + done.stderr, encoding="utf-8")
        raise MissingPartError(f"npm could not install the baseline's packages; see {bench.log('npm')}")
    complete.touch()
    return directory


def _prepare(database: BenchDatabase) -> str:
    """Its tables with one merchant; returns the merchant's API key."""
    api_key = f"sk_test_{secrets.token_hex(24)}"
    key_hash = hashlib.sha256(api_key.encode()).hexdigest()
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute((SOURCE / "schema.sql").read_bytes())
        connection.execute(
            "WITH merchant AS (INSERT INTO merchants (name) VALUES ('Bench') RETURNING id) "
            "INSERT INTO api_keys (merchant_id, key_hash) SELECT id, %s FROM merchant",
            (key_hash,),
        )
    return api_key
