"""P1: one-event commands into the log, 64 at once in one process.

P1 is the whole command: decide, fold, encode, and commit the event with its row of ``orders`` and the check of the API
key. P1a only hands a ready-made event to the store, which is all that the baseline does. Both against that baseline.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench import sample_order
from bench.harness import Bench, Result, at_least
from bench.postgres import BenchDatabase
from bench.samples import RATE
from payloops.embedded_postgres import OWNER_ROLE
from payloops.embedded_postgres.places import PORT

WHAT: Final = "append, 64 concurrent one-event commands, against eventsourcing's recorder with 16 threads"
CALLERS: Final = 64
THREADS: Final = 16


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(bench.postgres.database())
        theirs = stack.enter_context(bench.postgres.database(schema=False))
        workers = {
            "command": stack.enter_context(bench.worker("bench.subjects.append", _ours(ours, "command"))),
            "append": stack.enter_context(bench.worker("bench.subjects.append", _ours(ours, "append"))),
            "eventsourcing": stack.enter_context(
                bench.worker("bench.baselines.eventsourcing_recorder", _theirs(theirs))
            ),
        }
        rounds = bench.interleave({name: worker.measure for name, worker in workers.items()})
    commands, append = (rounds.compare(side, "eventsourcing", RATE) for side in ("command", "append"))
    return [
        Result.of("P1", "commands, 64 at once", "1/s", commands, at_least(8)),
        Result.of("P1a", "the append alone, 64 at once", "1/s", append, at_least(8)),
    ]


def _ours(database: BenchDatabase, what: str) -> dict[str, object]:
    return {"dsn": database.app_dsn, "what": what, "callers": CALLERS}


def _theirs(database: BenchDatabase) -> dict[str, object]:
    return {
        "database": database.name,
        "host": database.socket_dir,
        "port": PORT,
        "user": OWNER_ROLE,
        "threads": THREADS,
        "state_bytes": len(sample_order.stored_state()[1]),
    }
