"""The command line: settings from the environment and .env, one line for what is expected to fail, statuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from payloops import embedded_postgres
from payloops.__main__ import main
from payloops.cli import surroundings
from payloops.cli.api import child_environ
from payloops.cli.commands import COMMANDS, run
from payloops.cli.dotenv import read_dotenv
from payloops.config import Settings
from payloops.errors import ConfigurationError
from tests.databases import TestDatabase
from tests.parts import open_directory
from tests.ports import HOST, held_ports


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env of this checkout, no settings of this shell."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("payloops.telemetry.process.configure_logging", lambda **_: None)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["migrate", "--nonsense"], ["audit", "no-uuid"]])
def test_a_wrong_command_line_is_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "usage: payloops" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_its_module(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"payloops {name}" in capsys.readouterr().out


def test_a_wrong_setting_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate"], {"PORT": "x"}) == 2
    assert capsys.readouterr().err == "payloops: PORT must be a whole number from 1 to 65535\n"


def test_migrate_says_what_it_did(empty_database: TestDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {
        "DATABASE_URL": empty_database.app_dsn,
        "MIGRATION_DATABASE_URL": empty_database.owner_dsn,
        "JWT_SECRET": "j" * 32,
        "ENCRYPTION_KEY": "e" * 32,
    }
    assert run(["migrate"], environ) == 0
    assert "applied 0001_" in capsys.readouterr().out
    assert run(["migrate"], environ) == 0
    assert capsys.readouterr().out == "nothing to do: the schema is current\n"


def test_an_unreachable_database_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"postgresql://user:hunter2@/x?host={tmp_path}"
    assert run(["migrate"], {"DATABASE_URL": url}) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("payloops: the database can't be used: ")
    assert shown.count("\n") == 1
    assert "hunter2" not in shown


def test_the_sandbox_is_not_for_production(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {
        "PAYLOOPS_ENV": "production",
        "DATABASE_URL": "postgresql://x@/x",
        "JWT_SECRET": "tVq3xW8zK1nB5mR7yL2pD9sF4gH6jC0a+QeU",
        "ENCRYPTION_KEY": "uYb2kN7vX4cM9zQ1wE6rT3yU8iO5pA0sLfGd",
        "TEMPORAL_ADDRESS": "temporal:7233",
    }
    assert run(["sandbox"], environ) == 2
    assert "there is no sandbox" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "api"])
def test_a_taken_port_stops_the_start(
    command: str, taken_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_PORT_RETRY_S", 0.0)
    assert run([command], {"PORT": str(taken_port), "SANDBOX_PORT": "64001"}) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"payloops: PORT: port {taken_port} on 127.0.0.1 can't be used")
    assert shown.count("\n") == 1
    # Nothing was started.
    assert not (Path(".payloops") / "postgres").exists()


def test_a_taken_sandbox_port_stops_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_PORT_RETRY_S", 0.0)
    with held_ports(2) as free, socket.socket() as listener:
        taken = free + 1
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((HOST, taken))
        listener.listen()
        for first in (taken, free):
            assert run(["up"], {"PORT": "64000", "SANDBOX_PORT": str(first)}) == 2
            assert capsys.readouterr().err.startswith(f"payloops: SANDBOX_PORT: port {taken} ")


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ConfigurationError, match="can't be used"):
        surroundings.ensure_port_free("203.0.113.1", 64000, "HOST")


def test_a_part_finds_the_running_embedded_database() -> None:
    with open_directory() as directory:
        settings = Settings.from_env({"PAYLOOPS_DATA": str(directory)})
        with surroundings.database_of(settings) as owner:
            with surroundings.database_of(settings) as guest:
                assert guest.database_url == owner.database_url
                assert guest.migration_database_url == owner.migration_database_url
            assert embedded_postgres.find_running(directory) is not None
        assert embedded_postgres.find_running(directory) is None


def test_a_given_database_is_left_alone() -> None:
    settings = Settings.from_env({"DATABASE_URL": "postgresql://x@/x"})
    with surroundings.database_of(settings) as ready:
        assert ready is settings


def test_a_child_gets_exactly_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("PATH_OF_SOMETHING", "kept")
    environ = child_environ(Settings.from_env({"PORT": "4000"}))
    assert environ["PORT"] == "4000"
    assert environ["PATH_OF_SOMETHING"] == "kept"
    assert "LOG_LEVEL" not in environ


def test_a_dotenv_file_is_read_and_the_environment_wins(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text(
        "# comment\n\nPORT=70000\nexport HOST = 127.0.0.1   # here\nLOG_LEVEL='info' # quoted\n"
        'OTEL_SERVICE_NAME="a # b"\nDATABASE_URL=\nPUBLIC_URL=https://x.test/#no\n'
    )
    assert read_dotenv(Path(".env")) == {
        "PORT": "70000",
        "HOST": "127.0.0.1",
        "LOG_LEVEL": "info",
        "OTEL_SERVICE_NAME": "a # b",
        "DATABASE_URL": "",
        "PUBLIC_URL": "https://x.test/#no",
    }
    assert run(["migrate"], {"PATH": ""}) == 2
    assert "PORT must be" in capsys.readouterr().err
    assert run(["migrate"], {"PORT": "80", "PUBLIC_URL": "x"}) == 2
    assert "PUBLIC_URL must be" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["nonsense", "lower=1", "A B=1", "=x"])
def test_a_damaged_dotenv_file_is_named_by_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text(f"PORT=3000\n{line}\n")
    assert run(["migrate"], {}) == 2
    assert ".env, line 2, is not NAME=value" in capsys.readouterr().err
