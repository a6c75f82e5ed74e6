"""What a scenario is, and the steps that many of them begin with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from payloops.errors import InvalidStatus
from payloops.events.order_state import Captured, Existing
from tests.workflows.world import World, eventually


@dataclass(frozen=True)
class Scenario:
    """``play`` gives the order whose history is the outcome."""

    play: Callable[[World], Awaitable[UUID]]
    schedule: Literal["quick", "patient", "asking"] = "quick"

    @property
    def name(self) -> str:
        return self.play.__name__.replace("_", "-")


THREE_D_SECURE: Final = "pm_card_authenticationRequired"


async def asked_to_act(world: World, **changes: Any) -> UUID:
    """An order whose customer must authenticate."""
    order_id = await world.paid(THREE_D_SECURE, **changes)
    await world.reach(order_id, "requires_action")
    return order_id


async def held(world: World) -> UUID:
    """An order with held money."""
    order_id = await world.paid("pm_card_visa", capture_method="manual")
    await world.reach(order_id, "authorized")
    return order_id


async def captured(world: World, token: str = "pm_card_visa") -> UUID:
    """A paid order."""
    order_id = await world.paid(token)
    await world.reach(order_id, "captured")
    return order_id


async def asked(world: World, operation: str, times: int = 1) -> None:
    """Wait until the processor was asked so often."""

    async def arrived() -> bool:
        return bool((await world.ledger())["calls"].get(operation, 0) >= times)

    await eventually(arrived, f"{operation} was asked {times} times")


async def refused(world: World, order_id: UUID) -> None:
    """Cancelling it is not possible now."""
    try:
        await world.cancel(order_id)
    except InvalidStatus:
        return
    raise AssertionError("an order could be cancelled that must not be")


def refunds_settled(state: Existing) -> bool:
    return isinstance(state, Captured) and all(refund.status != "pending" for refund in state.refunds.values())
