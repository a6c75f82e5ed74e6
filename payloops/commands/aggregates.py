"""The aggregates that the handler knows; bootstrap adds the rows that their events write."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from payloops.commands import checkout_session as checkout_commands
from payloops.commands import merchant as merchant_commands
from payloops.commands import order as order_commands
from payloops.commands import order_results
from payloops.commands import processor_event as processor_event_commands
from payloops.commands import webhook_delivery as delivery_commands
from payloops.commands import webhook_endpoint as endpoint_commands
from payloops.commands.handlers import Aggregate, Inline
from payloops.events import (
    checkout_session_state,
    merchant_state,
    order_state,
    processor_event_state,
    webhook_delivery_state,
    webhook_endpoint_state,
)
from payloops.events.checkout_session import CheckoutSessionEvent
from payloops.events.merchant import MerchantEvent
from payloops.events.order import OrderEvent
from payloops.events.processor_event import ProcessorEventEvent
from payloops.events.webhook_delivery import WebhookDeliveryEvent
from payloops.events.webhook_endpoint import WebhookEndpointEvent

OrderCommand = order_commands.OrderRequest | order_results.OrderReport
Orders = Aggregate[order_state.OrderState, OrderCommand]
CheckoutSessions = Aggregate[checkout_session_state.CheckoutSessionState, checkout_commands.CheckoutRequest]
Merchants = Aggregate[merchant_state.MerchantState, merchant_commands.MerchantRequest]
WebhookEndpoints = Aggregate[webhook_endpoint_state.WebhookEndpointState, endpoint_commands.WebhookEndpointRequest]
WebhookDeliveries = Aggregate[webhook_delivery_state.WebhookDeliveryState, delivery_commands.WebhookDeliveryRequest]
ProcessorEvents = Aggregate[processor_event_state.ProcessorEventState, processor_event_commands.ProcessorEventRequest]


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
        live=lambda state: None if isinstance(state, order_state.Absent) else not state.facts.test_mode,
    )


def checkout_sessions(*inline: Inline) -> CheckoutSessions:
    """Checkout sessions, writing these rows."""
    return Aggregate(
        name="checkout session",
        events=get_args(CheckoutSessionEvent),
        initial=checkout_session_state.INITIAL,
        evolve=checkout_session_state.evolve,
        decide=checkout_commands.decide,
        version=lambda state: 0 if isinstance(state, checkout_session_state.Absent) else state.facts.version,
        owner=lambda state: None if isinstance(state, checkout_session_state.Absent) else state.facts.merchant_id,
        live=lambda state: None if isinstance(state, checkout_session_state.Absent) else not state.facts.test_mode,
        inline=inline,
        inline_of=_by_event(get_args(CheckoutSessionEvent), inline),
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


def webhook_endpoints(*inline: Inline) -> WebhookEndpoints:
    """Webhook endpoints, writing these rows."""
    return Aggregate(
        name="webhook endpoint",
        events=get_args(WebhookEndpointEvent),
        initial=webhook_endpoint_state.INITIAL,
        evolve=webhook_endpoint_state.evolve,
        decide=endpoint_commands.decide,
        version=webhook_endpoint_state.version,
        owner=webhook_endpoint_state.owner,
        inline=inline,
        inline_of=_by_event(get_args(WebhookEndpointEvent), inline),
    )


def webhook_deliveries(*inline: Inline) -> WebhookDeliveries:
    """Webhook deliveries, writing these rows."""
    return Aggregate(
        name="webhook delivery",
        events=get_args(WebhookDeliveryEvent),
        initial=webhook_delivery_state.INITIAL,
        evolve=webhook_delivery_state.evolve,
        decide=delivery_commands.decide,
        version=webhook_delivery_state.version,
        owner=_delivery_owner,
        inline=inline,
        inline_of=_by_event(get_args(WebhookDeliveryEvent), inline),
    )


def processor_events(*inline: Inline) -> ProcessorEvents:
    """Events that processors sent, writing these rows."""
    return Aggregate(
        name="processor event",
        events=get_args(ProcessorEventEvent),
        initial=processor_event_state.INITIAL,
        evolve=processor_event_state.evolve,
        decide=processor_event_commands.decide,
        version=lambda state: 0 if isinstance(state, processor_event_state.Absent) else state.facts.version,
        owner=lambda state: None if isinstance(state, processor_event_state.Absent) else state.facts.merchant_id,
        inline=inline,
        inline_of=_by_event(get_args(ProcessorEventEvent), inline),
    )


def _by_event(events: tuple[type[Any], ...], inline: tuple[Inline, ...]) -> dict[type[Any], tuple[Inline, ...]]:
    return {event: tuple(table for table in inline if table.concerns(event)) for event in events}


def _decide_order(command: OrderCommand, state: order_state.OrderState) -> tuple[OrderEvent, ...]:
    if isinstance(command, order_commands.OrderRequest):
        return order_commands.decide(command, state)
    return order_results.decide(command, state)


def _delivery_owner(state: webhook_delivery_state.WebhookDeliveryState) -> UUID | None:
    return None if isinstance(state, webhook_delivery_state.Absent) else state.facts.merchant_id


def _order_owner(state: order_state.OrderState) -> UUID | None:
    return None if isinstance(state, order_state.Absent) else state.facts.merchant_id
