"""``payloops up`` as a user meets it: one command, real processes, real ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from payloops.config import Settings
from tests.parts import open_directory
from tests.ports import HeldPorts, held_ports

pytestmark = pytest.mark.slow

START_S = 60
BACK_S = 60
STOP_S = 10
"""The wire contract's ("Command line")."""


class Up:
    """A running ``payloops up``."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self._ports = HeldPorts(3)
        self.port = self._ports.first
        self.data_dir = data_dir
        self.base_url = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if name not in Settings.variables()}
        self.environ = {
            **kept,
            "PORT": str(self.port),
            "SANDBOX_PORT": str(self.port + 1),
            "PAYLOOPS_DATA": str(data_dir),
            **settings,
        }
        self.log = data_dir.parent / f"log-{self.port}"
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "payloops", "up"],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environ,
                cwd=self.data_dir.parent,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"ready {self.base_url}\n", self.log.read_text()[-3000:]
        return self.process

    def command(self, *argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Another command beside this one, until it ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "payloops", *argv],
            env={**self.environ, **settings},
            cwd=self.data_dir.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_S,
        )

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, name: str) -> psutil.Process:
        return next(one for one in self.family() if name in one.cmdline()[:4])

    def postgres(self) -> psutil.Process:
        return psutil.Process(self.postgres_pid())

    def postgres_pid(self) -> int:
        try:
            return int((self.data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return 0

    def health(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=5) as answer:
                body: dict[str, Any] = json.load(answer)
                return body
        except (OSError, urllib.error.URLError):
            return None

    def register(self) -> str:
        """A new merchant's id."""
        body = {"name": "Shop", "email": "canary@shop.test", "password": "a long password"}
        request = urllib.request.Request(
            f"{self.base_url}/api/auth/register",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=BACK_S) as answer:
            return str(json.load(answer)["merchant"]["id"])

    def until_healthy(self, *, not_on: int = 0) -> None:
        """Until it can serve, on another database server than process ``not_on``."""
        deadline_s = time.monotonic() + BACK_S
        while self.postgres_pid() in {0, not_on} or self.health() is None:
            assert time.monotonic() < deadline_s, self.log.read_text()[-3000:]
            assert self.process.poll() is None
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(STOP_S + 5)
        finally:
            self.close()

    def close(self) -> None:
        self._ports.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as made:
        yield made


@pytest.fixture
def up(directory: Path) -> Iterator[Up]:
    running = Up(directory / "data")
    yield running
    running.close()


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=STOP_S + 5)
    return not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_it_starts_guards_its_ports_mends_what_dies_and_stops(up: Up) -> None:
    # A second one on the same data, and one on the same ports, say so in one line and start nothing.
    for settings, complaint in (
        ({}, f"another payloops up (process {up.process.pid})"),
        ({"PAYLOOPS_DATA": "other", "SANDBOX_PORT": str(up.port + 7)}, f"PORT: port {up.port} "),
        ({"PAYLOOPS_DATA": "other", "PORT": str(up.port + 7)}, f"SANDBOX_PORT: port {up.port + 1} "),
    ):
        refused = up.command("up", **settings)
        assert refused.returncode == 2
        assert complaint in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stdout == ""

    api = up.part("api")
    api.kill()
    assert gone([api])
    up.until_healthy()
    assert up.part("api").pid != api.pid

    postgres = up.postgres()
    postgres.kill()
    assert gone([postgres])
    up.until_healthy(not_on=postgres.pid)

    family = [*up.family(), up.postgres()]
    began_s = time.monotonic()
    assert up.end(signal.SIGTERM) == 0
    assert time.monotonic() - began_s < STOP_S
    assert gone(family)
    assert not (up.data_dir / "postgres" / "cluster" / "postmaster.pid").exists()
    assert (up.data_dir / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_other_commands_find_its_database(up: Up) -> None:
    merchant_id = up.register()

    trail = up.command("audit", merchant_id)
    assert trail.returncode == 0, trail.stderr
    assert "merchant.registered" in trail.stdout
    assert "canary" not in trail.stdout
    entries = [json.loads(line) for line in up.command("audit", "--json", merchant_id).stdout.splitlines()]
    assert [entry["streamVersion"] for entry in entries] == list(range(1, len(entries) + 1))
    nobody = up.command("audit", "01890a5d-ac96-774b-bcce-b302099a8057")
    assert nobody.returncode == 1
    assert "no events of 01890a5d-ac96-774b-bcce-b302099a8057" in nobody.stderr

    compared = up.command("projections", "verify")
    assert compared.returncode == 0, compared.stderr
    assert "merchants: 1 rows" in compared.stdout
    assert compared.stdout.endswith("ok\n")

    assert up.command("migrate").stdout == "nothing to do: the schema is current\n"


def test_a_killed_one_leaves_nothing_and_starts_again(up: Up) -> None:
    family = [*up.family(), up.postgres()]
    up.process.kill()
    up.process.wait()
    up.close()
    assert gone(family)
    up.start()
    assert up.health() is not None
    assert up.end(signal.SIGINT) == 0


def test_several_api_processes_share_the_port(directory: Path) -> None:
    running = Up(directory / "data", API_WORKERS="2")
    try:
        assert len([one for one in running.family() if "api" in one.cmdline()[:4]]) == 2
        running.part("api").kill()
        running.until_healthy()
        assert running.end(signal.SIGTERM) == 0
    finally:
        running.close()


def test_a_signal_during_the_start_is_an_orderly_stop(directory: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in Settings.variables()}
    environ |= {"PAYLOOPS_DATA": str(directory / "data")}
    with (
        held_ports(3) as port,
        subprocess.Popen(
            [sys.executable, "-m", "payloops", "up"],
            env=environ | {"PORT": str(port), "SANDBOX_PORT": str(port + 1)},
            cwd=directory,
            stdin=subprocess.DEVNULL,
        ) as starting,
    ):
        lock = directory / "data" / "postgres" / "owner.lock"
        deadline_s = time.monotonic() + START_S
        while not lock.exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        starting.send_signal(signal.SIGTERM)
        assert starting.wait(STOP_S + 5) == 0
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if str(directory) in " ".join(one.info["cmdline"] or [])
    ]
