"""What may become of money that was taken: refunds and disputes."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tests.temporal.scenarios.steps import captured, refunds_settled
from tests.workflows.world import AMOUNT, World


async def refund_in_two_parts(world: World) -> UUID:
    order_id = await captured(world)
    await world.refund(order_id, 1000)
    await world.until(order_id, refunds_settled)
    await world.refund(order_id)
    await world.reach(order_id, "refunded")
    return order_id


async def refund_refused(world: World) -> UUID:
    order_id = await captured(world)
    (payment,) = await world.payments(order_id)
    await world.control("POST", f"/payments/{payment['id']}/refund", {"amount": AMOUNT})
    await world.refund(order_id)
    await world.until(order_id, refunds_settled)
    return order_id


async def refund_pending_then_done(world: World) -> UUID:
    order_id = await captured(world, "pm_card_pendingRefund")
    await world.refund(order_id)
    await world.reach(order_id, "refunded")
    return order_id


async def refund_without_an_answer(world: World) -> UUID:
    order_id = await captured(world)
    await world.fault("refund.create", "timeout_after")
    await world.refund(order_id, 1500)
    await world.reach(order_id, "partially_refunded")
    return order_id


async def refund_that_was_not_made(world: World) -> UUID:
    order_id = await captured(world)
    await world.fault("refund.create", "timeout_before")
    await world.refund(order_id, 1500)
    await world.reach(order_id, "partially_refunded")
    return order_id


async def dispute_found_by_asking(world: World) -> UUID:
    """The customer disputes the payment, and the bank decides; the processor is asked when that is over."""
    order_id = await captured(world)
    (payment,) = await world.payments(order_id)
    await world.control("POST", f"/payments/{payment['id']}/dispute")
    await world.control("POST", f"/payments/{payment['id']}/dispute/close", {"result": "lost"})
    await world.sync(order_id)
    return order_id


RETURNS: Final = (
    refund_in_two_parts,
    refund_refused,
    refund_pending_then_done,
    refund_without_an_answer,
    refund_that_was_not_made,
    dispute_found_by_asking,
)
