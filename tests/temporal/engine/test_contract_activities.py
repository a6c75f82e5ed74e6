"""The wire contract's activities, called as a worker of others calls them: by name, over the queue, with plain JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.worker import Worker

from payloops.events.order_state import Captured, Failed
from tests.temporal.engine.foreign_workflow import Foreign
from tests.temporal.engine.world import TemporalWorld, cause_of
from tests.workflows.world import AMOUNT

pytestmark = pytest.mark.temporal


class Caller:
    """Calls activities from a workflow of its own."""

    def __init__(self, world: TemporalWorld, queue: str) -> None:
        self.world = world
        self.queue = queue

    async def __call__(self, name: str, told: Any, *, memo: dict[str, Any] | None = None) -> Any:
        handle = await self.world.client.start_workflow(
            "Foreign", args=[name, told], id=f"foreign-{uuid4()}", task_queue=self.queue, memo=memo
        )
        return await asyncio.wait_for(handle.result(), 60)

    async def refused(self, name: str, told: Any) -> tuple[str | None, str]:
        """The type and the words of the failure, which comes at the first try."""
        with pytest.raises(WorkflowFailureError) as failed:
            await self(name, told)
        problem = cause_of(failed.value)
        assert problem.non_retryable
        return problem.type, problem.message


@asynccontextmanager
async def foreign(world: TemporalWorld) -> AsyncIterator[Caller]:
    """A bare client and worker beside our worker of backend-operations."""
    queue = f"foreign-{uuid4()}"
    async with world.working(("backend-operations",)), Worker(world.client, task_queue=queue, workflows=[Foreign]):
        yield Caller(world, queue)


async def test_a_worker_of_others_takes_a_payment(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with foreign(temporal) as call:
        order_id = await world.paid("pm_card_visa")
        order = await call("getOrder", {"orderId": str(order_id)})
        assert (order["id"], order["status"], order["amount"]) == (str(order_id), "processing", AMOUNT)
        told = {
            "orderId": str(order_id),
            "status": "captured",
            "processorOrderId": "pi_9",
            "processorTransactionId": "pi_9",
        }
        memo = {"correlationId": "c-of-theirs", "traceContext": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        for _ in range(2):
            assert await call("updateOrderStatus", told, memo=memo) is None
        # A failure that comes late changes nothing.
        assert await call("updateOrderStatus", {**told, "status": "failed", "errorCode": "late"}) is None
        state = await world.reach(order_id, "captured")
        assert isinstance(state, Captured)
        assert state.captured == AMOUNT
        refund_id = await world.refund(order_id, 1000)
        refund = {"refundId": str(refund_id), "orderId": str(order_id), "processorRefundId": "re_9"}
        for status in ("pending", "success", "success"):
            assert await call("updateRefundStatus", {**refund, "status": status}) is None
        await world.reach(order_id, "partially_refunded")
        order = await call("getOrder", {"orderId": str(order_id)})
    assert (order["status"], order["amountCaptured"], order["amountRefunded"]) == ("partially_refunded", AMOUNT, 1000)
    captured = (await world.store.load(order_id))[2]
    assert (captured.meta.correlation_id, captured.meta.traceparent) == ("c-of-theirs", memo["traceContext"])
    assert captured.meta.actor.id.startswith("foreign-")
    assert (await world.history(order_id))[2:] == ["PaymentCaptured", "RefundRequested", "RefundSucceeded"]


async def test_a_failure_and_the_next_attempt(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with foreign(temporal) as call:
        order_id = await world.paid("pm_card_visa")
        failed = {"orderId": str(order_id), "status": "failed", "errorCode": "card_declined", "errorMessage": "No."}
        await call("updateOrderStatus", failed)
        state = await world.reach(order_id, "failed")
        assert isinstance(state, Failed)
        assert (state.failure.code, state.failure.message) == ("card_declined", "No.")
        await world.pay(order_id, "pm_card_mastercard")
        await call("updateOrderStatus", {"orderId": str(order_id), "status": "requires_action"})
        await world.reach(order_id, "requires_action")
        await call("updateOrderStatus", {"orderId": str(order_id), "status": "pending"})
        await world.reach(order_id, "processing")
        await call("updateOrderStatus", {"orderId": str(order_id), "status": "authorized", "processorOrderId": "pi_2"})
        await world.reach(order_id, "authorized")


async def test_the_configuration_with_its_credentials_or_null(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with foreign(temporal) as call:
        config = await call("getProcessorConfig", {"merchantId": str(world.merchant_id), "processor": "stripe"})
        assert config == {
            "merchantId": str(world.merchant_id),
            "processor": "stripe",
            "testMode": True,
            "credentials": {"secretKey": world.stripe},
        }
        for told in (
            {"merchantId": str(world.merchant_id), "processor": "paypal"},
            {"merchantId": str(uuid4()), "processor": "stripe"},
        ):
            assert await call("getProcessorConfig", told) is None


BAD: tuple[tuple[str, Any, str, str], ...] = (
    ("getOrder", {}, "ContractViolation", "orderId is missing"),
    ("getOrder", "x", "ContractViolation", "the input must be an object"),
    ("getOrder", {"orderId": "x"}, "ContractViolation", "orderId must be a UUID"),
    ("getOrder", {"orderId": 7}, "ContractViolation", "orderId must be a string"),
    ("getOrder", {"orderId": str(uuid4())}, "NotFound", "No such order"),
    ("updateOrderStatus", {"orderId": str(uuid4())}, "ContractViolation", "status is missing"),
    ("updateOrderStatus", {"orderId": str(uuid4()), "status": "captured"}, "NotFound", "No such order"),
    ("updateRefundStatus", {"orderId": str(uuid4())}, "ContractViolation", "refundId is missing"),
    ("getProcessorConfig", {"merchantId": str(uuid4())}, "ContractViolation", "processor is missing"),
)


async def test_bad_input_is_refused_at_once_and_named(temporal: TemporalWorld) -> None:
    async with foreign(temporal) as call:
        for name, told, kind, words in BAD:
            refused, message = await call.refused(name, told)
            assert (refused, words in message) == (kind, True), message


async def test_a_status_that_there_is_not(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with foreign(temporal) as call:
        order_id = await world.paid("pm_card_visa")
        before = await world.state(order_id)
        assert await call.refused("updateOrderStatus", {"orderId": str(order_id), "status": "eaten"}) == (
            "InvalidInput",
            "updateOrderStatus: status is none that an order can have.",
        )
        told = {"orderId": str(order_id), "refundId": str(uuid4()), "status": "pending"}
        assert (await call.refused("updateRefundStatus", told))[0] == "NotFound"
        assert (await call.refused("updateRefundStatus", {**told, "status": "eaten"}))[0] == "InvalidInput"
        assert await world.state(order_id) == before
