"""The queries of the API. Each is one round trip, sees one merchant only, and proves the API key that asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

from payloops.db import Database, load_sql
from payloops.errors import InvalidApiKey, NotFound
from payloops.events.codec import EventMapper
from payloops.events.merchant_state import ENDED_KEYS_KEPT
from payloops.projections.audit import AuditEntry
from payloops.projections.base import Row
from payloops.projections.grouped import GroupedReads
from payloops.projections.order_wire import READ_COLUMNS, stored_json
from payloops.projections.reading import Columns, fetch

_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)
_LAST_ID: Final = UUID(int=2**128 - 1)
_VERSION_MAX: Final = 2**63 - 1
_WIDTH: Final = len(READ_COLUMNS)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks: a merchant's API key, or its dashboard user (``api_key_id`` is None)."""

    merchant_id: UUID
    api_key_id: UUID | None = None
    merchant_text: str = field(init=False, repr=False, compare=False)
    """The ids as text, made once for all requests of a caller."""
    api_key_text: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "merchant_text", str(self.merchant_id))
        object.__setattr__(self, "api_key_text", None if self.api_key_id is None else str(self.api_key_id))


@dataclass(frozen=True, slots=True)
class OrderPlace:
    """The last order of a page: the next one begins after it."""

    created_at_ms: int
    order_id: UUID


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """What is None does not filter. ``created_from`` is inclusive, ``created_to`` exclusive."""

    status: str | None = None
    external_id: str | None = None
    customer_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """A key that holds, to be verified; ``secret_hash`` is sealed."""

    key_id: UUID
    merchant_id: UUID
    secret_hash: str
    live: bool
    scopes: tuple[str, ...]
    expires_at: datetime | None


class Views:
    """The queries over one database.

    All raise Unavailable; those that take a Reader raise InvalidApiKey when its key holds no longer, and NotFound for
    an order that does not exist or is another merchant's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapper = EventMapper()
        self.grouped = GroupedReads(database, compose("orders_by_id"))

    async def close(self) -> None:
        """Answer what is asked already, then stop."""
        await self.grouped.close()

    async def order(self, reader: Reader, order_id: str) -> Row:
        """One order's row, for ``wire_order``; asked for together with what others ask for at the time.

        ``order_id`` is the text of a UUID.
        """
        holds, columns = await self.grouped.get(reader.api_key_text, reader.merchant_text, order_id)
        if not holds:
            raise not_valid()
        if columns[0] is None:
            raise no_order()
        return order_row(columns)

    async def orders(
        self, reader: Reader, wanted: OrderFilter, after: OrderPlace | None, limit: int
    ) -> tuple[list[Row], OrderPlace | None]:
        """A page of orders, newest first, and its last order's place when there are more."""
        block = "orders_page" if wanted.status is None else "orders_page_by_status"
        if wanted.external_id is not None:
            block = "orders_page_by_external_id"
        elif wanted.customer_id is not None:
            block = "orders_page_by_customer_id"
        before = _END if after is None else min(_EPOCH + timedelta(milliseconds=after.created_at_ms), _END)
        parameters = {
            "key": reader.api_key_id,
            "merchant": reader.merchant_id,
            "status": wanted.status,
            "external_id": wanted.external_id,
            "customer_id": wanted.customer_id,
            "created_from": wanted.created_from or _BEGINNING,
            "created_to": min(wanted.created_to or _END, before + _MILLISECOND),
            "before_time": before,
            "before_id": _LAST_ID if after is None else after.order_id,
            "limit": limit + 1,
        }
        found = _proved(await fetch(self._database, compose(block), parameters))
        rows = [order_row(columns[1 : _WIDTH + 1]) for columns in found[:limit] if columns[1] is not None]
        if len(found) <= limit:
            return rows, None
        last = found[limit - 1]
        return rows, OrderPlace(last[_WIDTH + 1], UUID(last[1]))

    async def refunds(self, reader: Reader, order_id: UUID) -> list[Row]:
        """An order's refunds, newest first."""
        names = ("id", "amount", "status", "reason", "created_at")
        return await self._of_order("order_refunds", reader, order_id, names)

    async def transactions(self, reader: Reader, order_id: UUID) -> list[Row]:
        """An order's transactions, newest first."""
        names = (
            *("id", "type", "amount", "status", "processor_transaction_id", "error_code", "error_message"),
            "created_at",
        )
        return await self._of_order("order_transactions", reader, order_id, names)

    async def order_events(
        self, reader: Reader, order_id: UUID, before_version: int | None, limit: int
    ) -> tuple[list[AuditEntry], bool]:
        """A page of an order's audit trail, newest first, and whether there is more. Raises UnreadableEvent."""
        parameters = {
            "key": reader.api_key_id,
            "merchant": reader.merchant_id,
            "order": order_id,
            "before_version": before_version or _VERSION_MAX,
            "limit": limit + 1,
        }
        found = _of_existing(await fetch(self._database, compose("order_events"), parameters))
        entries = []
        for position, version, topic, state, recorded_at in found[:limit]:
            event = self._mapper.to_event(StoredEvent(order_id, version, topic, bytes(state)))
            entries.append(AuditEntry(position, recorded_at, event))
        return entries, len(found) > limit

    async def api_key(self, public_id: str) -> ApiKeyRow | None:
        """The key of that public id, if it holds."""
        rows = await fetch(self._database, compose("api_key_by_public_id"), (public_id,))
        if not rows:
            return None
        key_id, merchant_id, secret_hash, live, scopes, expires_at = rows[0]
        return ApiKeyRow(key_id, merchant_id, secret_hash, live, tuple(scopes), expires_at)

    async def merchant(self, merchant_id: UUID) -> Row | None:
        """A merchant's account; e-mail and password hash are sealed."""
        return _merchant(await fetch(self._database, compose("merchant"), (merchant_id,)))

    async def merchant_by_email(self, email_digest: str) -> Row | None:
        """The account with that e-mail address."""
        return _merchant(await fetch(self._database, compose("merchant_by_email"), (email_digest,)))

    async def api_keys(self, merchant_id: UUID) -> list[Row]:
        """The merchant's keys, newest first, with their last use: all that hold, and the newest of those that don't."""
        names = ("id", "name", "prefix", "scopes", "last_used_at", "expires_at", "revoked_at", "created_at")
        asked = {"merchant": merchant_id, "ended_max": ENDED_KEYS_KEPT}
        return _named(names, await fetch(self._database, compose("api_keys"), asked))

    async def processors(self, merchant_id: UUID) -> list[Row]:
        """The merchant's processor configurations, newest first, without credentials."""
        names = ("id", "processor", "enabled", "priority", "test_mode", "created_at", "updated_at")
        return _named(names, await fetch(self._database, compose("processors"), (merchant_id,)))

    async def processor_options(self, reader: Reader) -> list[Row]:
        """What a payment may choose from: processor, enabled, priority, test_mode."""
        parameters = {"key": reader.api_key_id, "merchant": reader.merchant_id}
        found = _proved(await fetch(self._database, compose("processor_options"), parameters))
        names = ("processor", "enabled", "priority", "test_mode")
        return _named(names, [row[1:] for row in found if row[1] is not None])

    async def _of_order(self, block: str, reader: Reader, order_id: UUID, names: tuple[str, ...]) -> list[Row]:
        parameters = {"key": reader.api_key_id, "merchant": reader.merchant_id, "order": order_id}
        return _named(names, _of_existing(await fetch(self._database, compose(block), parameters)))


@cache
def compose(block: str) -> str:
    """A block of views.sql with the parts that it shares with others put in."""
    blocks: Mapping[str, str] = load_sql("payloops.projections", "views")
    by_status = block == "orders_page_by_status"
    sql = blocks["orders_page" if by_status else block]
    sql = sql.replace("{status_filter}", "AND r.status = %(status)s" if by_status else "")
    for part in ("order_columns", "key_holds"):
        sql = sql.replace(f"{{{part}}}", blocks[part])
    return sql


def order_row(columns: Columns) -> Row:
    """The columns of the block ``order_columns`` as a row for ``wire_order``."""
    row: dict[str, Any] = dict(zip(READ_COLUMNS, columns, strict=True))
    row["metadata"] = stored_json(row["metadata"])
    row["failure"] = stored_json(row["failure"])
    if row["next_action"] is not None:
        row["next_action"] = orjson.loads(row["next_action"])
    return row


def contains_pattern(text: str) -> str:
    """A LIKE pattern for text that holds ``text`` literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def as_uuid(text: str) -> UUID | None:
    """The UUID that ``text`` is in its canonical form (RFC 9562, section 4, any case), or None."""
    return UUID(text) if _UUID.fullmatch(text) else None


def is_uuid(text: str) -> bool:
    """Whether ``as_uuid`` would find one."""
    return _UUID.fullmatch(text) is not None


def no_order() -> NotFound:
    """The one error for an order that is not there, whatever the reason."""
    return NotFound("No such order.")


def not_valid() -> InvalidApiKey:
    """The one error for a key that does not hold, whatever the reason."""
    return InvalidApiKey("This API key is not valid: it is unknown, expired or revoked.")


def _proved(rows: list[Columns]) -> list[Columns]:
    if not rows[0][0]:
        raise not_valid()
    return rows


def _of_existing(rows: list[Columns]) -> list[Columns]:
    """What stands beside an order that exists: each row without the two columns that prove it."""
    holds, exists = rows[0][:2]
    if not holds:
        raise not_valid()
    if not exists:
        raise no_order()
    return [row[2:] for row in rows if row[2] is not None]


def _named(names: tuple[str, ...], rows: list[Columns]) -> list[Row]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _merchant(rows: list[Columns]) -> Row | None:
    names = (
        *("id", "version", "name", "email", "email_digest", "password_hash", "webhook_url", "token_version"),
        *("created_at", "updated_at"),
    )
    return _named(names, rows)[0] if rows else None
