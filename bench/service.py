"""The service under measurement: its own commands in processes of their own, on a database and ports of this row."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.harness import Bench, child_environment
from bench.http_requests import call, render
from bench.load import Load, Step
from bench.postgres import BenchDatabase
from bench.processes import free_port, free_port_pair, running, wait_until_served
from bench.sample_order import HTTP_BODY

CONNECTIONS: Final = 32
_CREATORS: Final = 16


@dataclass(frozen=True, slots=True)
class Merchant:
    """A registered merchant: the dashboard's token and an API key."""

    id: str
    token: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Api:
    """A running API."""

    port: int

    def register(self) -> Merchant:
        """A new merchant with a test key that may do everything."""
        account = {
            "name": "Bench",
            "email": f"bench{secrets.token_hex(8)}@shop.test",
            "password": secrets.token_urlsafe(24),
        }
        made = call(self.port, "POST", "/api/auth/register", {}, account, status=201)
        bearer = {"Authorization": f"Bearer {made['token']}"}
        key = call(self.port, "POST", "/api/api-keys", bearer, {"name": "bench"}, status=201)
        return Merchant(id=made["merchant"]["id"], token=made["token"], api_key=key["secret"])

    def create_orders(self, count: int, merchant: Merchant) -> list[str]:
        """The ids of fresh orders."""
        key = {"X-API-Key": merchant.api_key}

        def create(_: int) -> str:
            return str(call(self.port, "POST", "/v1/orders", key, HTTP_BODY, status=201)["id"])

        with ThreadPoolExecutor(_CREATORS) as pool:
            return list(pool.map(create, range(count)))


class Service:
    """The processes of the service over one database; its secrets and directory last as long as the block.

    Each is started by the command that a user would type, with the settings that he would give and no others; but for
    the limit of one API key, for here one key brings all of the load.
    """

    def __init__(self, bench: Bench, database: BenchDatabase, directory: Path, **variables: str) -> None:
        self._bench = bench
        self._directory = directory
        self.sandbox_port = free_port_pair()
        self._variables = {
            "DATABASE_URL": database.app_dsn,
            "MIGRATION_DATABASE_URL": database.owner_dsn,
            "PAYLOOPS_DATA": str(directory),
            "JWT_SECRET": secrets.token_urlsafe(48),
            "ENCRYPTION_KEY": secrets.token_urlsafe(48),
            "SANDBOX_PORT": str(self.sandbox_port),
            "API_KEY_REQUESTS_PER_MIN": "1000000000",
            **variables,
        }

    @contextmanager
    def api(self, *, workers: int = 1) -> Iterator[Api]:
        """The API, ready."""
        port = free_port()
        with self._part("api", port, "/health/ready", f"api-{workers}", PORT=str(port), API_WORKERS=str(workers)):
            yield Api(port)

    @contextmanager
    def relay(self) -> Iterator[None]:
        """The relay, with the embedded engine unless the settings name a Temporal server."""
        with running(self._command("relay"), self._environment(), log=self._bench.log("relay"), cwd=self._directory):
            yield

    @contextmanager
    def worker(self) -> Iterator[None]:
        """The worker of Temporal's queues."""
        with running(self._command("worker"), self._environment(), log=self._bench.log("worker"), cwd=self._directory):
            yield

    @contextmanager
    def sandbox(self) -> Iterator[int]:
        """The processors' simulator; the port of its Stripe."""
        with self._part("sandbox", self.sandbox_port, "/_sandbox/ledger?account=sk_test_bench", "sandbox"):
            yield self.sandbox_port

    @contextmanager
    def _part(self, part: str, port: int, path: str, name: str, **variables: str) -> Iterator[None]:
        log = self._bench.log(name)
        with running(self._command(part), self._environment(**variables), log=log, cwd=self._directory) as process:
            wait_until_served(process, port, path, log=log)
            yield

    def _command(self, part: str) -> list[str]:
        return [sys.executable, "-m", "payloops", part]

    def _environment(self, **variables: str) -> dict[str, str]:
        return child_environment(**self._variables, **variables)


@contextmanager
def service(bench: Bench, database: BenchDatabase, **variables: str) -> Iterator[Service]:
    """The service on a database, in a directory that is thrown away; ``variables`` are further settings."""
    with tempfile.TemporaryDirectory(prefix="payloops-bench-") as directory:
        yield Service(bench, database, Path(directory), **variables)


def order_load(port: int, api_key: str, *, keyed: bool = False) -> Load:
    """Order creation on 32 connections; ``keyed`` gives each request an Idempotency-Key of its own."""
    headers = {"X-API-Key": api_key, **({"Idempotency-Key": "bench-{number}"} if keyed else {})}
    return Load(port, CONNECTIONS, [Step([render("POST", "/v1/orders", headers, HTTP_BODY)], status=201)])
