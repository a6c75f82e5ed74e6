"""``GET /api/orders/:id/timeline``: all that happened to an order, in one order."""

from __future__ import annotations

import orjson

from payloops.http.answers.analytics import TimelineEntry
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import Operation, documented
from payloops.http.query import path_id
from payloops.http.services import Services
from payloops.projections.timeline import wire_timeline


@documented(Operation(summary="Read all that happened to an order", answers={200: list[TimelineEntry]}))
async def order_timeline(request: Request, services: Services) -> Reply:
    """``GET /api/orders/:id/timeline``, the oldest first."""
    entries = await services.analytics.timelines.of_order(request.caller.merchant_id, path_id(request))
    return Reply(200, orjson.dumps([wire_timeline(entry) for entry in entries]))
