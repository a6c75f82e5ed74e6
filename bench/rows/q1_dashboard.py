"""Q1: what a merchant with a million orders asks most, one request at a time: its numbers, its lists, its searches.

The orders are put into the tables by SQL (q1_dashboard.sql), in about two minutes. The baseline is a handler that does
nothing (``GET /health/live``); the goal is an absolute one.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from bench.harness import Bench, Goal, Result
from bench.http_requests import call, render
from bench.load import Load, Step
from bench.samples import P50, P99
from bench.service import Api, Merchant, service
from payloops.db import load_sql

WHAT: Final = "the dashboard's reads at a million orders of one merchant"
ORDERS: Final = 1_000_000
QUICK_ORDERS: Final = 20_000
"""When only whether the row runs is to be seen."""
P99_MS_MAX: Final = 20.0
SECONDS_MAX: Final = 1.0
"""Of a window: there are many of them."""
NO_OP: Final = "no-op handler"
EMAIL: Final = "jane@shop.example"

QUESTIONS: Final = {
    "stats30": ("stats, 30 days", "/api/dashboard/stats"),
    "stats90tz": ("stats, 90 days in Kolkata", "/api/dashboard/stats?{quarter}&tz=Asia/Kolkata"),
    "stats366": ("stats, 366 days", "/api/dashboard/stats?{year}"),
    "stats366tz": ("stats, 366 days in Kathmandu", "/api/dashboard/stats?{year}&tz=Asia/Kathmandu"),
    "stats366live": (
        "stats, 366 days in Auckland, EUR, live",
        "/api/dashboard/stats?{year}&currency=EUR&mode=live&tz=Pacific/Auckland",
    ),
    "page1": ("orders, page 1", "/api/orders?limit=20"),
    "page40000": ("orders, page 40,000", "/api/orders?limit=20&page={far}"),
    "cursor": ("orders, a cursor behind 800,000", "/api/orders?limit=20&cursor={cursor}"),
    "captured": ("orders captured, page 30,000", "/api/orders?limit=20&status=captured&page={captured}"),
    "failed": ("orders failed (1 in 1,000)", "/api/orders?limit=20&status=failed"),
    "cancelled": ("orders cancelled (none)", "/api/orders?limit=20&status=cancelled"),
    "range": ("orders of 90 days, page 5,000", "/api/orders?limit=20&page={within}&{quarter}"),
    "qid": ("orders by external id", "/api/orders?q=ord_123456"),
    "qpayment": ("orders by a payment's id", "/api/orders?q=ch_ord_123456"),
    "qcustomer": ("orders by customer", "/api/orders?q=cust_77"),
    "qemail": ("orders by e-mail", f"/api/orders?q={EMAIL}"),
    "qpart": ("orders by a part of a text", "/api/orders?q=number%2099"),
    "v1status": ("GET /v1/orders?status=cancelled (none)", "/v1/orders?limit=20&status=cancelled"),
    "v1cursor": ("GET /v1/orders, a cursor behind 800,000", "/v1/orders?limit=20&cursor={cursor}"),
}


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        database = stack.enter_context(bench.postgres.database())
        ours = stack.enter_context(service(bench, database))
        api = stack.enter_context(ours.api())
        merchant = api.register()
        orders = QUICK_ORDERS if bench.options.quick else ORDERS
        _fill(bench, database.owner_dsn, merchant.id, orders)
        sides = {
            name: stack.enter_context(
                bench.worker("bench.load", Load(api.port, 1, [Step([request], status=200)]).to_json())
            ).measure
            for name, request in _requests(api, merchant, orders).items()
        }
        shorter = replace(bench.options, seconds=min(bench.options.seconds, SECONDS_MAX))
        rounds = replace(bench, options=shorter).interleave(sides)
    results = []
    for name, (what, _) in QUESTIONS.items():
        for percentile, quantity in (("p50", P50), ("p99", P99)):
            goal = Goal(f"≤ {P99_MS_MAX:g} ms", lambda comparison: comparison.value <= P99_MS_MAX)
            compared = rounds.compare(name, NO_OP, quantity)
            results.append(Result.of(f"Q1.{name}", f"{what}, {percentile}", "ms", compared, goal))
    return results


def _requests(api: Api, merchant: Merchant, orders: int) -> dict[str, str]:
    """Every question and the baseline, as they are sent."""
    bearer, key = {"Authorization": f"Bearer {merchant.token}"}, {"X-API-Key": merchant.api_key}
    order = {"amount": 100, "currency": "USD", "customerEmail": EMAIL}
    call(api.port, "POST", "/v1/orders", key, order, status=201)
    # Of a million orders these are the pages that QUESTIONS names.
    pages = {"far": orders // 25, "captured": orders * 3 // 100, "within": orders // 200}
    far = call(api.port, "GET", f"/api/orders?limit=20&page={pages['far']}", bearer, None, status=200)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    ranges = {
        name: f"from={tomorrow - timedelta(days=days)}&to={tomorrow}" for name, days in (("quarter", 90), ("year", 366))
    }
    requests = {NO_OP: render("GET", "/health/live", bearer)}
    for name, (_, path) in QUESTIONS.items():
        headers = key if path.startswith("/v1/") else bearer
        requests[name] = render("GET", path.format(cursor=far["nextCursor"], **pages, **ranges), headers)
    return requests


def _fill(bench: Bench, owner_dsn: str, merchant_id: str, orders: int) -> None:
    """Put the orders there, and what is counted and searched of them."""
    with psycopg.connect(owner_dsn, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        for block, statement in load_sql("bench.rows", "q1_dashboard").items():
            bench.say(f"filling  {block}")
            connection.execute(statement, {"merchant": merchant_id, "orders": orders})
        connection.execute("VACUUM ANALYZE")
