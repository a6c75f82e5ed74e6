"""P4: ``GET /v1/orders/:id`` with authentication, 32 connections, against handlers that do nothing.

P4's baseline is a handler of the same server that returns constant bytes (``GET /health/live``): the same process finds
its route, gives it a correlation id and the usual headers, and logs it. P4a's is the bare server
(baselines/no_op_server.py), which only parses the request.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.harness import Bench, Result, at_least, child_environment
from bench.http_requests import render
from bench.load import Load, Step
from bench.processes import free_port, running, wait_until_served
from bench.samples import RATE
from bench.service import CONNECTIONS, service

WHAT: Final = "GET /v1/orders/:id, 32 connections, against handlers that do nothing"
ORDERS: Final = 500


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        api = stack.enter_context(ours.api())
        merchant = api.register()
        key = {"X-API-Key": merchant.api_key}
        paths = [f"/v1/orders/{order}" for order in api.create_orders(ORDERS, merchant)]
        port = stack.enter_context(_bare_server(bench))
        targets = {
            "payloops": (api.port, paths),
            "no-op handler": (api.port, ["/health/live"]),
            "bare server": (port, paths),
        }
        sides = {
            name: stack.enter_context(bench.worker("bench.load", _load(*target, key).to_json())).measure
            for name, target in targets.items()
        }
        rounds = bench.interleave(sides)
    handler, bare = (rounds.compare("payloops", side, RATE) for side in ("no-op handler", "bare server"))
    return [
        Result.of("P4", "GET /v1/orders/:id, to a no-op handler", "1/s", handler, at_least(0.4)),
        Result.of("P4a", "GET /v1/orders/:id, to the bare server", "1/s", bare, at_least(0.4)),
    ]


def _load(port: int, paths: Sequence[str], headers: Mapping[str, str]) -> Load:
    return Load(port, CONNECTIONS, [Step([render("GET", path, headers) for path in paths], status=200)])


@contextmanager
def _bare_server(bench: Bench) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench.baselines.no_op_server", str(port)]
    log = bench.log("no-op")
    with running(command, child_environment(), log=log) as process:
        wait_until_served(process, port, "/v1/orders/x", log=log)
        yield port
