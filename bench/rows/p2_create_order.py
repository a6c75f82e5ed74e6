"""P2: ``POST /v1/orders`` with authentication, validation, inline projection and outbox, 32 connections.

P2 is one API process, P2b two (API_WORKERS=2) on the same database. The baseline is pgbench with the same inserts
(baselines/order_transaction.sql), on the same server.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.baselines.pgbench import OrderTransactions
from bench.harness import Bench, Result, at_least
from bench.samples import RATE
from bench.service import order_load, service

WHAT: Final = "POST /v1/orders, 32 connections, against pgbench with the same inserts"


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        theirs = OrderTransactions(bench.postgres, stack.enter_context(bench.postgres.database()))
        sides = {"pgbench": theirs.measure}
        for name, workers in (("one process", 1), ("two processes", 2)):
            api = stack.enter_context(ours.api(workers=workers))
            load = order_load(api.port, api.register().api_key)
            sides[name] = stack.enter_context(bench.worker("bench.load", load.to_json())).measure
        rounds = bench.interleave(sides)
    one, two = (rounds.compare(side, "pgbench", RATE) for side in ("one process", "two processes"))
    return [
        Result.of("P2", "POST /v1/orders, one process", "1/s", one, at_least(0.6)),
        Result.of("P2b", "POST /v1/orders, two processes", "1/s", two, at_least(1)),
    ]
