"""D1: webhooks a second to a fast local receiver, by one relay process and by two.

Each event is of an order of its own and goes to one endpoint of one of four merchants. The receiver and what makes the
events are one process beside the relays: it keeps 256 deliveries under way. Two relays stand against one; the table has
the figures of both, and what a machine gives is bounded by its cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.harness import Bench, Measure, Result, at_least
from bench.processes import free_port
from bench.samples import RATE
from bench.service import service
from bench.webhooks import merchant_with_endpoints, start_relays

WHAT: Final = "webhooks a second to a fast receiver, two relay processes against one"
MERCHANTS: Final = 4


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        sides = {f"relays: {count}": stack.enter_context(_side(bench, count)) for count in (1, 2)}
        rounds = bench.interleave(sides)
    return [
        Result.of("D1", "webhooks, two relays", "1/s", rounds.compare("relays: 2", "relays: 1", RATE), at_least(1)),
    ]


@contextmanager
def _side(bench: Bench, relays: int) -> Iterator[Measure]:
    with ExitStack() as stack:
        database = stack.enter_context(bench.postgres.database())
        ours = stack.enter_context(service(bench, database))
        port = free_port()
        with ours.api() as api:
            merchants = [merchant_with_endpoints(api, port, ["/hook"]) for _ in range(MERCHANTS)]
        config = {"dsn": database.app_dsn, "merchants": merchants, "port": port}
        flow = stack.enter_context(bench.worker("bench.subjects.event_writer", config))
        start_relays(stack, ours, relays)
        yield flow.measure
