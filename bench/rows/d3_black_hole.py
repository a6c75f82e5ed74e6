"""D3: the time until a webhook arrives at the healthy ones of 100 endpoints, one of which never answers.

The baseline is the same 100 with all of them well. Five merchants with 20 endpoints each, five events a second in all.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.harness import Bench, Goal, Result
from bench.samples import P99
from bench.subjects.receiver import DEAD
from bench.webhooks import paced_side

WHAT: Final = "commit to first byte at 99 healthy endpoints beside one that never answers, against 100 healthy ones"
EVENTS_PER_S: Final = 5
MERCHANTS: Final = 5
ENDPOINTS: Final = 20
P99_MS_MAX: Final = 1000.0
GOAL: Final = Goal(
    f"≤ 2×, < {P99_MS_MAX:g} ms", lambda comparison: comparison.ratio <= 2 and comparison.value < P99_MS_MAX
)


def run(bench: Bench) -> list[Result]:
    well = [[f"/shop{shop}-{place}" for place in range(ENDPOINTS)] for shop in range(MERCHANTS)]
    with_dead = [[DEAD, *well[0][1:]], *well[1:]]
    with ExitStack() as stack:
        sides = {
            "one dead": stack.enter_context(paced_side(bench, EVENTS_PER_S, with_dead)),
            "all well": stack.enter_context(paced_side(bench, EVENTS_PER_S, well)),
        }
        rounds = bench.interleave(sides)
    return [
        Result.of("D3", "healthy beside a black hole, p99", "ms", rounds.compare("one dead", "all well", P99), GOAL)
    ]
