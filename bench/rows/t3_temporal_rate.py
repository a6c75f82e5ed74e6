"""T3: payments a second through Temporal, 16 at a time, each an order created, paid and captured; baseline as T2's."""

from __future__ import annotations

from typing import Final

from bench.harness import Bench, Result, at_least
from bench.samples import RATE
from bench.temporal_payments import payments

WHAT: Final = "payments a second through Temporal, 16 at a time, against bare workflows"


def run(bench: Bench) -> list[Result]:
    rounds = payments(bench, at_once=16)
    return [Result.of("T3", "payments on Temporal", "/s", rounds.compare("payloops", "bare", RATE), at_least(0.4))]
