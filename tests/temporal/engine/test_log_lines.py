"""Every line that a worker logs for a payment has the payment's correlation id: the SDK's own lines too."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from payloops.telemetry.logs import JsonFormatter
from payloops.values import new_id
from payloops.workflows_bridge.temporal.log_lines import LOGGERS, RUNS_MAX, CorrelatedLines
from payloops.workflows_bridge.temporal.workflows import PAYMENT_WORKFLOWS, PaymentWorkflow
from tests.temporal.engine.fast_workflows import BrokenPayment
from tests.temporal.engine.world import TemporalWorld
from tests.workflows.world import eventually

BROKEN = (BrokenPayment, *(each for each in PAYMENT_WORKFLOWS if each is not PaymentWorkflow))


@contextmanager
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the SDK logs within the block, as our log has it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("test"))
    logger = logging.getLogger("temporalio")
    logger.addHandler(handler)
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        logger.removeHandler(handler)


@pytest.mark.temporal
async def test_what_the_sdk_says_of_a_workflow(temporal: TemporalWorld) -> None:
    world = temporal.base
    with logged() as lines:
        async with temporal.relaying(), temporal.working(("stripe-payments",), BROKEN):
            order_id = await world.paid("pm_card_visa")

            async def both_said_so() -> bool:
                loggers = [line["logger"] for line in lines()]
                return "temporalio.worker._workflow_instance" in loggers and any(
                    logger.startswith("temporalio.core") for logger in loggers
                )

            await eventually(both_said_so, "the SDK's Python and its core tell of the failed task")
        told = lines()
    memo = await (await temporal.payment(order_id).describe()).memo()
    assert memo["correlationId"].startswith("c-")
    assert {line["correlationId"] for line in told} == {memo["correlationId"]}, told


@pytest.mark.temporal
async def test_what_the_sdk_says_of_an_activity(temporal: TemporalWorld) -> None:
    order_id, merchant_id = str(new_id()), str(temporal.base.merchant_id)
    told = {"orderId": order_id, "merchantId": merchant_id, "processor": "stripe", "transactionId": "pi_1"}
    with logged() as lines:
        async with temporal.working(("stripe-payments",)):
            handle = await temporal.client.start_workflow(
                "VoidWorkflow",
                told,
                id=f"void-{order_id}",
                task_queue="stripe-payments",
                memo={"correlationId": "c-of-a-void"},
            )

            async def failed() -> bool:
                return any(line["logger"] == "temporalio.activity" for line in lines())

            await eventually(failed, "an activity failed, for there is no such order")
            await handle.terminate()
        said = [line for line in lines() if line["logger"] == "temporalio.activity"]
    assert {line["correlationId"] for line in said} == {"c-of-a-void"}


@pytest.mark.parametrize("name", LOGGERS)
def test_lines_about_nobody_pass_as_they_are(name: str) -> None:
    lines = CorrelatedLines()
    lines.remember("run-1", "c-1")
    for arguments, found in (((), None), (("run-2", 7), None), (("run-1",), "c-1")):
        record = logging.LogRecord(name, logging.WARNING, "", 0, "about %s", arguments, None)
        assert lines.filter(record)
        assert getattr(record, "correlationId", None) == found


def test_what_is_remembered_is_bounded() -> None:
    lines = CorrelatedLines()
    for number in range(RUNS_MAX + 1):
        lines.remember(f"run-{number}", "c")
    first, last = (logging.LogRecord("x", 30, "", 0, "%s", (f"run-{number}",), None) for number in (0, RUNS_MAX))
    assert lines.filter(first)
    assert lines.filter(last)
    assert (hasattr(first, "correlationId"), hasattr(last, "correlationId")) == (False, True)
