"""What every row is made with: rounds in which both sides are measured in turn, goals, and results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from bench.postgres import Postgres
from bench.samples import Comparison, Rounds, Sample, Window
from bench.worker import ROOT, Worker

ROUNDS_DEFAULT: Final = 5
SECONDS_DEFAULT: Final = 2.5
ROUNDS_MAX: Final = 100
SECONDS_MAX: Final = 120.0
QUICK_ROUNDS: Final = 1
QUICK_SECONDS: Final = 0.3
_WARMUP_SHARE: Final = 0.2
_FIRST_SECONDS: Final = 1.0

Measure = Callable[[Window], Sample]


class OptionError(ValueError):
    """An option can't be used; the message names it."""


class MissingPartError(RuntimeError):
    """A row needs a program that is not there; the row is skipped, aloud."""


@dataclass(frozen=True, slots=True)
class Options:
    """How often and how long to measure. ``quick`` proves that a row runs; its figures mean nothing."""

    rounds: int = ROUNDS_DEFAULT
    seconds: float = SECONDS_DEFAULT
    quick: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """From ROUNDS, SECONDS and QUICK. Raises OptionError."""
        quick = environ.get("QUICK", "") not in {"", "0"}
        return cls(
            rounds=int(_number(environ, "ROUNDS", QUICK_ROUNDS if quick else ROUNDS_DEFAULT, 1, ROUNDS_MAX)),
            seconds=_number(environ, "SECONDS", QUICK_SECONDS if quick else SECONDS_DEFAULT, 0.1, SECONDS_MAX),
            quick=quick,
        )

    @property
    def window(self) -> Window:
        """One measurement."""
        return Window(warmup_s=self.seconds * _WARMUP_SHARE, seconds=self.seconds)

    @property
    def first_window(self) -> Window:
        """The uncounted measurement before the rounds."""
        return Window(warmup_s=0, seconds=_FIRST_SECONDS)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a comparison should show, as it is printed and as it is checked."""

    text: str
    met: Callable[[Comparison], bool]


def at_least(ratio: float) -> Goal:
    """As much as the baseline times ``ratio``, or more."""
    return Goal(f"≥ {ratio:g}×", lambda comparison: comparison.ratio >= ratio)


def at_most(ratio: float) -> Goal:
    """As much as the baseline times ``ratio``, or less."""
    return Goal(f"≤ {ratio:g}×", lambda comparison: comparison.ratio <= ratio)


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table. ``value`` and ``baseline`` are medians over the rounds, in ``unit``."""

    id: str
    what: str
    unit: str
    value: float
    baseline: float
    ratio: float
    goal: str
    met: bool
    rounds: int

    @classmethod
    def of(cls, row: str, what: str, unit: str, comparison: Comparison, goal: Goal) -> Self:
        return cls(
            id=row,
            what=what,
            unit=unit,
            value=_significant(comparison.value),
            baseline=_significant(comparison.baseline),
            ratio=_significant(comparison.ratio),
            goal=goal.text,
            met=goal.met(comparison),
            rounds=comparison.rounds,
        )


@dataclass(slots=True)
class Bench:
    """What a row may use: the server, the options, places to write to. ``samples`` keeps each round of each side."""

    options: Options
    postgres: Postgres
    out_dir: Path
    row: str = ""
    samples: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)

    def worker(self, module: str, config: Mapping[str, Any]) -> Worker:
        """A measuring process, to be entered."""
        return Worker(module, config, log=self.log(module))

    def log(self, name: str) -> Path:
        """Where a process of this row writes what it says."""
        directory = self.out_dir / "logs"
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{self.row.lower()}-{name}.log"

    def interleave(self, sides: Mapping[str, Measure]) -> Rounds:
        """Each side once a round, in the opposite order every other round: what drifts or is left behind by one side
        weighs on all alike. Before the rounds each side runs once uncounted: caches fill, statements are prepared, a
        key's first bcrypt is done."""
        measured: dict[str, list[Sample]] = {name: [] for name in sides}
        for name, measure in sides.items():
            self.say(f"warm-up  {name:<32} {_sample_text(measure(self.options.first_window))}")
        for number in range(self.options.rounds):
            order = list(sides)
            if number % 2:
                order.reverse()
            for name in order:
                sample = sides[name](self.options.window)
                measured[name].append(sample)
                self.say(f"round {number + 1}  {name:<32} {_sample_text(sample)}")
        kept = self.samples.setdefault(self.row, {})
        kept.update({name: [sample.to_json() for sample in samples] for name, samples in measured.items()})
        return Rounds(measured)

    def say(self, line: str) -> None:
        """Progress, on standard error: standard output is for the table."""
        print(f"  {self.row}  {line}", file=sys.stderr, flush=True)


def child_environment(**variables: str) -> dict[str, str]:
    """The environment of a process under measurement: what finds programs, and what is given. Nothing else of the
    caller's, so that a run does not depend on his settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def _sample_text(sample: Sample) -> str:
    text = f"{sample.rate_per_s:>9,.0f}/s"
    return f"{text}   p50 {sample.p50_ms:8.2f} ms   p99 {sample.p99_ms:8.2f} ms" if sample.p99_ms else text


def _significant(number: float) -> float:
    return float(f"{number:.4g}")


def _number(environ: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    raw = environ.get(name, "").strip()
    try:
        value = float(raw) if raw else default
    except ValueError:
        raise OptionError(f"{name} must be a number, not {raw!r}") from None
    if not low <= value <= high:
        raise OptionError(f"{name} must be from {low:g} to {high:g}")
    return value
