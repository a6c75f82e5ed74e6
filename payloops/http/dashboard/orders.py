"""Orders as the dashboard lists them: pages by number, with a total."""

from __future__ import annotations

from typing import Any, Final

import orjson

from payloops.http.answers.orders import NumberedOrders
from payloops.http.customer_email import email_digest
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import (
    CURSOR,
    FROM,
    LIMIT,
    ORDER_STATUS,
    PAGE,
    TO,
    Operation,
    documented,
    text,
)
from payloops.http.query import PAGE_MAX, Query, order_cursor_of, refusal
from payloops.http.services import Services
from payloops.projections.order_lists import Search
from payloops.projections.order_wire import wire_order
from payloops.projections.personal_data import MerchantKey
from payloops.projections.views import OrderFilter

OFFSET_MAX: Final = 1_000_000
"""Orders before a page that is asked for by its number. What follows has its place told by a cursor."""


@documented(
    Operation(
        summary="List orders by page",
        description=f"A page behind more than {OFFSET_MAX:,} orders is refused: follow ``nextCursor`` with ``cursor``.",
        answers={200: NumberedOrders},
        query=(
            *(PAGE, LIMIT, CURSOR, ORDER_STATUS, FROM, TO),
            text(
                "q",
                "An id, a customer's e-mail, or a part of the newest orders' external id, customer id, description.",
            ),
        ),
    )
)
async def list_orders(request: Request, services: Services) -> Reply:
    """``GET /api/orders``."""
    query = Query(request)
    page, limit = query.whole("page", 1, PAGE_MAX, 1), query.limit()
    wanted = OrderFilter(status=query.status(), created_from=query.moment("from"), created_to=query.moment("to"))
    after, typed = query.order_cursor(), query.text("q")
    key = await services.personal.key_for(request.caller.merchant_id)
    lists, merchant_id, offset = services.analytics.order_lists, request.caller.merchant_id, (page - 1) * limit
    if after is None and offset > OFFSET_MAX:
        raise refusal("page", f"lies behind {OFFSET_MAX:,} orders; follow nextCursor with cursor, or narrow the range")
    if typed is not None:
        # A cursor is a place by itself.
        passed = offset if after is None else 0
        search = _search(key, typed)
        found = await lists.found(merchant_id, wanted, search, place=after, offset=passed, limit=limit)
    elif after is not None:
        found = await lists.after(merchant_id, wanted, after, limit=limit)
    else:
        found = await lists.numbered(merchant_id, wanted, offset=offset, limit=limit)
    total = found.total
    body: dict[str, Any] = {
        "data": [wire_order(row, key) for row in found.rows],
        "pagination": (
            None if total is None else {"page": page, "limit": limit, "total": total, "totalPages": -(-total // limit)}
        ),
        "hasMore": found.more,
        "nextCursor": order_cursor_of(found.last) if found.more and found.last is not None else None,
    }
    return Reply(200, orjson.dumps(body))


def _search(key: MerchantKey, typed: str) -> Search:
    text = typed.strip()
    return Search(text, email_digest(key, text) if "@" in text else None)
