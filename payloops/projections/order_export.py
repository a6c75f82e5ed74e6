"""A merchant's orders, or their transactions, as CSV (RFC 4180), made batch by batch while it is read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.errors import RateLimited
from payloops.projections.personal_data import CUSTOMER_EMAIL, MerchantKey
from payloops.projections.reading import Columns, fetch
from payloops.values import iso

BATCH_ORDERS: Final = 500
EXPORTS_PER_MERCHANT_MAX: Final = 2
"""At a time, in one process."""
_RETRY_AFTER_S: Final = 10

ExportType = Literal["orders", "transactions"]

ORDER_COLUMNS: Final = (
    *("id", "externalId", "createdAt", "updatedAt", "mode", "status", "currency", "amount", "amountCaptured"),
    *("amountRefunded", "processor", "processorOrderId", "customerId", "customerEmail", "description", "captureMethod"),
)
TRANSACTION_COLUMNS: Final = (
    *("id", "orderId", "externalId", "type", "status", "currency", "amount", "processor", "processorTransactionId"),
    *("errorCode", "errorMessage", "createdAt", "updatedAt"),
)

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SQL: Final = load_sql("payloops.projections", "order_export")


class OrderExports:
    """Exports over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: Counter[UUID] = Counter()

    async def csv(
        self, key: MerchantKey, kind: ExportType, created_from: datetime, created_to: datetime
    ) -> AsyncGenerator[bytes, None]:
        """The file of the orders that were created in that time, newest first; nothing first, when it is begun.

        Amounts are in minor units. ``transactions`` are those of these orders, the oldest of each first. Raises
        RateLimited when the merchant has too many exports running, Unavailable.
        """
        merchant_id = key.merchant_id
        if self._running[merchant_id] >= EXPORTS_PER_MERCHANT_MAX:
            raise RateLimited(
                f"At most {EXPORTS_PER_MERCHANT_MAX} exports may run at a time; wait for one of them.",
                retry_after_s=_RETRY_AFTER_S,
                policy="exports",
                limit=EXPORTS_PER_MERCHANT_MAX,
                window_s=_RETRY_AFTER_S,
            )
        self._running[merchant_id] += 1
        try:
            yield b""
            yield _lines([ORDER_COLUMNS if kind == "orders" else TRANSACTION_COLUMNS])
            place = (created_to, UUID(int=0))
            while rows := await self._batch(merchant_id, created_from, place):
                if kind == "orders":
                    yield _lines(_order(row, key) for row in rows)
                else:
                    yield _lines(await self._transactions(merchant_id, rows))
                if len(rows) < BATCH_ORDERS:
                    return
                place = (rows[-1][0], rows[-1][1])
        finally:
            self._running[merchant_id] -= 1
            if not self._running[merchant_id]:
                del self._running[merchant_id]

    async def _batch(self, merchant_id: UUID, created_from: datetime, before: tuple[datetime, UUID]) -> list[Columns]:
        parameters = {
            "merchant": merchant_id,
            "created_from": created_from,
            "before_time": before[0],
            "before_id": before[1],
            "limit": BATCH_ORDERS,
        }
        return await fetch(self._database, _SQL["orders"], parameters)

    async def _transactions(self, merchant_id: UUID, orders: list[Columns]) -> list[tuple[Any, ...]]:
        by_id = {row[1]: row for row in orders}
        parameters = {"merchant": merchant_id, "orders": list(by_id)}
        found = await fetch(self._database, _SQL["transactions"], parameters)
        return [_transaction(row, by_id[row[1]]) for row in found]


def cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: text that begins like one gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return text.getvalue().encode()


def _order(row: Columns, key: MerchantKey) -> tuple[Any, ...]:
    created_at, order_id, external_id, updated_at, test_mode, *others = row
    *money, processor, processor_order_id, customer_id, sealed, description, method = others
    email = key.open(CUSTOMER_EMAIL, order_id, sealed)
    head = (order_id, external_id, created_at, updated_at, "test" if test_mode else "live")
    return (*head, *money, processor, processor_order_id, customer_id, email, description, method)


def _transaction(row: Columns, order: Columns) -> tuple[Any, ...]:
    transaction_id, order_id, kind, status, amount, processor_id, code, message, created_at, updated_at = row
    external_id, currency, processor = order[2], order[6], order[10]
    head = (transaction_id, order_id, external_id, kind, status, currency, amount, processor, processor_id)
    return (*head, code, message, created_at, updated_at)
