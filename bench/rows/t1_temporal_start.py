"""T1: from committing an outbox row to the Temporal server's having the workflow, at 100 rows a second.

Nobody runs the workflows. The baseline is the same server's answer to a bare start, as often, without an outbox.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.harness import Bench, Result, at_most
from bench.rows.p6_dispatch import side
from bench.samples import P50, P99
from bench.temporal import NAMESPACE, bare_side, dev_server

WHAT: Final = "commit to workflow started on Temporal, 100/s, against a bare start"
ROWS_PER_S: Final = 100


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        server = stack.enter_context(dev_server())
        where = {"address": server.address, "namespace": NAMESPACE}
        ours = side(bench, "bench.subjects.outbox_writer", "bench.subjects.temporal_dispatch", ROWS_PER_S, **where)
        sides = {
            "relay": stack.enter_context(ours),
            "bare": stack.enter_context(bare_side(bench, {**where, "per_s": ROWS_PER_S}, hosted=False)),
        }
        rounds = bench.interleave(sides)
    return [
        Result.of("T1", "commit to workflow started, p50", "ms", rounds.compare("relay", "bare", P50), at_most(4)),
        Result.of("T1b", "commit to workflow started, p99", "ms", rounds.compare("relay", "bare", P99), at_most(4)),
    ]
