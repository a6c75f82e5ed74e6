"""Runs scenarios on both engines at once, and compares what they came to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.temporal_server import TemporalServer
from payloops.values import SystemClock
from tests.databases import TestServer
from tests.temporal.scenarios.stages import OnTemporal, Stage, embedded, history_on, on_temporal, workflows_of
from tests.temporal.scenarios.steps import Scenario
from tests.temporal.scenarios.story import Teller, side_by_side
from tests.workflows.world import open_world

AT_ONCE = 5
WAIT_S = 60.0
"""Many scenarios share two processors with each other and with other tests."""


@dataclass(frozen=True)
class Outcome:
    """What one scenario came to on each engine; ``workflows`` are those that Temporal ran."""

    name: str
    embedded: tuple[str, ...]
    temporal: tuple[str, ...]
    workflows: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        return self.embedded == self.temporal

    def __str__(self) -> str:
        return f"{self.name}: embedded | temporal\n{side_by_side(self.embedded, self.temporal)}"


async def play(scenarios: Sequence[Scenario], server: TestServer, temporal: TemporalServer) -> list[Outcome]:
    """Each on both engines. All scenarios must have one schedule."""
    (schedule,) = {scenario.schedule for scenario in scenarios}
    sandbox = build_sandbox(None, SystemClock(), settle_delay_s=0.3, hold_s=20)
    await sandbox.start("127.0.0.1", 0, 0)
    try:
        async with (
            embedded(server, sandbox, schedule) as one,
            on_temporal(server, sandbox, temporal, schedule) as other,
        ):
            return await play_on(scenarios, sandbox, one, other)
    finally:
        await sandbox.stop()


async def play_on(scenarios: Sequence[Scenario], sandbox: Sandbox, one: Stage, other: OnTemporal) -> list[Outcome]:
    """On two stages that are open."""
    room = asyncio.Semaphore(AT_ONCE)

    async def compared(scenario: Scenario) -> Outcome:
        async with room:
            (left, _), (right, workflows) = await asyncio.gather(
                told_on(one, scenario, sandbox), told_on(other, scenario, sandbox)
            )
        return Outcome(scenario.name, left, right, workflows)

    return list(await asyncio.gather(*(compared(scenario) for scenario in scenarios)))


async def told_on(stage: Stage, scenario: Scenario, sandbox: Sandbox) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The story of the scenario, played by a merchant of its own; and the ids of its workflows."""
    async with open_world(stage.dsn, stage.database, sandbox) as world:
        world.wait_s = WAIT_S
        try:
            order_id = await scenario.play(world)
        except BaseException as problem:
            problem.add_note(f"scenario {scenario.name} on {type(stage).__name__}")
            raise
        events = await history_on(stage, world, order_id)
        return Teller().story(events), tuple(sorted(workflows_of(events)))
