"""The aggregates that the handler knows; bootstrap adds the rows that their events write."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from payloops.commands import merchant as merchant_commands
from payloops.commands import order as order_commands
from payloops.commands import order_results
from payloops.commands.handlers import Aggregate, Inline
from payloops.events import merchant_state, order_state
from payloops.events.merchant import MerchantEvent
from payloops.events.order import OrderEvent

OrderCommand = order_commands.OrderRequest | order_results.OrderReport
Orders = Aggregate[order_state.OrderState, OrderCommand]
Merchants = Aggregate[merchant_state.MerchantState, merchant_commands.MerchantRequest]


def orders(*inline: Inline) -> Orders:
    """Orders, writing these rows."""
    return Aggregate(
        name="order",
        events=get_args(OrderEvent),
        initial=order_state.INITIAL,
        evolve=order_state.evolve,
        decide=_decide_order,
        version=lambda state: 0 if isinstance(state, order_state.Absent) else state.facts.version,
        owner=_order_owner,
        inline=inline,
        inline_of=_by_event(get_args(OrderEvent), inline),
    )


def merchants(*inline: Inline) -> Merchants:
    """Merchants, writing these rows."""
    return Aggregate(
        name="merchant",
        events=get_args(MerchantEvent),
        initial=merchant_state.INITIAL,
        evolve=merchant_state.evolve,
        decide=merchant_commands.decide,
        version=lambda state: 0 if isinstance(state, merchant_state.Absent) else state.version,
        owner=lambda state: None if isinstance(state, merchant_state.Absent) else state.merchant_id,
        inline=inline,
        inline_of=_by_event(get_args(MerchantEvent), inline),
    )


def _by_event(events: tuple[type[Any], ...], inline: tuple[Inline, ...]) -> dict[type[Any], tuple[Inline, ...]]:
    return {event: tuple(table for table in inline if table.concerns(event)) for event in events}


def _decide_order(command: OrderCommand, state: order_state.OrderState) -> tuple[OrderEvent, ...]:
    if isinstance(command, order_commands.OrderRequest):
        return order_commands.decide(command, state)
    return order_results.decide(command, state)


def _order_owner(state: order_state.OrderState) -> UUID | None:
    return None if isinstance(state, order_state.Absent) else state.facts.merchant_id
