"""One run of one row: how often, by which seed, and what it has to say."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.gauntlet.service import Service


class PartMissing(Exception):
    """This machine lacks what the row needs; the message says what and why."""


SMOKE_LIMIT_S: Final = 60.0


@dataclass
class Run:
    """``rng`` is the only source of chance in a row, so a seed reproduces its choices."""

    times: int
    seed: int
    rng: random.Random
    notes: list[str] = field(default_factory=list)
    loud: bool = False
    """At full size, for a person: notes are printed and times are judged."""

    @classmethod
    def of(cls, row: str, times: int, seed: int, *, loud: bool = False) -> Run:
        return cls(times, seed, random.Random(f"{row}-{seed}"), loud=loud)

    def limit_s(self, idle_s: float) -> float:
        """How long something may take that takes at most ``idle_s`` on a machine with nothing else to do.

        More work than cores takes longer. The smoke tier shares its machine with other tests and proves no time: it
        only wants an end.
        """
        if not self.loud:
            return SMOKE_LIMIT_S
        return idle_s * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    def say(self, note: str) -> None:
        """Note something for the report."""
        self.notes.append(note)
        if self.loud:
            print(f"  {note}", flush=True)


@dataclass(frozen=True)
class Row:
    """A row of the table of faults.

    ``service`` says what it runs against: "shared" (a running service that other rows use too) or "own" (it starts what
    it needs, for it breaks it). ``smoke`` and ``full`` are how often it is done in each tier.
    """

    id: str
    what: str
    service: Literal["shared", "own"]
    smoke: int
    full: int
    shared: Callable[[Run, Service], Coroutine[Any, Any, None]] | None = None
    own: Callable[[Run], Coroutine[Any, Any, None]] | None = None
