"""The wire contract's activities as functions, without a server (with one: tests/temporal/engine)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from payloops.errors import InvalidInput, InvalidStatus, NotFound
from payloops.events.order_state import Captured, Failed
from payloops.projections.order_wire import wire_order
from payloops.projections.views import Reader, Views
from payloops.workflows_bridge.activities import Caller
from payloops.workflows_bridge.contract_activities import MESSAGE_MAX, TEXT_MAX, ContractActivities
from payloops.workflows_bridge.contracts import ContractViolation
from tests.workflows.world import AMOUNT, RING, World

CALLER = Caller("their-workflow", "corr-1", "00-trace")


def acting(world: World) -> ContractActivities:
    return ContractActivities(
        handler=world.handler,
        orders=world.orders,
        database=world.database,
        ring=RING,
        personal=world.personal,
        clock=world.clock,
    )


async def call(world: World, name: str, **told: Any) -> Any:
    return await acting(world).by_name[name](told, CALLER)


async def update(world: World, order_id: UUID, status: str, **more: Any) -> None:
    assert await call(world, "updateOrderStatus", orderId=str(order_id), status=status, **more) is None


async def test_an_order_is_told_as_the_api_tells_it(world: World) -> None:
    created = await world.create(metadata={"cart": [1, None]})
    order = await call(world, "getOrder", orderId=str(created))
    views = Views(world.database)
    row = await views.order(Reader(world.merchant_id), str(created))
    assert order == orjson.loads(orjson.dumps(wire_order(row, await world.personal.key_for(world.merchant_id))))
    await views.close()
    assert (order["id"], order["amount"], order["metadata"]) == (str(created), AMOUNT, {"cart": [1, None]})
    assert order["createdAt"].endswith("Z")


async def test_a_workers_report_is_recorded_under_its_workflows_name(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    await update(world, order_id, "captured", processorOrderId="pi_1", processorTransactionId="pi_1")
    state = await world.state(order_id)
    assert isinstance(state, Captured)
    assert state.attempt.processor_transaction_id == "pi_1"
    *_, event = await world.store.load(order_id)
    assert (event.meta.actor.type, event.meta.actor.id) == ("workflow", "their-workflow")
    assert (event.meta.correlation_id, event.meta.traceparent) == ("corr-1", "00-trace")


async def test_repeated_and_late_reports_change_nothing(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    for status in ("captured", "captured", "failed", "processing", "authorized"):
        await update(world, order_id, status, processorTransactionId="pi_1")
    assert await world.history(order_id) == ["OrderCreated", "PaymentStarted", "PaymentCaptured"]


async def test_money_of_an_attempt_that_had_failed_goes_back_once(world: World) -> None:
    """A late success of the first attempt, when the second has taken the money: the order refunds it, however told."""
    order_id = await world.paid("pm_card_visa")
    await update(world, order_id, "failed", processorTransactionId="pi_1", errorCode="card_declined")
    assert isinstance(await world.state(order_id), Failed)
    await world.pay(order_id, "pm_card_mastercard")
    await update(world, order_id, "captured", processorTransactionId="pi_2")
    for _ in range(2):
        await update(world, order_id, "captured", processorTransactionId="pi_1")
    assert (await world.history(order_id)).count("SurplusPaymentCaptured") == 1


async def test_refunds_are_reported(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    await update(world, order_id, "captured", processorTransactionId="pi_1")
    good, bad = await world.refund(order_id, 100), await world.refund(order_id, 200)
    for _ in range(2):
        for refund_id, status, more in ((good, "success", {"processorRefundId": "re_1"}), (bad, "failed", {})):
            told = {"orderId": str(order_id), "refundId": str(refund_id), "status": status, **more}
            assert await call(world, "updateRefundStatus", **told) is None
    state = await world.state(order_id)
    assert isinstance(state, Captured)
    assert [refund.status for refund in state.refunds.values()] == ["success", "failed"]
    assert (await world.history(order_id))[-2:] == ["RefundSucceeded", "RefundFailed"]


async def test_what_no_order_can_be(world: World) -> None:
    order_id = await world.create()
    with pytest.raises(InvalidInput):
        await update(world, order_id, "eaten")
    with pytest.raises(InvalidStatus):
        await update(world, order_id, "captured")
    with pytest.raises(NotFound):
        await update(world, uuid4(), "captured")
    refund = {"orderId": str(order_id), "refundId": str(uuid4())}
    for status, problem in (
        ("pending", NotFound),
        ("success", NotFound),
        ("failed", NotFound),
        ("eaten", InvalidInput),
    ):
        with pytest.raises(problem):
            await call(world, "updateRefundStatus", **refund, status=status)


@pytest.mark.parametrize(
    ("told", "why"),
    (
        ({"orderId": "x"}, "orderId must be a UUID"),
        ({"orderId": None}, "orderId is missing"),
        ({"orderId": ""}, "orderId is missing"),
        ({"orderId": 7}, "orderId must be a string"),
        ({"status": "x" * (TEXT_MAX + 1)}, "status must be at most 255 characters"),
        ({"processorOrderId": "a\x00b"}, "processorOrderId must be at most 255 characters, without NUL"),
        ({"processorTransactionId": {}}, "processorTransactionId must be a string"),
        ({"errorMessage": "x" * (MESSAGE_MAX + 1)}, "errorMessage must be at most 1000 characters"),
    ),
)
async def test_what_does_not_fit_is_refused_by_name(world: World, told: dict[str, Any], why: str) -> None:
    order_id = await world.paid("pm_card_visa")
    before = await world.state(order_id)
    with pytest.raises(ContractViolation, match=why):
        await call(world, "updateOrderStatus", **{"orderId": str(order_id), "status": "captured", **told})
    assert await world.state(order_id) == before


async def test_a_configuration_is_the_merchants_own(world: World) -> None:
    told = {"merchantId": str(world.merchant_id), "processor": "razorpay"}
    config = await call(world, "getProcessorConfig", **told)
    assert config["credentials"] == {"keyId": world.razorpay, "keySecret": "razorpay-secret"}
    assert await call(world, "getProcessorConfig", **{**told, "merchantId": str(uuid4())}) is None
    assert await call(world, "getProcessorConfig", **{**told, "processor": "paypal"}) is None
