"""The dashboard's lists of orders: by page or by cursor, filtered or searched, with an exact total.

No request counts what it does not show: order_stats knows how many orders of each status a quarter hour or a day has.
So a total is a sum of these, and a page far back is walked to from the quarter hour in which it begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.projections.base import Row
from payloops.projections.order_stats import EPOCH, STATUSES, bucket_from, bucket_of, whole_days
from payloops.projections.reading import Columns, fetch
from payloops.projections.views import OrderFilter, OrderPlace, as_uuid, contains_pattern, order_row

SEARCHED_MAX: Final = 2_000
"""Of the range's newest orders, per mode, whose texts are looked through for a part of one."""
HITS_MAX: Final = 1_000
"""Orders of one customer, or of one e-mail address, that a search finds."""

_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)
_LAST_ID: Final = UUID(int=2**128 - 1)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Search:
    """A text that was typed. ``email_digest`` is that of the customer's address that it may be."""

    text: str
    email_digest: str | None = None


@dataclass(frozen=True, slots=True)
class OrderPage:
    """``total`` is how many match in all; None for a page by cursor. ``last`` is the place of its last order."""

    rows: list[Row]
    total: int | None
    last: OrderPlace | None
    more: bool


class OrderLists:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def numbered(self, merchant_id: UUID, wanted: OrderFilter, *, offset: int, limit: int) -> OrderPage:
        """Orders newest first, of both modes, without the first ``offset`` of them."""
        begin, end = _range(wanted)
        parameters = {
            "merchant": merchant_id,
            "status": wanted.status,
            "created_from": begin,
            "created_to": end,
            "offset": offset,
            "limit": limit,
            **_parts(begin, end),
        }
        return _counted(await fetch(self._database, _compose("numbered", wanted.status), parameters), offset)

    async def after(self, merchant_id: UUID, wanted: OrderFilter, place: OrderPlace, *, limit: int) -> OrderPage:
        """The orders that follow a place."""
        begin, end = _range(wanted)
        parameters = {
            "merchant": merchant_id,
            "status": wanted.status,
            "created_from": begin,
            # Said in two ways: of a place alone, the index does not always know where to begin.
            "created_to": min(end, _before(place)["before_time"] + _MILLISECOND),
            "limit": limit,
            **_before(place),
        }
        found = await fetch(self._database, _compose("after", wanted.status), parameters)
        shown = found[:limit]
        return OrderPage(_rows(shown), None, _last(shown), len(found) > limit)

    async def found(
        self,
        merchant_id: UUID,
        wanted: OrderFilter,
        search: Search,
        *,
        place: OrderPlace | None = None,
        offset: int = 0,
        limit: int,
    ) -> OrderPage:
        """Orders that match a text, newest first; those after a place, or without the first ``offset`` of them."""
        begin, end = _range(wanted)
        parameters = {
            "merchant": merchant_id,
            "status": wanted.status,
            "created_from": begin,
            "created_to": end,
            "text": search.text,
            "pattern": contains_pattern(search.text),
            "id": as_uuid(search.text),
            "digest": search.email_digest,
            "searched": SEARCHED_MAX,
            "hits": HITS_MAX,
            "offset": offset,
            "limit": limit,
            **_before(place),
        }
        page = _counted(await fetch(self._database, _compose("found", wanted.status), parameters), offset)
        return page if place is None else replace(page, total=None)


def _range(wanted: OrderFilter) -> tuple[datetime, datetime]:
    """The range of the filter, within what times can be counted with."""
    return min(wanted.created_from or _BEGINNING, _END), min(wanted.created_to or _END, _END)


def _before(place: OrderPlace | None) -> dict[str, Any]:
    if place is None:
        return {"before_time": _END, "before_id": _LAST_ID}
    before = min(EPOCH + timedelta(milliseconds=place.created_at_ms), _END)
    return {"before_time": before, "before_id": place.order_id}


def _parts(begin: datetime, end: datetime) -> dict[str, Any]:
    """The whole days of a range, the whole quarter hours beside them, and what is left of it at its ends."""
    first, last = bucket_from(begin), bucket_of(end)
    edges = [(begin, first), (last, end)]
    if first > last:
        first, last, edges = end, end, [(begin, end)]
    edges = [edge for edge in edges if edge[0] < edge[1]]
    days_from, days_to = whole_days(first, last)
    return {
        "quarters_from": first,
        "days_from": days_from,
        "days_to": days_to,
        "quarters_to": last,
        "edges_from": [edge[0] for edge in edges],
        "edges_to": [edge[1] for edge in edges],
    }


def _counted(found: list[Columns], offset: int) -> OrderPage:
    """The page, of which each row tells the total; a lone one without an order tells only that."""
    shown = [columns for columns in found if columns[1] is not None]
    total = int(found[0][0])
    return OrderPage(_rows(shown), total, _last(shown), bool(shown) and offset + len(shown) < total)


def _rows(shown: list[Columns]) -> list[Row]:
    return [order_row(columns[1:-1]) for columns in shown]


def _last(shown: list[Columns]) -> OrderPlace | None:
    return OrderPlace(shown[-1][-1], UUID(shown[-1][1])) if shown else None


@cache
def _compose(block: str, status: str | None) -> str:
    """The query. A status is one of STATUSES: the name of its column."""
    blocks = load_sql("payloops.projections", "order_lists")
    counted = [name for name in STATUSES if status in {None, name}]
    return (
        blocks[block]
        .replace("{columns}", load_sql("payloops.projections", "views")["order_columns"])
        .replace("{count}", " + ".join(counted))
        .replace("{filter}", "" if status is None else "AND w.status = %(status)s")
    )
