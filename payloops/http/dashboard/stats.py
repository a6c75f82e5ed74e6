"""``GET /api/dashboard/stats``: what a merchant's dashboard shows of its payments."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from payloops.http.answers.analytics import Stats
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import FROM, TO, Operation, choice, documented, text
from payloops.http.query import Query, refusal
from payloops.http.services import Services
from payloops.projections.order_stats import STATUSES
from payloops.projections.stats import CurrencyStats, Period
from payloops.values import currency_code, iso

DAYS_DEFAULT: Final = 30
DAYS_MAX: Final = 366
YEARS: Final = range(1900, 9000)
MODES: Final = frozenset({"test", "live"})
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")


@documented(
    Operation(
        summary="The numbers of a time",
        description="The last thirty days, if no time is named; the currency with the most orders, if none is.",
        answers={200: Stats},
        query=(
            *(FROM, TO),
            text("currency", "ISO 4217, in any case."),
            text("tz", "The time zone of the days, as Asia/Kolkata; UTC if none is named."),
            choice("mode", MODES, "Only test orders, or only live ones."),
        ),
    )
)
async def stats(request: Request, services: Services) -> Reply:
    """``GET /api/dashboard/stats``."""
    query = Query(request)
    period = _period(query, services.clock.now())
    currency, mode = _currency(query), query.choice("mode", MODES)
    found = await services.analytics.stats.period(
        request.caller.merchant_id,
        period,
        currency=currency,
        test_mode=None if mode is None else mode == "test",
    )
    shown = found.shown
    body: dict[str, Any] = {
        **_summary(shown),
        "volumeByDay": [{"date": each.day, "volume": each.volume, "count": each.captures} for each in found.days],
        "transactionsByStatus": [
            {"status": status, "count": shown.totals[status]} for status in STATUSES if shown.totals[status]
        ],
        "transactionsByProcessor": [
            {"processor": processor, "count": count}
            for processor, count in sorted(shown.processors.items(), key=lambda one: (-one[1], one[0]))
            if processor and count
        ],
        "byCurrency": [_summary(each) for each in found.currencies],
        "from": iso(period.begin),
        "to": iso(period.end),
        "tz": period.zone.key,
    }
    return Reply(200, orjson.dumps(body))


def _summary(stats: CurrencyStats) -> dict[str, Any]:
    totals = stats.totals
    return {
        "currency": stats.currency,
        "totalVolume": totals["captured_amount"],
        "totalTransactions": stats.transactions,
        "successRate": stats.success_rate_percent,
        "averageTicket": stats.average_ticket,
        "refundedVolume": totals["refunded_amount"],
        "disputedVolume": totals["disputed_amount"],
        "netVolume": stats.net,
    }


def _period(query: Query, now: datetime) -> Period:
    """``from``, ``to`` and ``tz``. Raises InvalidInput."""
    zone = _zone(query)
    end, begin = _within_years(query, "to") or now, _within_years(query, "from")
    if begin is None:
        # Thirty days with today's, which began when it did in that zone.
        first = end.astimezone(zone).date() - timedelta(days=DAYS_DEFAULT - 1)
        begin = datetime.combine(first, time(), zone).astimezone(end.tzinfo)
    if begin >= end:
        raise refusal("from", "must be before to")
    if end - begin > timedelta(days=DAYS_MAX):
        raise refusal("from", f"must be at most {DAYS_MAX} days before to")
    return Period.around(begin, end, zone)


def _within_years(query: Query, name: str) -> datetime | None:
    """A time that can be counted from in any zone. Raises InvalidInput."""
    moment = query.moment(name)
    if moment is not None and moment.year not in YEARS:
        raise refusal(name, f"must lie in the years {YEARS[0]} to {YEARS[-1]}")
    return moment


def _zone(query: Query) -> ZoneInfo:
    name = query.text("tz") or "UTC"
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise refusal("tz", "must be the name of a time zone, like Asia/Kolkata")


def _currency(query: Query) -> str | None:
    """``currency``, in any case. Raises InvalidInput."""
    text = query.text("currency")
    found = None if text is None else currency_code(text)
    if text is not None and found is None:
        raise refusal("currency", "must be a currency of ISO 4217, like USD")
    return found
