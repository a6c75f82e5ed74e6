"""P5: ``POST /v1/orders`` with an Idempotency-Key of its own in each request, against the same server without."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.harness import Bench, Result, at_least
from bench.samples import RATE
from bench.service import order_load, service

WHAT: Final = "POST /v1/orders with an Idempotency-Key, 32 connections, against the same without"


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        api = stack.enter_context(ours.api())
        key = api.register().api_key
        loads = {"with a key": order_load(api.port, key, keyed=True), "without": order_load(api.port, key)}
        sides = {name: stack.enter_context(bench.worker("bench.load", load.to_json())) for name, load in loads.items()}
        rounds = bench.interleave({name: worker.measure for name, worker in sides.items()})
    comparison = rounds.compare("with a key", "without", RATE)
    return [Result.of("P5", "POST /v1/orders with a key", "1/s", comparison, at_least(0.85))]
