"""What one measurement gives, and the arithmetic over several of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from statistics import median
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Window:
    """How long a measurement lasts: first a warm-up that is not counted, then what is."""

    warmup_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: how many a second, and how long each took. Latencies are 0 where only the rate is known."""

    rate_per_s: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


RATE: Final[Callable[[Sample], float]] = attrgetter("rate_per_s")
P50: Final[Callable[[Sample], float]] = attrgetter("p50_ms")
P99: Final[Callable[[Sample], float]] = attrgetter("p99_ms")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity on both sides over all rounds. ``ratio`` is the median of the rounds' own ratios, so that a machine
    that changes its speed between rounds does not distort it; it may differ a little from ``value / baseline``."""

    value: float
    baseline: float
    ratio: float
    rounds: int


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ascending values: the smallest one that ``percent`` of them don't exceed."""
    if not ordered:
        raise ValueError("a percentile of nothing")
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def from_latencies(latencies_s: Sequence[float], elapsed_s: float) -> Sample:
    """The sample of a window of ``elapsed_s`` in which each of ``latencies_s`` ended."""
    if not latencies_s:
        raise ValueError("nothing ended within the window")
    ordered = sorted(latencies_s)
    return Sample(
        rate_per_s=len(ordered) / elapsed_s,
        p50_ms=percentile(ordered, 50) * 1000,
        p99_ms=percentile(ordered, 99) * 1000,
    )


def compare(values: Sequence[float], baselines: Sequence[float]) -> Comparison:
    """Both sides of the rounds, in the order of the rounds. Raises ValueError for unequal or no rounds."""
    ratios = [value / baseline for value, baseline in zip(values, baselines, strict=True)]
    return Comparison(median(values), median(baselines), median(ratios), len(ratios))


class Count:
    """What ends within a window, counted as it ends. It goes on past the window's end until something was counted, so
    that a short window on a slow machine measures something rather than nothing."""

    __slots__ = ("_begin_s", "_end_s", "_last_s", "_latencies_s")

    def __init__(self, window: Window) -> None:
        self._begin_s = time.perf_counter() + window.warmup_s
        self._end_s = self._begin_s + window.seconds
        self._last_s = self._begin_s
        self._latencies_s: list[float] = []

    def ended(self, started_s: float) -> bool:
        """Note what was started at ``started_s`` and ended now; True when the measurement is over."""
        now_s = time.perf_counter()
        if now_s >= self._end_s and self._latencies_s:
            return True
        if now_s >= self._begin_s:
            self._latencies_s.append(now_s - started_s)
            self._last_s = now_s
        return now_s >= self._end_s

    def sample(self) -> Sample:
        """All that was counted. Raises ValueError when that is nothing."""
        return from_latencies(self._latencies_s, max(self._end_s, self._last_s) - self._begin_s)


@dataclass(frozen=True, slots=True)
class Rounds:
    """All samples of a row: for each side one a round, in the order of the rounds."""

    samples: Mapping[str, Sequence[Sample]]

    def compare(self, side: str, baseline: str, quantity: Callable[[Sample], float]) -> Comparison:
        """One quantity (RATE, P50, P99) of two sides."""
        return compare(*(list(map(quantity, self.samples[name])) for name in (side, baseline)))
