"""What must hold after every fault: nothing acknowledged is lost, nothing is done twice, and all books agree."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from payloops.db import Database
from payloops.events.store import EventStore
from payloops.projections.verify import verify
from payloops.workflows_bridge.processors.amounts import from_stripe
from tests.gauntlet.client import Acknowledged
from tests.gauntlet.service import Service
from tests.gauntlet.shop import Shop
from tests.gauntlet.webhook_checker import webhook_problems

SETTLE_WITHIN_S: Final = 75.0
LOOK_EVERY_S: Final = 0.2
REPLAYED_MAX: Final = 40
"""Keys that are used once more per check."""

_UNSETTLED: Final = """
SELECT
    (SELECT count(*) FROM orders WHERE status = 'processing' OR outcome_unknown)
    + (SELECT count(*) FROM refunds WHERE status = 'pending')
    + (SELECT count(*) FROM transactions WHERE status = 'pending' AND type NOT IN ('authorization', 'dispute')),
    (SELECT count(*) FROM outbox
        WHERE parked_at IS NULL AND (kind NOT IN ('wake', 'checkout') OR due_at < now() + interval '1 minute')),
    (SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL)
"""
_UNDECIDED: Final = """
SELECT 'order', id::text, status FROM orders WHERE status = 'processing' OR outcome_unknown
UNION ALL SELECT 'refund', order_id::text, status FROM refunds WHERE status = 'pending'
UNION ALL SELECT type, order_id::text, status FROM transactions
    WHERE status = 'pending' AND type NOT IN ('authorization', 'dispute')
LIMIT 6
"""
_ORDERS: Final = """
SELECT id::text, status, amount, amount_captured, amount_refunded FROM orders WHERE merchant_id = %s
"""
_REFUNDS: Final = """
SELECT r.id::text, r.order_id::text, r.amount, r.status FROM refunds r JOIN orders o ON o.id = r.order_id
WHERE o.merchant_id = %s
"""

_AFTER: Final = {
    "pending": {"processing", "requires_action", "authorized", "captured", "partially_refunded", "refunded", "failed",
                "cancelled"},
    "processing": {"requires_action", "authorized", "captured", "partially_refunded", "refunded", "failed",
                   "cancelled"},
    "requires_action": {"processing", "authorized", "captured", "partially_refunded", "refunded", "failed",
                        "cancelled"},
    "authorized": {"captured", "partially_refunded", "refunded", "cancelled"},
    "captured": {"partially_refunded", "refunded"},
    "partially_refunded": {"captured", "refunded"},
    "refunded": {"captured", "partially_refunded"},
    "failed": {"processing", "requires_action", "authorized", "captured", "partially_refunded", "refunded",
               "cancelled"},
    "cancelled": {"captured", "authorized"},
}  # fmt: skip
"""Where an order may be that was acknowledged in a status."""


class Broken(AssertionError):
    """The checker found something; the message says all."""


@dataclass
class Verdict:
    """What a check looked at."""

    orders: int = 0
    refunds: int = 0
    acknowledged: int = 0
    payments: int = 0
    events: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged writes, {self.orders} orders, {self.refunds} refunds,"
            f" {self.payments} payments at the processor, {self.events} events"
        )


async def check(*shops: Shop, settle_within_s: float = SETTLE_WITHIN_S, other_orders: bool = False) -> Verdict:
    """Wait until all is settled, then look at everything. Raises Broken.

    ``other_orders``: the row made orders that are in no journal.
    """
    verdict = Verdict()
    database = Database(shops[0].service.app_dsn, min_size=1, max_size=2, application_name="payloops-gauntlet")
    await database.open(wait_s=20.0)
    try:
        verdict.problems += await _settle(database, settle_within_s)
        for shop in shops:
            await _check_shop(database, shop, verdict, other_orders=other_orders)
        report = await verify(database, EventStore(database))
        verdict.events = report.events
        verdict.problems += report.violations
        verdict.problems += [f"table differs from the log: {each}" for each in report.differences]
    finally:
        await database.close()
    if verdict.problems:
        raise Broken("\n".join(verdict.problems[:30]))
    return verdict


async def check_tables(service: Service) -> int:
    """Only that the log folded again gives the tables; the events that it has. Raises Broken."""
    database = Database(service.app_dsn, min_size=1, max_size=2, application_name="payloops-gauntlet")
    await database.open(wait_s=20.0)
    try:
        report = await verify(database, EventStore(database))
    finally:
        await database.close()
    if report.violations or report.differences:
        raise Broken("\n".join(map(str, (*report.violations, *report.differences))))
    return report.events


async def _settle(database: Database, within_s: float) -> list[str]:
    deadline_s = time.monotonic() + within_s
    while True:
        ((moving, due, parked),) = await _rows(database, _UNSETTLED)
        if not moving and not due:
            return [f"{parked} outbox rows are parked"] if parked else []
        if time.monotonic() > deadline_s:
            left = await _rows(database, "SELECT kind, key, due_at - now(), attempts, last_error FROM outbox LIMIT 5")
            undecided = await _rows(database, _UNDECIDED)
            counted = f"{moving} undecided {undecided}, {due} rows due, {parked} parked: {left}"
            return [f"not settled after {within_s:g} s: {counted}"]
        await asyncio.sleep(LOOK_EVERY_S)


async def _check_shop(database: Database, shop: Shop, verdict: Verdict, *, other_orders: bool) -> None:
    orders = {row[0]: row for row in await _rows(database, _ORDERS, shop.merchant_id)}
    refunds = {row[0]: row for row in await _rows(database, _REFUNDS, shop.merchant_id)}
    ledger = await shop.ledger()
    journal = shop.api.acknowledged
    problems = list(shop.api.surprises)
    problems += _lost(journal, orders, refunds)
    problems += _bounds(orders.values())
    problems += _books(orders, refunds, ledger)
    if not other_orders and len(orders) != shop.orders_made:
        problems.append(f"{shop.orders_made} orders were acknowledged, {len(orders)} exist")
    problems += await webhook_problems(database, shop)
    problems += await _replays(shop)
    verdict.orders += len(orders)
    verdict.refunds += len(refunds)
    verdict.acknowledged += len(journal)
    verdict.payments += len(ledger["payments"])
    verdict.problems += problems


def _lost(journal: Iterable[Acknowledged], orders: dict[str, Any], refunds: dict[str, Any]) -> list[str]:
    """Everything that was acknowledged is there, and has only gone forward since."""
    problems: list[str] = []
    for each in journal:
        body = each.body
        order_id = body.get("orderId", body.get("id"))
        if order_id not in orders:
            problems.append(f"lost: {each.path} was acknowledged for order {order_id}, which does not exist")
            continue
        now = orders[order_id][1]
        if "refundId" in body:
            found = refunds.get(body["refundId"])
            if found is None:
                problems.append(f"lost: refund {body['refundId']} was acknowledged and does not exist")
            elif found[2] != body["amount"]:
                problems.append(f"refund {body['refundId']} was acknowledged over {body['amount']}, is {found[2]}")
            elif body["status"] != "pending" and found[3] != body["status"]:
                problems.append(f"refund {body['refundId']} was acknowledged {body['status']}, is {found[3]}")
        elif now != body["status"] and now not in _AFTER[body["status"]]:
            problems.append(f"order {order_id} was acknowledged {body['status']} by {each.path}, is {now}")
    return problems


def _bounds(orders: Iterable[tuple[Any, ...]]) -> list[str]:
    return [
        f"order {order_id}: not 0 <= {refunded} <= {captured} <= {amount}"
        for order_id, _, amount, captured, refunded in orders
        if not 0 <= refunded <= captured <= amount
    ]


def _books(orders: dict[str, Any], refunds: dict[str, Any], ledger: dict[str, Any]) -> list[str]:
    """Per order at most one payment with money, and the same amounts on both sides."""
    problems: list[str] = []
    payments: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for payment in ledger["payments"]:
        payments[payment["metadata"].get("order_id")].append(payment)
    problems += [
        f"the processor has payments of order {stranger}, which does not exist"
        for stranger in set(payments) - set(orders)
    ]
    for order_id, (_, status, _, captured, refunded) in orders.items():
        with_money = [each for each in payments[order_id] if each["amountCaptured"]]
        held = [each for each in payments[order_id] if each["status"] == "requires_capture"]
        if len(with_money) > 1 or len(held) > 1:
            problems.append(f"order {order_id} was charged {len(with_money)} times and held {len(held)} times")
        theirs = sum(from_stripe(each["amountCaptured"], each["currency"]) for each in with_money)
        given_back = sum(from_stripe(each["amountRefunded"], each["currency"]) for each in with_money)
        if (captured, refunded) != (theirs, given_back):
            problems.append(
                f"order {order_id} ({status}): captured {captured}, refunded {refunded};"
                f" the processor says {theirs} and {given_back}"
            )
        if held and status != "authorized":
            problems.append(f"order {order_id} is {status}, and the processor still holds money for it")
    problems += _refund_books(refunds, ledger)
    return problems


def _refund_books(refunds: dict[str, Any], ledger: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    keys = Counter(each["idempotencyKey"] for each in ledger["refunds"] if each["idempotencyKey"])
    problems += [f"refund key {key} had effect {count} times" for key, count in keys.items() if count > 1]
    theirs = Counter(each["amount"] for each in ledger["refunds"] if each["status"] == "succeeded")
    ours = Counter(amount for _, _, amount, status in refunds.values() if status == "success")
    if ours != theirs:
        problems.append(f"refunds differ: only ours {ours - theirs}, only the processor's {theirs - ours}")
    return problems


async def _replays(shop: Shop) -> list[str]:
    """The last keys are used once more: the same answer, to the byte, and no effect."""
    problems: list[str] = []
    for each in shop.api.acknowledged[-REPLAYED_MAX:]:
        again = await shop.api.once(each.method, each.path, raw=each.sent, key=each.key)
        if (again.status, again.raw) != (each.status, each.raw):
            problems.append(
                f"{each.path} was acknowledged {each.status} {each.raw[:300]!r};"
                f" its key now gives {again.status} {again.raw[:300]!r}"
            )
        elif again.headers.get("Idempotent-Replayed") != "true":
            problems.append(f"{each.path}: a key that was used is not replayed")
    return problems


async def _rows(database: Database, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return await (await connection.execute(statement, parameters)).fetchall()
