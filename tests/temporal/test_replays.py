"""Histories of all scenarios replay: what a workflow under way has decided, this release decides again.

Where they come from and how new ones are recorded: scenarios/histories.py. A history that does not replay any more is
a payment that a deployment would leave stuck; see docs/temporal.md, "Versions".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from payloops.workflows_bridge.contracts import WorkflowType
from payloops.workflows_bridge.machines.results import Activity
from payloops.workflows_bridge.temporal.conversion import CONVERTER
from payloops.workflows_bridge.temporal.worker import RUNNER
from tests.temporal.scenarios.histories import read, recorded, replayer
from tests.temporal.scenarios.workflows import ChangedPayment, HastyPayment, PatchedPayment

FILES = recorded()
SCHEDULES = tuple(sorted({path.stem.partition("--")[0] for path in FILES}))


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_recorded_histories_replay(schedule: str) -> None:
    chosen = [history for path in FILES for lived, history in (read(path),) if lived == schedule]
    assert chosen

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for history in chosen:
            yield history

    results = await replayer(schedule).replay_workflows(histories(), raise_on_replay_failure=False)
    failed = {run: str(problem) for run, problem in results.replay_failures.items()}
    assert not failed


def test_they_cover_every_workflow_and_every_activity() -> None:
    workflows: Counter[str] = Counter()
    activities: Counter[str] = Counter()
    for path in FILES:
        _, history = read(path)
        for event in history.events:
            if event.HasField("workflow_execution_started_event_attributes"):
                workflows[event.workflow_execution_started_event_attributes.workflow_type.name] += 1
            if event.HasField("activity_task_scheduled_event_attributes"):
                activities[event.activity_task_scheduled_event_attributes.activity_type.name] += 1
    assert set(workflows) == {kind.value for kind in WorkflowType}
    assert set(activities) == {activity.value for activity in Activity}


@pytest.mark.parametrize(
    ("changed", "name"),
    (
        (ChangedPayment, "quick--success--1"),
        (ChangedPayment, "quick--secure-abandoned--1"),
        (HastyPayment, "quick--secure-passed-and-found-by-asking--1"),
    ),
)
async def test_a_change_of_what_it_does_next_is_found(changed: type[object], name: str) -> None:
    """The proof that the first test can fail."""
    (path,) = (path for path in FILES if path.stem == name)
    _, history = read(path)
    changed_replayer = Replayer(workflows=[changed], data_converter=CONVERTER, build_id="test", workflow_runner=RUNNER)
    result = await changed_replayer.replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is not None
    assert "ondeterminis" in str(result.replay_failure)


@pytest.mark.parametrize("name", ("quick--success--1", "quick--secure-abandoned--1"))
async def test_the_same_change_behind_a_patch_breaks_nothing(name: str) -> None:
    """The way that docs/temporal.md shows ("Versions")."""
    (path,) = (path for path in FILES if path.stem == name)
    _, history = read(path)
    patched = Replayer(workflows=[PatchedPayment], data_converter=CONVERTER, build_id="test", workflow_runner=RUNNER)
    await patched.replay_workflow(history)
