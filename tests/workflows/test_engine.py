"""The embedded engine's own decisions: what is a new workflow, what is superseded, what is nobody's."""

from __future__ import annotations

from typing import Any, cast

import pytest

from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import LeaseLost, NotTaken, Run, Taken
from payloops.workflows_bridge.engines.embedded import CALLS_MAX, EmbeddedEngine, UnknownWorkflow
from payloops.workflows_bridge.machines.registry import machines
from payloops.workflows_bridge.machines.results import Outcome, Told
from tests.workflows.simulation import Hand
from tests.workflows.test_machines import OPERATION

KEY = "capture-o"


class Answering:
    """Activities that give one answer for ever."""

    def __init__(self, told: Told) -> None:
        self.calls: list[str] = []
        self._answer = Outcome(told).to_json()

    async def call(self, name: str, _told: Any, caller: Caller) -> dict[str, Any]:
        assert caller.workflow_id == KEY
        self.calls.append(name)
        return {"status": "x"} if name.startswith("record") else self._answer


def engine_with(told: Told) -> tuple[EmbeddedEngine, Answering]:
    activities = Answering(told)
    return EmbeddedEngine(machines(), cast("Activities", activities)), activities


def hand(run: Run | None = None) -> Hand:
    return Hand(KEY, run, lambda: 1000.0, repeated=False)


def start(workflow: str = "CaptureWorkflow") -> StartWorkflow:
    return StartWorkflow(workflow, KEY, "stripe-payments", OPERATION, "m", "o")


def signal() -> SignalWorkflow:
    return SignalWorkflow(KEY, "cancelPayment", {}, "m", "o", 1)


async def waiting(engine: EmbeddedEngine) -> Run:
    taken = await engine.start(start(), hand())
    advance = taken.advance
    assert advance is not None
    assert (advance.expected_version, advance.finished, advance.wake_at_s) == (0, False, 1000.2)
    return Run(advance.type, advance.state, 1, finished=False)


async def test_an_id_that_runs_or_has_run_is_not_started_again() -> None:
    engine, activities = engine_with(Told.RETRYABLE)
    for finished in (True, False):
        assert await engine.start(start(), hand(Run("CaptureWorkflow", {}, 1, finished))) == Taken()
    assert activities.calls == []


async def test_a_wake_of_another_version_is_superseded() -> None:
    engine, activities = engine_with(Told.RETRYABLE)
    run = await waiting(engine)
    activities.calls.clear()
    for version in (0, 2):
        assert await engine.wake(version, hand(run)) == Taken()
    assert await engine.wake(1, hand(None)) == Taken()
    assert await engine.wake(1, hand(Run(run.type, run.state, 1, finished=True))) == Taken()
    assert activities.calls == []


async def test_a_wake_that_comes_too_early_waits_on() -> None:
    engine, activities = engine_with(Told.RETRYABLE)
    run = await waiting(engine)
    activities.calls.clear()
    taken = await engine.wake(1, hand(run))
    assert taken.advance is not None
    assert taken.advance.wake_at_s == 1000.2
    assert activities.calls == []


async def test_a_signal_needs_somebody_who_runs() -> None:
    engine, _ = engine_with(Told.RETRYABLE)
    run = await waiting(engine)
    assert await engine.signal(signal(), hand(None)) == NotTaken("unknown")
    assert await engine.signal(signal(), hand(Run(run.type, run.state, 1, finished=True))) == NotTaken("finished")
    # A capture takes no signals: it stays as it was, and nothing has to be saved.
    assert await engine.signal(signal(), hand(run)) == Taken()


async def test_the_end_is_saved_as_its_result() -> None:
    engine, _ = engine_with(Told.OBSOLETE)
    taken = await engine.start(start(), hand())
    assert taken.advance is not None
    assert taken.advance.finished
    assert taken.advance.state == {"result": {"success": False, "status": "obsolete"}}


async def test_a_workflow_of_no_kind_is_refused() -> None:
    engine, _ = engine_with(Told.OBSOLETE)
    with pytest.raises(UnknownWorkflow):
        await engine.start(start("MakeCoffee"), hand())


async def test_nothing_is_done_without_a_lease() -> None:
    class Expired(Hand):
        def require_lease(self) -> None:
            raise LeaseLost(self.key)

    engine, activities = engine_with(Told.CAPTURED)
    with pytest.raises(LeaseLost):
        await engine.start(start(), Expired(KEY, None, lambda: 0.0, repeated=False))
    assert activities.calls == []


async def test_a_machine_that_goes_in_circles_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, activities = engine_with(Told.AUTHORIZED)
    machine = machines()["CaptureWorkflow"]
    monkeypatch.setitem(cast("dict[str, Any]", engine._machines), "CaptureWorkflow", machine)
    monkeypatch.setattr(machine, "decide", lambda state, *_: machine.call(state, machine.act))  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="without a wait"):
        await engine.start(start(), hand())
    assert len(activities.calls) == CALLS_MAX
