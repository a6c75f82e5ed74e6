"""Orders as the dashboard lists them: pages by number, with a total."""

from __future__ import annotations

import orjson

from payloops.http.message import Reply, Request
from payloops.http.query import PAGE_MAX, Query
from payloops.http.services import Services
from payloops.projections.order_wire import wire_order
from payloops.projections.views import OrderFilter


async def list_orders(request: Request, services: Services) -> Reply:
    """``GET /api/orders``."""
    query = Query(request)
    page, limit = query.whole("page", 1, PAGE_MAX, 1), query.limit()
    wanted = OrderFilter(status=query.status(), created_from=query.moment("from"), created_to=query.moment("to"))
    rows, total = await services.views.orders_numbered(
        request.caller.merchant_id, wanted, query.text("q"), page=page, limit=limit
    )
    key = await services.personal.key_for(request.caller.merchant_id)
    body = {
        "data": [wire_order(row, key) for row in rows],
        "pagination": {"page": page, "limit": limit, "total": total, "totalPages": -(-total // limit)},
    }
    return Reply(200, orjson.dumps(body))
