"""What a machine decided once it decides again: histories replay, those of the releases before this one too.

A recorded history that does not replay any more is a workflow under way that a deployment would break: put the change
behind ``workflow.patched`` (temporal/driver.py). Run with RECORD_HISTORIES=1 to record new ones beside them.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from payloops.workflows_bridge.temporal.conversion import CONVERTER
from payloops.workflows_bridge.temporal.worker import PURE_MODULES, RUNNER
from payloops.workflows_bridge.temporal.workflows import BACKEND_WORKFLOWS, PAYMENT_WORKFLOWS, PaymentWorkflow
from tests.temporal.engine.fast_workflows import OtherPayment
from tests.temporal.engine.world import TemporalWorld
from tests.temporal.scenarios.workflows import PatchedPayment

RECORDED: Final = Path(__file__).with_name("histories")
RECORD: Final = os.environ.get("RECORD_HISTORIES") == "1"
FILES: Final = tuple(sorted(RECORDED.glob("*.json")))


def replayer(*workflows: type[Any]) -> Replayer:
    return Replayer(workflows=workflows, data_converter=CONVERTER, build_id="test", workflow_runner=RUNNER)


def recorded(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    await replayer(*PAYMENT_WORKFLOWS, *BACKEND_WORKFLOWS).replay_workflow(recorded(path))


async def test_another_machine_does_not_replay_it() -> None:
    """The proof that the test above can fail."""
    result = await replayer(OtherPayment).replay_workflow(
        recorded(RECORDED / "payment-captured.json"), raise_on_replay_failure=False
    )
    assert result.replay_failure is not None


PURE = frozenset(
    {
        *("__future__", "abc", "collections", "collections.abc", "dataclasses", "enum", "functools", "typing"),
        *("uuid.UUID", "datetime.timedelta", "temporalio.workflow", "temporalio.common.RetryPolicy"),
        "temporalio.exceptions.ApplicationError",
    }
)
"""What a module may import that the sandbox does not watch."""


def test_what_the_sandbox_takes_as_it_is_can_not_differ_from_one_time_to_the_next() -> None:
    for module in modules_of(PURE_MODULES):
        for name in imports_of(Path(module.__file__ or "")):
            ours = any(name == pure or name.startswith(f"{pure}.") for pure in PURE_MODULES)
            package = name.rpartition(".")[0]
            assert ours or name in PURE or package in PURE, f"{module.__name__} imports {name}"


def modules_of(names: tuple[str, ...]) -> Iterator[ModuleType]:
    for name in names:
        module = importlib.import_module(name)
        yield module
        for inner in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
            yield importlib.import_module(inner.name)


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names, of what is imported from a module too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.temporal
async def test_new_workflows_do_what_a_patch_brings(temporal: TemporalWorld) -> None:
    """The other half of a patch: its marker and a timer stand in the history, which code without it can't replay."""
    others = tuple(each for each in PAYMENT_WORKFLOWS if each is not PaymentWorkflow)
    async with temporal.serving((PatchedPayment, *others)):
        order_id = await temporal.base.paid("pm_card_visa")
        await temporal.base.reach(order_id, "captured")
        await temporal.result(f"payment-{order_id}")
    history = await temporal.payment(order_id).fetch_history()
    kinds = [event.event_type for event in history.events]
    assert EventType.EVENT_TYPE_MARKER_RECORDED in kinds
    assert EventType.EVENT_TYPE_TIMER_FIRED in kinds
    await replayer(PatchedPayment).replay_workflow(history)
    before = await replayer(PaymentWorkflow).replay_workflow(history, raise_on_replay_failure=False)
    assert before.replay_failure is not None


@pytest.mark.temporal
@pytest.mark.slow
async def test_whole_payments_replay(temporal: TemporalWorld) -> None:
    world = temporal.base
    histories: dict[str, str] = {}

    async def keep(name: str, workflow_id: str) -> None:
        await temporal.result(workflow_id)
        history = await temporal.client.get_workflow_handle(workflow_id).fetch_history()
        await replayer(*PAYMENT_WORKFLOWS).replay_workflow(history)
        histories[name] = history.to_json()

    async with temporal.serving():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await keep("payment-captured", f"payment-{order_id}")
        refund_id = await world.refund(order_id)
        await world.reach(order_id, "refunded")
        await keep("refund-success", f"refund-{refund_id}")

        order_id = await world.paid("pm_card_visa_chargeDeclined")
        await world.reach(order_id, "failed")
        await keep("payment-declined", f"payment-{order_id}")

        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await keep("payment-authorized", f"payment-{order_id}")
        await world.capture(order_id, 1000)
        await world.reach(order_id, "captured")
        await keep("capture-captured", f"capture-{order_id}")

        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
        await keep("void-voided", f"void-{order_id}")

        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.complete(order_id)
        await temporal.waits(order_id)
        await world.authenticate(order_id, "succeed")
        await world.complete(order_id)
        await world.reach(order_id, "captured")
        await keep("payment-authenticated", f"payment-{order_id}")

        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
        await keep("payment-called-off", f"payment-{order_id}")

        await world.fault("payment.create", "timeout_after")
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await keep("payment-in-doubt", f"payment-{order_id}")
    if RECORD:
        write(histories)


def write(histories: dict[str, str]) -> None:
    RECORDED.mkdir(exist_ok=True)
    for name, history in histories.items():
        path = RECORDED / f"{name}.json"
        assert not path.exists(), "what was recorded stays: give the new one another name"
        path.write_text(json.dumps(nameless(json.loads(history)), separators=(",", ":")) + "\n")


def nameless(value: Any) -> Any:
    """Without the names of processes and machines."""
    if isinstance(value, dict):
        if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            value = {**value, "name": "a process"}
        return {key: "a process" if key == "identity" else nameless(item) for key, item in value.items()}
    return [nameless(item) for item in value] if isinstance(value, list) else value
