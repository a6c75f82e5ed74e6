"""``GET /api/dashboard/export``: a merchant's orders or transactions as a file for spreadsheets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from payloops.http.message import Reply, Request, StreamReply
from payloops.http.openapi.operation import FROM, TO, Media, Operation, choice, documented
from payloops.http.query import Query, refusal
from payloops.http.services import Services

FORMATS: Final = frozenset({"csv"})
TYPES: Final = frozenset({"orders", "transactions"})
_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)


@documented(
    Operation(
        summary="Save orders or transactions as a file",
        answers={200: Media("text/csv", "A line of names, then a line for each, newest first.")},
        query=(
            *(FROM, TO),
            choice("format", FORMATS, "The kind of the file."),
            choice("type", TYPES, "What is saved; orders, if nothing is named."),
        ),
        errors=("rate_limited",),
    )
)
async def export(request: Request, services: Services) -> Reply:
    """``GET /api/dashboard/export``, what was created between ``from`` and ``to``, newest first."""
    query = Query(request)
    query.choice("format", FORMATS)
    kind = query.choice("type", TYPES) or "orders"
    now = services.clock.now()
    begin, end = query.moment("from") or _BEGINNING, query.moment("to") or now
    if begin >= end:
        raise refusal("from", "must be before to")
    key = await services.personal.key_for(request.caller.merchant_id)
    chunks = services.analytics.exports.csv(key, "orders" if kind == "orders" else "transactions", begin, end)
    # Up to here it begins: a refusal is still answered as such.
    await anext(chunks)
    name = f"{kind}-{now:%Y-%m-%d}.csv"
    disposition = f'Content-Disposition: attachment; filename="{name}"\r\n'.encode()
    return StreamReply(chunks, "text/csv; charset=utf-8; header=present", disposition)
