"""The counts of orders in a real Postgres: each sum says what its quarters say, and so does what is asked of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import psycopg
import pytest

from payloops.db import Database
from payloops.migrations.runner import load_migrations, migrate
from payloops.projections.order_lists import OrderLists
from payloops.projections.order_stats import BUCKET, DAY, MEASURES, STATUSES, bucket_of, day_of
from payloops.projections.stats import Period, StatsViews
from payloops.projections.views import OrderFilter
from tests.databases import TestDatabase
from tests.integration.store.appends import query

MERCHANT, OTHER = UUID(int=1), UUID(int=2)
APPLY = "SELECT apply_order_stats(%s, %s::integer[])"
QUARTERS = "SELECT bucket, currency, test_mode, processor, {} FROM order_stats WHERE merchant_id = %s".format(
    ", ".join(MEASURES)
)
DAYS_OF_QUARTERS = """
    SELECT merchant_id, date_bin('1 day', bucket, '2000-01-01Z'), currency, test_mode, processor, {}
    FROM order_stats GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
""".format(", ".join(f"sum({name})" for name in MEASURES))
DAYS = f"SELECT * FROM order_stats_daily ORDER BY {', '.join(map(str, range(1, 6)))}"
SO_FAR_OF_QUARTERS = """
    SELECT q.*, (
        SELECT sum(s.captures) || ' ' || sum(s.captured_amount) FROM order_stats s
        WHERE (s.merchant_id, s.currency, s.test_mode) = (q.merchant_id, q.currency, q.test_mode)
            AND s.bucket <= q.bucket AND s.bucket >= date_bin('1 day', q.bucket, '2000-01-01Z'))
    FROM (SELECT DISTINCT merchant_id, currency, test_mode, bucket FROM order_stats WHERE captures > 0) q
    ORDER BY 1, 2, 3, 4
"""
SO_FAR = """
    SELECT merchant_id, currency, test_mode, bucket, captures || ' ' || captured_amount
    FROM captures_so_far ORDER BY 1, 2, 3, 4
"""


def change(moment: datetime, *, merchant: UUID = MERCHANT, currency: str = "USD", **numbers: Any) -> dict[str, Any]:
    row = {"c": 0, "merchant_id": merchant, "bucket": bucket_of(moment), "currency": currency, "test_mode": True}
    return {**row, "processor": "stripe", **numbers}


async def apply(database: Database, *changes: Mapping[str, Any], refused: tuple[int, ...] = ()) -> None:
    await query(database, APPLY, orjson.dumps(changes).decode(), list(refused))


def any_change(chance: random.Random, begin: datetime, days: int) -> dict[str, Any]:
    moment = begin + timedelta(minutes=chance.randrange(days * 24 * 60))
    row = change(
        moment,
        merchant=chance.choice((MERCHANT, MERCHANT, OTHER)),
        currency=chance.choice(("USD", "USD", "EUR")),
        test_mode=chance.random() < 0.7,
        processor=chance.choice(("", "stripe", "razorpay")),
    )
    captured = chance.random() < 0.5
    row |= {"captures": 1, "captured_amount": chance.randrange(1, 2**53)} if captured else {}
    return row | {chance.choice(STATUSES): 1}


async def filled(database: Database, seed: int, begin: datetime, days: int, count: int = 600) -> None:
    chance = random.Random(seed)
    changes = [any_change(chance, begin, days) for _ in range(count)]
    for batch in _batches(changes, 37):
        await apply(database, *batch)


def _batches(changes: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [changes[start : start + size] for start in range(0, len(changes), size)]


async def sums_agree(database: Database) -> None:
    assert await query(database, DAYS) == await query(database, DAYS_OF_QUARTERS)
    assert await query(database, SO_FAR) == await query(database, SO_FAR_OF_QUARTERS)


async def test_sums_say_what_the_quarters_say_in_whatever_order_events_come(database: Database) -> None:
    await filled(database, 1, datetime(2091, 3, 1, tzinfo=UTC), days=5)
    await sums_agree(database)


async def test_a_clock_that_is_behind_moves_what_came_later_that_day_and_no_other(database: Database) -> None:
    noon = datetime(2091, 3, 1, 12, tzinfo=UTC)
    for moment in (noon, noon + 2 * BUCKET, noon + DAY, noon + BUCKET, noon - 3 * BUCKET, noon):
        await apply(database, change(moment, captures=1, captured_amount=100, captured=1))
    rows = await query(
        database, "SELECT bucket, captures, captured_amount::bigint FROM captures_so_far ORDER BY bucket"
    )
    assert [(int((bucket - noon) / BUCKET), count, amount) for bucket, count, amount in rows] == [
        (-3, 1, 100),
        (0, 3, 300),
        (1, 4, 400),
        (2, 5, 500),
        (96, 1, 100),
    ]
    await sums_agree(database)


async def test_what_was_refused_is_counted_nowhere(database: Database) -> None:
    moment = datetime(2091, 3, 1, tzinfo=UTC)
    refused = change(moment, captures=1, captured_amount=5, captured=1) | {"c": 1}
    await apply(database, change(moment, pending=1), refused, refused=(1,))
    assert await query(database, "SELECT pending, captured FROM order_stats_daily") == [(1, 0)]
    assert await query(database, "SELECT captures FROM captures_so_far") == []


async def test_a_change_that_many_commands_make_counts_for_each_that_took_effect(database: Database) -> None:
    moment = datetime(2091, 3, 1, tzinfo=UTC)
    shared = change(moment, pending=1) | {"cs": [0, 2, 3, 5]}
    captured = change(moment, captures=1, captured_amount=7) | {"cs": [4, 5]}
    all_refused = change(moment, currency="EUR", failed=1) | {"cs": [3]}
    await apply(database, shared, captured, all_refused, change(moment, pending=1) | {"c": 6}, refused=(3, 4))
    assert await query(database, "SELECT currency, pending, captures FROM order_stats") == [("USD", 4, 1)]
    assert await query(database, "SELECT captures, captured_amount FROM captures_so_far") == [(1, 7)]
    await sums_agree(database)


def test_the_migration_sums_what_was_counted_before_it(empty_database: TestDatabase) -> None:
    earlier = [one for one in load_migrations() if one.version < 14]
    migrate(empty_database.owner_dsn, migrations=earlier)
    chance = random.Random(2)
    changes = [any_change(chance, datetime(2091, 3, 1, tzinfo=UTC), 4) for _ in range(300)]
    with psycopg.connect(empty_database.owner_dsn, autocommit=True) as owner:
        owner.execute(APPLY, (orjson.dumps(changes).decode(), []))
        migrate(empty_database.owner_dsn)
        # What is appended from now on goes on from there.
        owner.execute(APPLY, (orjson.dumps(changes[:50]).decode(), []))
        for sums, quarters in ((DAYS, DAYS_OF_QUARTERS), (SO_FAR, SO_FAR_OF_QUARTERS)):
            found = owner.execute(sums.encode()).fetchall()
            assert found
            assert found == owner.execute(quarters.encode()).fetchall()


ZONES = (
    *("UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Pacific/Auckland", "Pacific/Chatham"),
    *("Australia/Lord_Howe", "Africa/Cairo", "America/Sao_Paulo", "Etc/GMT+12"),
)


@pytest.mark.parametrize("zone", ZONES)
async def test_any_period_in_any_zone_is_the_sum_of_its_quarters(database: Database, zone: str) -> None:
    """Over days when clocks go forward and back (in 2018 also at midnight, in Sao Paulo)."""
    begin, days = datetime(2018, 10, 20, tzinfo=UTC), 20
    await filled(database, 3, begin, days)
    names = ("bucket", "currency", "test_mode", "processor", *MEASURES)
    quarters = [dict(zip(names, row, strict=True)) for row in await query(database, QUARTERS, MERCHANT)]
    views, chance = StatsViews(database), random.Random(zone)
    for length in (1, 2, 5, 40, 96, 97, 300, 500, 1000, 1900):
        start = begin + chance.randrange(days * 96 - length + 1) * BUCKET
        period = Period.around(start, start + length * BUCKET, ZoneInfo(zone))
        for currency, mode in ((None, None), ("USD", True), ("EUR", False), ("JPY", None)):
            await _compare(views, quarters, period, currency, mode)


async def _compare(
    views: StatsViews, quarters: list[dict[str, Any]], period: Period, currency: str | None, mode: bool | None
) -> None:
    found = await views.period(MERCHANT, period, currency=currency, test_mode=mode)
    inside = [
        row for row in quarters if period.begin <= row["bucket"] < period.end and mode in {None, row["test_mode"]}
    ]
    assert {each.currency for each in found.currencies} == {row["currency"] for row in inside}
    for each in found.currencies:
        of_it = [row for row in inside if row["currency"] == each.currency]
        assert all(each.totals[name] == sum(row[name] for row in of_it) for name in MEASURES)
        for processor, count in each.processors.items():
            of_processor = [row for row in of_it if row["processor"] == processor]
            assert count == sum(row[name] for row in of_processor for name in STATUSES)
    if currency is not None:
        assert found.shown.currency == currency
    elif found.currencies:
        assert found.shown.transactions == max(each.transactions for each in found.currencies)
    volumes, captures = Counter[Any](), Counter[Any]()
    for row in inside:
        if row["currency"] == found.shown.currency:
            volumes[row["bucket"].astimezone(period.zone).date()] += int(row["captured_amount"])
            captures[row["bucket"].astimezone(period.zone).date()] += row["captures"]
    assert [(day.day, day.volume, day.captures) for day in found.days] == [
        (day, volumes[day], captures[day]) for day in period.days()
    ]


async def test_a_day_that_a_zone_left_out_is_empty(database: Database) -> None:
    """Samoa had no 30 December 2011: it went over to the other side of the date line."""
    begin = datetime(2011, 12, 28, tzinfo=UTC)
    for hour in range(96):
        await apply(database, change(begin + timedelta(hours=hour), captures=1, captured_amount=1, captured=1))
    period = Period.around(begin, begin + timedelta(hours=96), ZoneInfo("Pacific/Apia"))
    found = await StatsViews(database).period(MERCHANT, period)
    assert [(day.day.isoformat(), day.captures) for day in found.days] == [
        ("2011-12-27", 10),
        ("2011-12-28", 24),
        ("2011-12-29", 24),
        ("2011-12-30", 0),
        ("2011-12-31", 24),
        ("2012-01-01", 14),
    ]


async def test_pages_of_any_range_status_and_number_are_the_orders_in_order(database: Database) -> None:
    chance = random.Random(4)
    begin = datetime(2091, 3, 1, tzinfo=UTC)
    orders: list[tuple[datetime, UUID, str]] = []
    for number in range(1, 401):
        # Some at one moment, most within two days of ten.
        moment = begin + timedelta(minutes=chance.choice((0, 1440, 2880, 2885, 7000)) + chance.randrange(700) // 3 * 3)
        status, order_id, test_mode = chance.choice(STATUSES[:4]), UUID(int=number << 8), chance.random() < 0.5
        orders.append((moment, order_id, status))
        await query(
            database,
            "INSERT INTO orders (id, merchant_id, version, test_mode, external_id, amount, currency, status,"
            " amount_captured, amount_refunded, metadata, capture_method, outcome_unknown, created_at, updated_at)"
            " VALUES (%s, %s, 1, %s, 'x', 1, 'USD', %s, 0, 0, '{}', 'automatic', false, %s, %s) RETURNING id",
            *(order_id, MERCHANT, test_mode, status, moment, moment),
        )
        await apply(database, change(moment, test_mode=test_mode, processor="") | {status: 1})
    orders.sort(reverse=True)
    lists = OrderLists(database)
    for _ in range(150):
        ends = sorted(
            chance.choice((moment, moment + BUCKET / 7, day_of(moment))) for moment, _, _ in chance.sample(orders, 2)
        )
        wanted = OrderFilter(
            status=chance.choice((None, *STATUSES[:4], "failed")),
            created_from=chance.choice((None, ends[0])),
            created_to=chance.choice((None, ends[1])),
        )
        expected = [
            order_id
            for moment, order_id, status in orders
            if wanted.status in {None, status}
            and (wanted.created_from is None or moment >= wanted.created_from)
            and (wanted.created_to is None or moment < wanted.created_to)
        ]
        offset, limit = chance.randrange(len(expected) + 5), chance.choice((1, 7, 100))
        page = await lists.numbered(MERCHANT, wanted, offset=offset, limit=limit)
        assert [UUID(row["id"]) for row in page.rows] == expected[offset : offset + limit]
        assert (page.total, page.more) == (len(expected), offset + limit < len(expected) and bool(page.rows))
        if page.last is not None:
            following = await lists.after(MERCHANT, wanted, page.last, limit=limit)
            assert [UUID(row["id"]) for row in following.rows] == expected[offset + limit : offset + 2 * limit]
            assert following.more == (offset + 2 * limit < len(expected))


def test_days_of_utc() -> None:
    moment = datetime(1969, 12, 30, 23, 59, tzinfo=UTC)
    assert day_of(moment) == datetime(1969, 12, 30, tzinfo=UTC)
    assert day_of(day_of(moment)) == day_of(moment)
