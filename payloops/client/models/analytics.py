"""What the dashboard shows of payments. Amounts are in minor units; two currencies are never added."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from payloops.client.models.base import Json, Model
from payloops.client.models.orders import Actor, OrderStatus, Processor


class CurrencyTotals(Model):
    """What was taken in one currency."""

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


class DayVolume(Model):
    """What was captured on one day."""

    date: date
    volume: int
    count: int


class StatusCount(Model):
    """How many orders are in one status."""

    status: OrderStatus
    count: int


class ProcessorCount(Model):
    """How many payments went to one processor."""

    processor: Processor
    count: int


class Stats(CurrencyTotals):
    """The numbers of one currency over a time, day by day."""

    volume_by_day: list[DayVolume]
    transactions_by_status: list[StatusCount]
    transactions_by_processor: list[ProcessorCount]
    by_currency: list[CurrencyTotals]
    from_: datetime = Field(alias="from")
    to: datetime
    tz: str


class TimelineEntry(Model):
    """One thing that happened to an order: an event, a processor's call, a delivery, an attempt."""

    at: datetime
    kind: str
    title: str
    actor: Actor | None
    correlation_id: str | None
    data: Json
