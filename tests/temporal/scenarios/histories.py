"""What Temporal recorded of the scenarios, for replays: ``tests/temporal/histories/<schedule>--<scenario>--<n>.json``.

A recorded history stays: it stands for workflows that are under way when the next release is deployed. A scenario that
is new, or whose files were deleted on purpose, is recorded by ``python -m tests.temporal.scenarios --record``; those of
test_deadlines.py, by running it with RECORD_HISTORIES=1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer

from payloops.temporal_server import TemporalServer
from payloops.workflows_bridge.temporal.conversion import CONVERTER
from payloops.workflows_bridge.temporal.worker import RUNNER
from payloops.workflows_bridge.temporal.workflows import BACKEND_WORKFLOWS, PAYMENT_WORKFLOWS
from tests.temporal import servers
from tests.temporal.scenarios.table import Outcome
from tests.temporal.scenarios.workflows import WORKFLOWS

PLACE: Final = Path(__file__).resolve().parents[1] / "histories"
CONTRACT: Final = "contract"
"""The schedule of histories that a server which skips time has recorded."""


def replayer(schedule: str) -> Replayer:
    """Of the workflows by that schedule, as a worker has them."""
    workflows = WORKFLOWS.get(schedule, PAYMENT_WORKFLOWS)
    return Replayer(
        workflows=[*workflows, *BACKEND_WORKFLOWS], data_converter=CONVERTER, build_id="test", workflow_runner=RUNNER
    )


def recorded() -> tuple[Path, ...]:
    return tuple(sorted(PLACE.glob("*.json")))


def read(path: Path) -> tuple[str, WorkflowHistory]:
    """The schedule that it was lived by, and the history."""
    return path.stem.partition("--")[0], WorkflowHistory.from_json(path.stem, path.read_text())


async def keep(temporal: TemporalServer, schedule: str, outcomes: Iterable[Outcome]) -> None:
    """Write the histories of these outcomes' workflows, of all their runs, where there are none yet."""
    client = await Client.connect(temporal.address, namespace=servers.NAMESPACE)
    for outcome in outcomes:
        for number, workflow_id in enumerate(outcome.workflows, 1):
            runs = [run async for run in client.list_workflows(f"WorkflowId='{workflow_id}'")]
            for turn, run in enumerate(sorted(runs, key=lambda one: one.start_time), 1):
                handle = client.get_workflow_handle(workflow_id, run_id=run.run_id)
                await write(f"{schedule}--{outcome.name}--{number}" + (f"-run{turn}" if len(runs) > 1 else ""), handle)


async def write(name: str, handle: WorkflowHandle[Any, Any]) -> None:
    """Unless there is one of that name."""
    _put(name, await handle.fetch_history())


def keep_runs(name: str, runs: Sequence[WorkflowHistory]) -> None:
    """With RECORD_HISTORIES=1: the runs of one workflow that lived by the contract's schedule."""
    if os.environ.get("RECORD_HISTORIES") == "1":
        for turn, run in enumerate(runs, 1):
            _put(f"{CONTRACT}--{name}-run{turn}", run)


def _put(name: str, history: WorkflowHistory) -> None:
    path = PLACE / f"{name}.json"
    if path.exists():
        return
    PLACE.mkdir(exist_ok=True)
    path.write_text(json.dumps(nameless(json.loads(history.to_json())), separators=(",", ":")) + "\n")


def nameless(value: Any) -> Any:
    """Without the names of processes, machines and the test's accounts."""
    if isinstance(value, dict):
        if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            value = {**value, "name": "a process"}
        return {key: "a process" if key == "identity" else nameless(item) for key, item in value.items()}
    return [nameless(item) for item in value] if isinstance(value, list) else value
