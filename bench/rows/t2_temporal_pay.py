"""T2: from ``POST /v1/orders/:id/pay`` to its answer ``captured`` through Temporal, one payment at a time.

The baseline is a bare workflow with two activities, the payment at the sandbox and a row in Postgres, from its start to
its result: same server, same sandbox, no HTTP API, no order, no outbox.
"""

from __future__ import annotations

from typing import Final

from bench.harness import Bench, Result, at_most
from bench.samples import P50, P99
from bench.temporal_payments import payments

WHAT: Final = "pay to captured over HTTP through Temporal, against a bare workflow of the same shape"


def run(bench: Bench) -> list[Result]:
    rounds = payments(bench, at_once=1)
    return [
        Result.of("T2", "pay to captured on Temporal, p50", "ms", rounds.compare("payloops", "bare", P50), at_most(2)),
        Result.of("T2b", "pay to captured on Temporal, p99", "ms", rounds.compare("payloops", "bare", P99), at_most(3)),
    ]
