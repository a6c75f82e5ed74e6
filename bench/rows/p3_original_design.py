"""P3: ``POST /v1/orders`` against the original's design, a Node server with three round trips a request.

P3 is throughput, P3b the 99th percentile of the latency, at 32 connections; one process on either side.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.baselines.node_server import node_server
from bench.harness import Bench, Result, at_least, at_most
from bench.samples import P99, RATE
from bench.service import order_load, service

WHAT: Final = "POST /v1/orders, 32 connections, against a Node server with three round trips a request"


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        theirs = stack.enter_context(node_server(bench, stack.enter_context(bench.postgres.database(schema=False))))
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        api = stack.enter_context(ours.api())
        loads = {"payloops": order_load(api.port, api.register().api_key), "node": order_load(*theirs)}
        sides = {name: stack.enter_context(bench.worker("bench.load", load.to_json())) for name, load in loads.items()}
        rounds = bench.interleave({name: worker.measure for name, worker in sides.items()})
    rate, p99 = (rounds.compare("payloops", "node", quantity) for quantity in (RATE, P99))
    return [
        Result.of("P3", "POST /v1/orders, rate", "1/s", rate, at_least(6)),
        Result.of("P3b", "POST /v1/orders, p99", "ms", p99, at_most(0.3)),
    ]
