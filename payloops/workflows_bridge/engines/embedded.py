"""The engine for one machine: it drives the machines from outbox rows and calls the activities itself.

A workflow is a row of workflow_runs between two waits, and an outbox row (start, signal, wake) whenever there is
something to do. The row stays until what it caused is saved with its removal, so a crash anywhere does the steps since
the last wait again; every activity is idempotent. A workflow that never waits costs one write, with its end.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import Advance, Answer, NotTaken, Run, Taken, Work
from payloops.workflows_bridge.machines.base import (
    ActivityDone,
    CallActivity,
    DueTime,
    Finish,
    Input,
    Machine,
    SignalReceived,
    Step,
    WakeAt,
)
from payloops.workflows_bridge.machines.registry import Machines

CALLS_MAX: Final = 32
"""Activities between two waits; a machine that wants more is going round in circles."""


class UnknownWorkflow(Exception):
    """No machine is known for this type of workflow."""


class EmbeddedEngine:
    """See Engine. It keeps nothing in memory: any relay can take any row."""

    def __init__(self, machines: Machines, activities: Activities) -> None:
        self._machines = machines
        self._activities = activities

    async def start(self, start: StartWorkflow, work: Work) -> Taken:
        """See Engine."""
        if work.run is not None:
            return Taken()
        step = self._machine(start.type).start(start.input, work.now_s())
        return await self._drive(start.type, step, 0, work)

    async def signal(self, signal: SignalWorkflow, work: Work) -> Answer:
        """See Engine. The rows of one workflow come in order, so a signal never overtakes the start."""
        if work.run is None or work.run.finished:
            return NotTaken("finished" if work.run else "unknown")
        return await self._advance(work.run, SignalReceived(signal.signal, signal.payload, work.now_s()), work)

    async def wake(self, version: int, work: Work) -> Taken:
        """See Engine. A wake of another version was superseded by a signal."""
        if work.run is None or work.run.finished or work.run.version != version:
            return Taken()
        return await self._advance(work.run, DueTime(work.now_s()), work)

    async def _advance(self, run: Run, event: Input, work: Work) -> Taken:
        machine = self._machine(run.type)
        state = machine.restore(run.state)
        step = machine.advance(state, event)
        if isinstance(event, SignalReceived) and step.state == state:
            return Taken()
        return await self._drive(run.type, step, run.version, work)

    async def _drive(self, workflow: str, step: Step[Any], version: int, work: Work) -> Taken:
        """Do what the machine wants until it waits or ends. ``version`` is the run's, 0 for a new one."""
        machine = self._machine(workflow)
        caller = Caller(work.key, work.correlation_id, work.traceparent, repeated=work.repeated)
        for _ in range(CALLS_MAX):
            match step.effect:
                case CallActivity(name, payload):
                    work.require_lease()
                    result = await self._activities.call(name, payload, caller)
                    step = machine.advance(step.state, ActivityDone(name, result, work.now_s()))
                case WakeAt(at_s):
                    state = machine.save(step.state)
                    return Taken(Advance(workflow, state, version, finished=False, wake_at_s=at_s))
                case Finish(result):
                    return Taken(Advance(workflow, {"result": result}, version, finished=True))
                case _:
                    assert_never(step.effect)
        raise RuntimeError(f"{workflow} called {CALLS_MAX} activities without a wait")

    def _machine(self, workflow: str) -> Machine[Any]:
        machine = self._machines.get(workflow)
        if machine is None:
            raise UnknownWorkflow(f"no machine for {workflow}")
        return machine
