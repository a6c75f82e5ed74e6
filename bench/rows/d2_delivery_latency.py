"""D2: from committing an event to the first byte of its webhook at the receiver, at 100 events a second.

The baseline is P6's: a bare commit with a NOTIFY, until a process that only listens has the notice. Between the two lie
two claims by the relay, the delivery's own append, the look at its endpoint, and the request.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.harness import Bench, Result, at_most
from bench.rows.p6_dispatch import ping_side
from bench.samples import P50, P99
from bench.webhooks import paced_side

WHAT: Final = "commit to the webhook's first byte at the receiver, 100/s, against a bare commit with a NOTIFY"
EVENTS_PER_S: Final = 100
MERCHANTS: Final = 5


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        shops = [[f"/hook{number}"] for number in range(MERCHANTS)]
        sides = {
            "webhook": stack.enter_context(paced_side(bench, EVENTS_PER_S, shops)),
            "ping": stack.enter_context(ping_side(bench, EVENTS_PER_S)),
        }
        rounds = bench.interleave(sides)
    return [
        Result.of("D2", "commit to first byte, p50", "ms", rounds.compare("webhook", "ping", P50), at_most(20)),
        Result.of("D2b", "commit to first byte, p99", "ms", rounds.compare("webhook", "ping", P99), at_most(20)),
    ]
