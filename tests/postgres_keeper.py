"""One embedded Postgres for every test process of this checkout, and the process that keeps it.

Each test process holds a shared lock on ``users.lock``; the kernel drops it however the process ends. The keeper, a
process of its own, stops the server and ends as soon as it can have that lock alone. So the server outlives a worker
that crashed and never outlives the last one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from payloops import embedded_postgres
from payloops.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError, ServerAddress
from tests.parts import fast_place

ROOT = Path(__file__).resolve().parent.parent
DATABASE_PREFIX = "payloops_t"
SETTINGS = {
    # The data is thrown away: surviving a power cut is not worth a sync per commit on a shared disk.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "400",
    "max_wal_size": "1GB",
}
START_TIMEOUT_S = 60.0
POLL_S = 0.05
LOOK_FOR_USERS_EVERY_S = 0.3


@contextlib.contextmanager
def shared_postgres() -> Iterator[ServerAddress]:
    """The server of this checkout's tests, running for at least the length of the block."""
    directory = _directory()
    with locked(directory / "users.lock", fcntl.LOCK_SH):
        with locked(directory / "start.lock", fcntl.LOCK_EX):
            address = _reachable(directory) or _spawn_keeper(directory)
        yield address


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Iterator[IO[bytes]]:
    """A kernel lock on a file: released at the latest when the process ends."""
    with path.open("ab") as file:
        fcntl.flock(file, kind)
        yield file


def _directory() -> Path:
    key = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]
    directory = fast_place() / f"payloops-tests-{os.geteuid()}-{key}"
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o711)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RuntimeError(f"{directory} belongs to somebody else")
    return directory


def _reachable(directory: Path) -> ServerAddress | None:
    address = embedded_postgres.find_running(directory)
    if address is not None:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(address.admin_dsn, connect_timeout=5).close()
            return address
    return None


def _spawn_keeper(directory: Path) -> ServerAddress:
    log = directory / "keeper.log"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["PYTHONPATH"] = str(ROOT)
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "tests.postgres_keeper", str(directory)],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if (address := _reachable(directory)) is not None:
            _drop_leftovers(address)
            return address
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            break
        time.sleep(POLL_S)
    raise RuntimeError(f"the tests' Postgres did not start: {log.read_text(errors='replace')[-2000:]}")


def _start(directory: Path) -> EmbeddedPostgres:
    try:
        return embedded_postgres.start(directory, overrides=SETTINGS)
    except EmbeddedPostgresError as problem:
        # Without fsync a power cut may have spoilt the cluster; nothing in it is worth keeping.
        print(f"starting afresh: {problem}", flush=True)
        shutil.rmtree(directory / "postgres", ignore_errors=True)
        return embedded_postgres.start(directory, overrides=SETTINGS)


def _drop_leftovers(server: ServerAddress) -> None:
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (DATABASE_PREFIX,)
        ).fetchall()
        for (name,) in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def keep(directory: Path) -> int:
    """Run the server until nobody uses it; the exit status says whether it ended by itself."""
    server = _start(directory)
    try:
        while server.is_running():
            time.sleep(LOOK_FOR_USERS_EVERY_S)
            with (directory / "users.lock").open("ab") as users, contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                server.stop()
                return 0
        return 1
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
