"""Analytics of one merchant: what was paid, given back and lost, by day, status, processor and currency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from payloops.db import Database, load_sql
from payloops.projections.order_stats import DAY, MEASURES, STATUSES, bucket_from, bucket_of, day_of, whole_days
from payloops.projections.reading import fetch

PAID: Final = ("captured", "partially_refunded", "refunded")

_Captured = tuple[int, int]
"""How many captures, and what they come to."""
_NOTHING: Final = (0, 0)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole quarter hours: a bound that is none is moved outwards. ``zone`` says when a day begins."""

    begin: datetime
    end: datetime
    zone: ZoneInfo

    @classmethod
    def around(cls, begin: datetime, end: datetime, zone: ZoneInfo) -> Period:
        """The period of whole quarters that holds these moments, of which ``end`` is exclusive."""
        return cls(bucket_of(begin.astimezone(UTC)), bucket_from(end.astimezone(UTC)), zone)

    def days(self) -> list[date]:
        """Every day of the zone that the period touches."""
        first, last = self.begin.astimezone(self.zone).date(), (self.end - _MICROSECOND).astimezone(self.zone).date()
        return [first + number * DAY for number in range((last - first).days + 1)]

    def beginnings(self) -> list[datetime]:
        """When each of ``days`` begins within the period, in UTC.

        A midnight that the clocks skip is the moment of the skip. A quarter hour in which a day begins is still the
        last of the day before; no zone has had such a day since 1972.
        """
        midnights = [datetime.combine(day, time(), self.zone).astimezone(UTC) for day in self.days()[1:]]
        return [self.begin, *map(bucket_from, midnights)]


@dataclass(slots=True)
class CurrencyStats:
    """What one currency's orders count. Amounts are in minor units."""

    currency: str
    totals: Counter[str] = field(default_factory=Counter)
    """By the names of ``order_stats.MEASURES``."""
    processors: Counter[str] = field(default_factory=Counter)

    def count(self, processor: str, numbers: list[int]) -> None:
        """Add what a processor's orders count, in the order of MEASURES."""
        counted = dict(zip(MEASURES, numbers, strict=True))
        self.totals.update(counted)
        self.processors[processor] += sum(counted[status] for status in STATUSES)

    @property
    def transactions(self) -> int:
        """Orders that were created in the period, whatever became of them."""
        return sum(self.totals[status] for status in STATUSES)

    @property
    def success_rate_percent(self) -> float:
        """Of the orders that came to an end with or without money, how many with; 0 when there was none."""
        paid = sum(self.totals[status] for status in PAID)
        ended = paid + self.totals["failed"]
        return round(100 * paid / ended, 2) if ended else 0.0

    @property
    def average_ticket(self) -> int:
        """Of the captures in the period, halves rounded up; 0 when there was none."""
        volume, captures = self.totals["captured_amount"], self.totals["captures"]
        return (2 * volume + captures) // (2 * captures) if captures else 0

    @property
    def net(self) -> int:
        """What was captured, less what went back in the period and what disputes took."""
        return self.totals["captured_amount"] - self.totals["refunded_amount"] - self.totals["disputed_amount"]


@dataclass(frozen=True, slots=True)
class DayVolume:
    """What was captured on a day of the zone, as far as the period goes; ``volume`` in minor units."""

    day: date
    volume: int
    captures: int


@dataclass(frozen=True, slots=True)
class PeriodStats:
    """A period's numbers. ``shown`` is the currency that was asked for, else the one with the most orders."""

    shown: CurrencyStats
    days: list[DayVolume]
    """Every day of the period, in the currency shown."""
    currencies: list[CurrencyStats]
    """All that were used, the one with the most orders first."""


class StatsViews:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def period(
        self, merchant_id: UUID, period: Period, *, currency: str | None = None, test_mode: bool | None = None
    ) -> PeriodStats:
        """What the period counts, all of one moment."""
        boundaries = [*period.beginnings(), period.end]
        days_from, days_to = whole_days(period.begin, period.end)
        parameters = {
            "merchant": merchant_id,
            "modes": [True, False] if test_mode is None else [test_mode],
            "currency": currency,
            "from": period.begin,
            "to": period.end,
            "days_from": days_from,
            "days_to": days_to,
            "first_day": day_of(period.begin),
            # A literal made of text costs the driver a tenth of a list of times.
            "boundaries": "{" + ",".join([boundary.isoformat() for boundary in boundaries]) + "}",
        }
        found: dict[str, CurrencyStats] = {}
        day: dict[int, _Captured] = {}
        before: dict[int, _Captured] = {}
        for kind, name, processor, number, numbers in await fetch(self._database, _period_sql(), parameters):
            counted = [int(digits) for digits in numbers.split(",")]
            if kind == "counts":
                found.setdefault(name, CurrencyStats(name)).count(processor, counted)
            else:
                (day if kind == "day" else before)[number] = counted[0], counted[1]
        used = [stats for stats in found.values() if any(stats.totals.values())]
        used.sort(key=lambda stats: (-stats.transactions, -stats.totals["captures"], stats.currency))
        until = _until(boundaries, day, before)
        days = [
            DayVolume(each, volume=end[1] - begin[1], captures=end[0] - begin[0])
            for each, (begin, end) in zip(period.days(), pairwise(until), strict=True)
        ]
        return PeriodStats(_shown(used, currency), days, used)


def _until(boundaries: list[datetime], day: dict[int, _Captured], before: dict[int, _Captured]) -> Iterator[_Captured]:
    """What was captured until each boundary, since the first one's day of UTC began."""
    captures = volume = passed = 0
    first_day = day_of(boundaries[0])
    for number, boundary in enumerate(boundaries):
        whole = (boundary - first_day) // DAY
        for more in (day.get(each, _NOTHING) for each in range(passed, whole)):
            captures, volume = captures + more[0], volume + more[1]
        passed = whole
        since = before.get(number, _NOTHING)
        yield captures + since[0], volume + since[1]


def _shown(used: list[CurrencyStats], currency: str | None) -> CurrencyStats:
    if currency is None:
        return used[0] if used else CurrencyStats("USD")
    return next((stats for stats in used if stats.currency == currency), CurrencyStats(currency))


@cache
def _period_sql() -> str:
    parts = {
        "{measures}": ", ".join(MEASURES),
        "{sums}": ", ".join(f"sum({name}) AS {name}" for name in MEASURES),
        "{orders}": " + ".join(STATUSES),
    }
    query = load_sql("payloops.projections", "stats")["period"]
    for part, names in parts.items():
        query = query.replace(part, names)
    return query
