"""P4: ``GET /v1/orders/:id`` with authentication, against a handler that does nothing on the same kind of server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.harness import Bench, Result, at_least, child_environment
from bench.http_requests import render
from bench.load import Load, Step
from bench.processes import free_port, running, wait_until_served
from bench.samples import RATE
from bench.service import CONNECTIONS, service

WHAT: Final = "GET /v1/orders/:id, 32 connections, against a handler that does nothing"
ORDERS: Final = 500


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        api = stack.enter_context(ours.api())
        merchant = api.register()
        key = {"X-API-Key": merchant.api_key}
        paths = [f"/v1/orders/{order}" for order in api.create_orders(ORDERS, merchant)]
        port = stack.enter_context(_no_op_server(bench))
        loads = {
            "payloops": Load(api.port, CONNECTIONS, [Step([render("GET", path, key) for path in paths], status=200)]),
            "no-op": Load(port, CONNECTIONS, [Step([render("GET", path, key) for path in paths], status=200)]),
        }
        sides = {name: stack.enter_context(bench.worker("bench.load", load.to_json())) for name, load in loads.items()}
        rounds = bench.interleave({name: worker.measure for name, worker in sides.items()})
    return [Result.of("P4", "GET /v1/orders/:id", "1/s", rounds.compare("payloops", "no-op", RATE), at_least(0.4))]


@contextmanager
def _no_op_server(bench: Bench) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench.baselines.no_op_server", str(port)]
    log = bench.log("no-op")
    with running(command, child_environment(), log=log) as process:
        wait_until_served(process, port, "/v1/orders/x", log=log)
        yield port
