"""``python -m tests.temporal.scenarios``: every scenario on both engines, and whether their histories are equal.

With --record, what Temporal ran is kept for the replay tests (histories.py).
"""

from __future__ import annotations

import argparse
import asyncio

from payloops.temporal_server import TemporalServer
from tests.databases import TestServer, serve_databases
from tests.temporal import servers
from tests.temporal.scenarios import histories
from tests.temporal.scenarios.deliveries import play_deliveries
from tests.temporal.scenarios.payments import SCENARIOS
from tests.temporal.scenarios.stages import SCHEDULES
from tests.temporal.scenarios.story import names
from tests.temporal.scenarios.table import Outcome, play


def main() -> int:
    """Exit status 1 when any differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="keep the histories of workflows that have none yet")
    record: bool = parser.parse_args().record
    with serve_databases() as databases, servers.dev_server() as temporal:
        outcomes = asyncio.run(run(databases, temporal, record=record))
    show(outcomes)
    return 0 if all(outcome.is_equal for outcome in outcomes) else 1


async def run(databases: TestServer, temporal: TemporalServer, *, record: bool) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for schedule in SCHEDULES:
        played = await play([one for one in SCENARIOS if one.schedule == schedule], databases, temporal)
        if record:
            await histories.keep(temporal, schedule, played)
        outcomes += played
    played = await play_deliveries(databases, temporal)
    if record:
        await histories.keep(temporal, "delivery", played)
    return [*outcomes, *played]


def show(outcomes: list[Outcome]) -> None:
    width = max(len(outcome.name) for outcome in outcomes)
    for outcome in outcomes:
        said = "equal" if outcome.is_equal else "DIFFERENT"
        print(f"{outcome.name:<{width}}  {said:<9}  {' > '.join(names(outcome.temporal))}")
    for outcome in outcomes:
        if not outcome.is_equal:
            print(f"\n{outcome}")
    equal = sum(outcome.is_equal for outcome in outcomes)
    print(f"\n{equal} of {len(outcomes)} scenarios have the same history on both engines")


if __name__ == "__main__":
    raise SystemExit(main())
