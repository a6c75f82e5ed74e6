"""``GET /api/orders/:id``: the order as under /v1, and beside it all that a support person needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from payloops.events.order_state import Dispute, Sync, attempt_of
from payloops.http.answers.order_detail import OrderDetail as OrderDetailAnswer
from payloops.http.message import Reply, Request, etag
from payloops.http.openapi.operation import Operation, documented
from payloops.http.query import path_id
from payloops.http.services import Services
from payloops.projections.order_attempts import PaymentAttempt
from payloops.projections.order_detail import LISTED_MAX, OrderDetail, Part, undecided_workflows
from payloops.projections.order_wire import wire_order
from payloops.values import iso


@documented(
    Operation(
        summary="Read an order with all that belongs to it",
        description="Each list is bounded; its `…HasMore` tells whether there is more.",
        answers={200: OrderDetailAnswer},
        tagged=True,
    )
)
async def get_order(request: Request, services: Services) -> Reply:
    """``GET /api/orders/:id``."""
    merchant_id = request.caller.merchant_id
    detail = await services.analytics.order_details.of_order(merchant_id, path_id(request))
    key = await services.personal.key_for(merchant_id)
    next_ask = detail.next_ask or await services.next_wake(undecided_workflows(detail.state))
    body = {**wire_order(detail.row, key), **_beside(detail), "nextAsk": _time(next_ask)}
    return Reply(200, orjson.dumps(body), etag(detail.row["version"]))


def _beside(detail: OrderDetail) -> dict[str, Any]:
    facts, current = detail.state.facts, attempt_of(detail.state)
    lists = {
        "attempts": _first([_attempt(one) for one in detail.attempts]),
        "refunds": detail.refunds,
        "transactions": detail.transactions,
        "disputes": _first([_dispute(one) for one in detail.disputes]),
        "deliveries": detail.deliveries,
    }
    return {
        **{name: part.items for name, part in lists.items()},
        **{f"{name}HasMore": part.more for name, part in lists.items()},
        "checkoutSessionId": facts.checkout_session_id,
        "workflowId": None if current is None else current.workflow_id,
        "lastSync": None if facts.sync is None else _sync(facts.sync),
    }


def _first(items: list[Any]) -> Part:
    return Part(items[:LISTED_MAX], len(items) > LISTED_MAX)


def _attempt(one: PaymentAttempt) -> dict[str, Any]:
    return {
        "number": one.number,
        "processor": one.processor,
        "processorOrderId": one.processor_order_id,
        "processorTransactionId": one.processor_transaction_id,
        "paymentMethodType": one.payment_method_type,
        "status": one.status,
        "failure": _failure(one),
        "outcomeUnknown": one.outcome_unknown,
        "surplus": one.surplus,
        "workflowId": one.workflow_id,
        "startedAt": _time(one.started_at),
        "finishedAt": _time(one.finished_at),
    }


def _failure(one: PaymentAttempt) -> Mapping[str, Any] | None:
    failed = one.failure
    if failed is None:
        return None
    return {
        "code": failed.code,
        "declineCode": failed.decline_code,
        "message": failed.message,
        "processor": one.processor,
    }


def _dispute(one: Dispute) -> dict[str, Any]:
    return {
        "id": one.dispute_id,
        "processorDisputeId": one.processor_dispute_id,
        "amount": one.amount,
        "status": one.status,
        "reason": one.reason,
        "createdAt": iso(one.created_at),
        "updatedAt": iso(one.updated_at),
    }


def _sync(last: Sync) -> dict[str, Any]:
    return {
        "requestedAt": iso(last.requested_at),
        "finished": last.answers is not None,
        "asked": last.answers or (),
        "changed": last.changed,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
