"""Read table ``order_stats``: how many orders there are in each status, and what money came and went, per quarter hour.

The rules: an order counts in the quarter in which it was created, under the status that it has now. Captured money
counts in the quarter of its capture; a refund in that of its success, and a dispute in that of its loss, whenever the
order was captured. So a past day's volume never changes; a late refund lowers the net of the day on which it is made.
Money of a second payment of an order never was the order's, and counts nowhere.

A row here is a change: the table adds it to what it has, and so do its sums, ``order_stats_daily`` (days of UTC) and
``captures_so_far`` (what a day of UTC had captured until the end of a quarter hour). The quarters of any time zone's
days are whole ones, since every offset in use is a multiple of 15 minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from payloops.events import order as e
from payloops.events.order_state import Absent, Captured, Existing, OrderState, attempt_of, status
from payloops.projections.base import Row

BUCKET: Final = timedelta(minutes=15)
DAY: Final = timedelta(days=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

STATUSES: Final = (
    "pending",
    "processing",
    "requires_action",
    "authorized",
    "captured",
    "partially_refunded",
    "refunded",
    "failed",
    "cancelled",
)
MEASURES: Final = (
    *STATUSES,
    "captures",
    "captured_amount",
    "refunds",
    "refunded_amount",
    "disputes_lost",
    "disputed_amount",
)
KEY: Final = ("merchant_id", "bucket", "currency", "test_mode", "processor")

Key = tuple[UUID, datetime, str, bool, str]


def bucket_of(moment: datetime) -> datetime:
    """The beginning of the quarter hour that ``moment`` is in."""
    return moment - (moment - EPOCH) % BUCKET


def bucket_from(moment: datetime) -> datetime:
    """The beginning of the first quarter hour that begins at ``moment`` or after it."""
    return moment + (EPOCH - moment) % BUCKET


def day_of(moment: datetime) -> datetime:
    """The beginning of the day of UTC that ``moment`` is in."""
    return moment - (moment - EPOCH) % DAY


def whole_days(begin: datetime, end: datetime) -> tuple[datetime, datetime]:
    """From where to where there are whole days of UTC between two moments; ``end`` twice when there are none."""
    first, last = begin + (EPOCH - begin) % DAY, day_of(end)
    return (first, last) if first <= last else (end, end)


@dataclass(frozen=True, slots=True)
class OrderStats:
    """The projection: rows of one key are added up, in the table as in memory (``projections.base`` puts them over)."""

    table: str = "order_stats"

    def concerns(self, event_class: type[Any]) -> bool:
        """Whether events of this class can change a count: these only add to what is known."""
        return event_class not in _SILENT

    def rows(self, before: OrderState, event: e.OrderEvent, after: Existing, /) -> list[Row]:
        """The changes that the event makes: no row when no count changes."""
        changes: list[Row] = []
        was, now = None if isinstance(before, Absent) else _place(before), _place(after)
        if was != now:
            created = bucket_of(after.facts.created_at)
            if was is not None:
                changes.append({**_key(after, created, was[0]), was[1]: -1})
            changes.append({**_key(after, created, now[0]), now[1]: 1})
        moved = _moved(before, after)
        if moved:
            changes.append({**_key(after, bucket_of(event.timestamp), _processor(after)), **moved})
        return changes

    def merge(self, into: dict[Any, Row], rows: list[Row]) -> None:
        """What the table's upsert does, in memory."""
        for row in rows:
            key = key_of(row)
            kept = into.setdefault(key, {name: row[name] for name in KEY})
            for name, change in row.items():
                if name not in KEY:
                    kept[name] = kept.get(name, 0) + change


ORDER_STATS: Final = OrderStats()

_SILENT: Final = (
    e.PaymentIdentified,
    e.PaymentOutcomeUnknown,
    e.SurplusPaymentAuthorized,
    e.SurplusPaymentCaptured,
    e.CaptureRequested,
    e.CaptureFailed,
    e.RefundRequested,
    e.RefundIdentified,
    e.RefundOutcomeUnknown,
    e.RefundTotalTold,
    e.DisputeOpened,
    e.ExternalEventPublished,
    e.SyncRequested,
    e.SyncFinished,
)


def key_of(row: Row) -> Key:
    """What tells a row from others."""
    return row["merchant_id"], row["bucket"], row["currency"], row["test_mode"], row["processor"]


def added_up(rows: Iterable[Row]) -> dict[Key, Row]:
    """The rows with those of one key made one."""
    into: dict[Any, Row] = {}
    ORDER_STATS.merge(into, list(rows))
    return into


def _key(state: Existing, bucket: datetime, processor: str) -> Row:
    facts = state.facts
    return {
        "merchant_id": facts.merchant_id,
        "bucket": bucket,
        "currency": facts.currency,
        "test_mode": facts.test_mode,
        "processor": processor,
    }


def _place(state: Existing) -> tuple[str, str]:
    """The processor and the status that the order is counted under."""
    return _processor(state), status(state)


def _processor(state: Existing) -> str:
    attempt = attempt_of(state)
    return "" if attempt is None else attempt.processor


def _moved(before: OrderState, after: Existing) -> dict[str, int]:
    """By how much the sums of money and their counts change; without zeros."""
    if not isinstance(after, Captured):
        return {}
    was, now = _money(before), _money(after)
    return {name: now[name] - was.get(name, 0) for name in now if now[name] != was.get(name, 0)}


def _money(state: OrderState) -> dict[str, int]:
    if not isinstance(state, Captured):
        return {}
    refunded = [refund.amount for refund in state.refunds.values() if refund.status == "success"]
    lost = [dispute.amount for dispute in state.disputes if dispute.status == "lost"]
    return {
        "captures": 1,
        "captured_amount": state.captured,
        "refunds": len(refunded),
        "refunded_amount": sum(refunded),
        "disputes_lost": len(lost),
        "disputed_amount": sum(lost),
    }
