"""P6: from committing an outbox row to its dispatch by a relay, at 200 rows a second.

A row counts from the moment at which its commit is asked for: the answer to a commit may reach the writer after the
notice has reached the listener. So both sides hold one durable commit. Dispatch is the relay's call of the engine. The
baseline commits one row and a NOTIFY in one statement, and ends when a process that only listens has the notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from bench.harness import Bench, Goal, Measure, Result
from bench.samples import P99, Sample, Window, from_latencies
from bench.worker import MeasurementError, Worker

WHAT: Final = "commit to dispatch of an outbox row, 200 rows/s, against a bare commit with a NOTIFY"
ROWS_PER_S: Final = 200
P99_MS_MAX: Final = 20.0
GOAL: Final = Goal(
    f"≤ 4×, < {P99_MS_MAX:g} ms", lambda comparison: comparison.ratio <= 4 and comparison.value < P99_MS_MAX
)
ARRIVAL_TIMEOUT_S: Final = 10.0
_ASK_EVERY_S: Final = 0.05


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        sides = {
            "relay": stack.enter_context(side(bench, "bench.subjects.outbox_writer", "bench.subjects.dispatch")),
            "ping": stack.enter_context(ping_side(bench, ROWS_PER_S)),
        }
        rounds = bench.interleave(sides)
    return [Result.of("P6", "commit to dispatch, p99", "ms", rounds.compare("relay", "ping", P99), GOAL)]


def ping_side(bench: Bench, per_s: float) -> AbstractContextManager[Measure]:
    """A bare commit with a NOTIFY, so often, and a process that hears it."""
    return side(bench, "bench.baselines.notify_ping", "bench.baselines.notify_ping", per_s)


@contextmanager
def side(bench: Bench, writer: str, listener: str, per_s: float = ROWS_PER_S, **more: str) -> Iterator[Measure]:
    """A process that writes, so often, and one that notes what arrives; both are told ``more``."""
    with bench.postgres.database() as database, ExitStack() as stack:
        config = {"dsn": database.app_dsn, "owner_dsn": database.owner_dsn, "per_s": per_s, **more}
        writing = stack.enter_context(bench.worker(writer, {**config, "role": "writer"}))
        listening = stack.enter_context(bench.worker(listener, {**config, "role": "listener"}))
        yield lambda window: _measure(writing, listening, window)


def _measure(writing: Worker, listening: Worker, window: Window) -> Sample:
    """What was written in the window, and when each of it arrived. Raises MeasurementError when something did not."""
    writing.ask(window)
    written = writing.answer(window)
    started: dict[str, float] = written["marks"]
    arrived: dict[str, float] = {}
    deadline_s = time.monotonic() + ARRIVAL_TIMEOUT_S
    while True:
        listening.ask(window)
        arrived.update(listening.answer(window)["marks"])
        if started.keys() <= arrived.keys():
            break
        if time.monotonic() > deadline_s:
            raise MeasurementError(f"{len(started.keys() - arrived.keys())} of {len(started)} rows never arrived")
        time.sleep(_ASK_EVERY_S)
    counted = [arrived[name] - at_s for name, at_s in started.items() if at_s >= written["begin_s"]]
    return from_latencies(counted, window.seconds)
