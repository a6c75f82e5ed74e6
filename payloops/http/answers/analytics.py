"""What the dashboard shows of a merchant's payments, and the feed of public events."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from payloops.http.answers.base import Answer, Id, Json, Time
from payloops.http.answers.orders import Actor, OrderStatus, Processor


class CurrencyTotals(Answer):
    """What was taken in one currency; amounts are in its minor units."""

    currency: str
    total_volume: int
    """What was captured."""
    total_transactions: int
    success_rate: float
    """In percent."""
    average_ticket: int
    refunded_volume: int
    disputed_volume: int
    net_volume: int


class DayVolume(Answer):
    """What was captured on one day."""

    date: str
    volume: int
    count: int


class StatusCount(Answer):
    """How many orders are in one status."""

    status: OrderStatus
    count: int


class ProcessorCount(Answer):
    """How many payments went to one processor."""

    processor: Processor
    count: int


class Stats(CurrencyTotals):
    """The numbers of one currency over a time, day by day; two currencies are never added."""

    volume_by_day: list[DayVolume]
    transactions_by_status: list[StatusCount]
    transactions_by_processor: list[ProcessorCount]
    by_currency: list[CurrencyTotals]
    from_: Time = Field(alias="from")
    to: Time
    tz: str


class FeedEvent(Answer):
    """A public event as webhooks tell of it, and its place in the feed."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True, extra="allow")

    position: int
    """Send the last one that you know as ``after``."""
    id: Id
    event_type: str
    type: str
    created_at: Time
    sequence: int
    order_id: Id | None
    external_id: str | None
    amount: int | None
    currency: str | None
    status: str | None
    processor: str | None
    payload: Any
    data: Json | None


class EventFeed(Answer):
    """A page of the feed, oldest first."""

    data: list[FeedEvent]
    has_more: bool
    next_after: int


class TimelineEntry(Answer):
    """One thing that happened to an order: an event, a processor's call, a delivery, an attempt."""

    at: Time
    kind: str
    title: str
    actor: Actor | None
    correlation_id: str | None
    data: Json
