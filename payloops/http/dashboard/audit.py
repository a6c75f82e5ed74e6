"""``GET /api/audit``: who did what in a merchant's account, secrets and personal data masked."""

from __future__ import annotations

import orjson

from payloops.http.answers.orders import AuditPage
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import CURSOR, FROM, LIMIT, TO, Operation, documented, identifier, text
from payloops.http.query import Query, number_cursor_of
from payloops.http.services import Services
from payloops.projections.audit import wire_entry
from payloops.projections.audit_log import AuditFilter


@documented(
    Operation(
        summary="Read the audit trail",
        answers={200: AuditPage},
        query=(
            *(LIMIT, CURSOR, FROM, TO),
            text("type", "Only entries of this type."),
            text("actor", "Only what this actor did."),
            identifier("orderId", "Only entries of this order."),
            text("correlationId", "Only entries of this request."),
        ),
    )
)
async def list_entries(request: Request, services: Services) -> Reply:
    """``GET /api/audit``, newest first."""
    query = Query(request)
    wanted = AuditFilter(
        type=query.text("type"),
        actor=query.text("actor"),
        order_id=query.identifier("orderId"),
        correlation_id=query.text("correlationId"),
        recorded_from=query.moment("from"),
        recorded_to=query.moment("to"),
    )
    entries, more = await services.analytics.audit.page(
        request.caller.merchant_id, wanted, query.number_cursor(), query.limit()
    )
    page = {
        "data": [wire_entry(entry) for entry in entries],
        "hasMore": more,
        "nextCursor": number_cursor_of(entries[-1].position) if more else None,
    }
    return Reply(200, orjson.dumps(page))
