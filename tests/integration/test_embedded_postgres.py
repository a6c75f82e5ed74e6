"""The embedded server: made, crashed, left behind, made unreachable; each time on a cluster of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from payloops import embedded_postgres
from payloops.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError, places
from tests.parts import open_directory

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root must run the server as somebody else")


@contextlib.contextmanager
def started(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    server = embedded_postgres.start(data_dir, overrides={"shared_buffers": "16MB"})
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture(scope="session")
def made_cluster() -> Iterator[Path]:
    """A data directory with a finished, stopped cluster; copy it."""
    with open_directory() as directory:
        with started(directory / "made"):
            pass
        yield directory / "made"


@pytest.fixture
def data_dir(made_cluster: Path) -> Iterator[Path]:
    with open_directory() as directory:
        subprocess.run(["cp", "-a", str(made_cluster), str(directory / "data")], check=True)
        yield directory / "data"


def value(dsn: str, query: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def remember(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.owner_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def test_a_fresh_directory_gets_a_server_with_two_roles() -> None:
    with open_directory() as directory, started(directory / "new" / "data dir") as server:
        assert value(server.app_dsn, "SELECT current_user || '@' || current_database()") == "payloops_app@payloops"
        assert value(server.app_dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "False"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'payloops'"
        assert value(server.owner_dsn, owner) == "payloops_owner"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            value(server.app_dsn, "CREATE TABLE x AS SELECT 1")
        for name, wanted in (("fsync", "on"), ("synchronous_commit", "on"), ("jit", "off"), ("listen_addresses", "")):
            assert value(server.admin_dsn, f"SHOW {name}") == wanted
        assert embedded_postgres.find_running(directory / "new" / "data dir") is not None
        # Paths with blanks are fine for data; the socket then lies elsewhere.
        assert " " not in str(server.socket_dir)
    assert not psutil.pid_exists(server.pid)
    assert embedded_postgres.find_running(directory / "new" / "data dir") is None


def test_data_survives_a_stop_and_a_killed_server(data_dir: Path) -> None:
    with started(data_dir) as server:
        remember(server)
    with started(data_dir) as server:
        remember(server)
        os.kill(server.pid, signal.SIGKILL)
        server.server.wait(10)
        assert not server.is_running()
    with started(data_dir) as server:
        assert value(server.owner_dsn, "SELECT count(*) FROM kept") == "2"


def test_a_relative_directory_works(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data_dir.parent)
    with started(Path(data_dir.name)) as server:
        assert value(server.app_dsn, "SELECT 1") == "1"


def test_a_long_path_works(made_cluster: Path) -> None:
    with open_directory() as directory:
        long = directory / ("d" * 60) / ("e" * 60)
        long.mkdir(parents=True)
        subprocess.run(["cp", "-a", str(made_cluster), str(long / "data")], check=True)
        with started(long / "data") as server:
            assert value(server.app_dsn, "SELECT 1") == "1"
            assert len(str(server.socket_dir)) < 90
        assert not server.socket_dir.exists()


def test_a_half_made_cluster_is_made_again() -> None:
    with open_directory() as directory:
        for leftover in ("cluster", "cluster.new"):
            (directory / "postgres" / leftover / "base").mkdir(parents=True)
            (directory / "postgres" / leftover / "base" / "junk").write_text("half")
        with started(directory) as server:
            assert value(server.app_dsn, "SELECT 1") == "1"


def test_a_crash_between_cluster_and_roles_is_mended(data_dir: Path) -> None:
    with started(data_dir) as server, psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE payloops")
        connection.execute("DROP ROLE payloops_app")
    with started(data_dir) as server:
        assert value(server.app_dsn, "SELECT 1") == "1"


def test_a_directory_has_one_owner(data_dir: Path) -> None:
    with started(data_dir), pytest.raises(EmbeddedPostgresError, match="another process already runs"):
        embedded_postgres.start(data_dir)


def test_the_server_ends_with_its_killed_owner_and_can_be_started_again(data_dir: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from payloops import embedded_postgres\n"
        "print(embedded_postgres.start(Path(sys.argv[1])).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(data_dir)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        server_process = psutil.Process(pid)
        owner.kill()
    assert psutil.wait_procs([server_process], timeout=60)[0] == [server_process]
    with started(data_dir) as server:
        assert value(server.app_dsn, "SELECT 1") == "1"


def test_a_server_whose_owner_and_guard_were_killed_is_replaced(data_dir: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from payloops import embedded_postgres\n"
        "s = embedded_postgres.start(Path(sys.argv[1])); s._guard.kill(); print(s.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(data_dir)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        left_behind = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    assert left_behind.is_running()
    with started(data_dir) as server:
        assert server.pid != left_behind.pid
        assert not left_behind.is_running() or left_behind.status() == psutil.STATUS_ZOMBIE


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(data_dir: Path) -> None:
    stale = data_dir / "postgres" / "cluster" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n1700000000\n5432\n/nowhere\n\n  1 2\nready   \n")
    (data_dir / "postgres" / "run").mkdir(exist_ok=True)
    (data_dir / "postgres" / "run" / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n")
    assert embedded_postgres.find_running(data_dir) is None
    with started(data_dir) as server:
        assert value(server.app_dsn, "SELECT 1") == "1"


def test_a_server_that_does_not_react_is_killed(data_dir: Path) -> None:
    server = embedded_postgres.start(data_dir)
    os.kill(server.pid, signal.SIGSTOP)
    server.stop(within_s=0.3)
    assert not server.is_running()
    server.stop()


def test_another_major_version_is_named(data_dir: Path) -> None:
    (data_dir / "postgres" / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 17"):
        embedded_postgres.start(data_dir)


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        embedded_postgres.start(data_dir, overrides={"shared_buffers": "nonsense"})
    with started(data_dir) as server:
        assert value(server.app_dsn, "SELECT 1") == "1"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="PAYLOOPS_DATA"):
        embedded_postgres.start(tmp_path / "file")


@as_root
def test_a_private_directory_of_root_is_replaced_by_one_that_can_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o700)
    with open_directory() as system, strict_umask():
        monkeypatch.setattr(places, "_SYSTEM_DATA", system / "payloops")
        with started(tmp_path / "data") as server:
            assert value(server.app_dsn, "SELECT 1") == "1"
            running = embedded_postgres.find_running(tmp_path / "data")
            assert running is not None
            assert running.app_dsn == server.app_dsn
        assert "its data is in" in caplog.text
        assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_binaries_in_a_private_directory_of_root_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = places._packaged_binaries().parent.parent
    tmp_path.chmod(0o700)
    private = tmp_path / package.name
    private.mkdir()
    (private / "pginstall18").symlink_to(package / "pginstall18")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        (tmp_path / libraries.name).symlink_to(libraries)
    with open_directory() as system, strict_umask():
        monkeypatch.setattr(places, "_SYSTEM_DATA", system / "payloops")
        monkeypatch.setattr(places, "_packaged_binaries", lambda: private / "pginstall18" / "bin")
        for _ in range(2):
            with started(system / "data") as server:
                assert value(server.app_dsn, "SELECT 1") == "1"
                assert str(system) in psutil.Process(server.pid).exe()
            assert len([path for path in (system / "payloops").iterdir() if path.name.startswith("postgresql-")]) == 1
