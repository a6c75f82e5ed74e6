"""Orders, by API key (``/v1/orders``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payloops.client.calls import by_cursor
from payloops.client.core.call import Call, Pages, fields, read, write
from payloops.client.models.orders import (
    AuditEntry,
    AuditPage,
    CaptureMethod,
    ListedRefund,
    Order,
    OrderPage,
    OrderStatus,
    Payment,
    PaymentMethodType,
    Processor,
    Refund,
    Transaction,
)


def create(
    amount: int,
    *,
    currency: str | None = None,
    external_id: str | None = None,
    customer_id: str | None = None,
    customer_email: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    return_url: str | None = None,
    cancel_url: str | None = None,
    capture_method: CaptureMethod | None = None,
    idempotency_key: str | None = None,
) -> Call[Order]:
    """Create an order over ``amount`` minor units (of USD, unless another currency is named).

    ``capture_method="manual"`` holds the money at payment until ``capture`` takes it.
    """
    body = fields(
        amount=amount,
        currency=currency,
        external_id=external_id,
        customer_id=customer_id,
        customer_email=customer_email,
        description=description,
        metadata=None if metadata is None else dict(metadata),
        return_url=return_url,
        cancel_url=cancel_url,
        capture_method=capture_method,
    )
    return write("POST", "/v1/orders", Order, body=body, idempotency_key=idempotency_key)


def get(order_id: str) -> Call[Order]:
    """Read an order. Raises NotFound."""
    return read("/v1/orders/{id}", Order, id=order_id)


def list_orders(
    *,
    status: OrderStatus | None = None,
    external_id: str | None = None,
    customer_id: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Pages[Order, OrderPage]:
    """Orders, newest first, made from ``created_from`` (inclusive) to ``created_to`` (exclusive).

    ``limit`` is how many come with a page (at most 100), not how many there are in all.
    """
    query = {
        "status": status,
        "external_id": external_id,
        "customer_id": customer_id,
        "created_from": created_from,
        "created_to": created_to,
        "limit": limit,
        "cursor": cursor,
    }
    return Pages(read("/v1/orders", OrderPage, query), lambda page: page.data, by_cursor)


def pay(
    order_id: str,
    *,
    token: str | None = None,
    method: PaymentMethodType | None = None,
    processor: Processor | None = None,
    wait: int | None = None,
    if_match: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Payment]:
    """Pay a pending order, or a failed one with another ``token``; a token is the processor's, never a card's number.

    ``wait``: answer when the outcome is known, or so many seconds (0 to 30) have passed. Raises InvalidRequest
    (``invalid_status``, ``no_processor``, ``invalid_processor``), Conflict (``version_conflict``, with ``if_match``).
    """
    named = method or ("card" if token is not None else None)
    body = fields(processor=processor, payment_method=None if named is None else fields(type=named, token=token))
    return act(
        Payment, "/v1/orders/{id}/pay", order_id, body, wait=wait, if_match=if_match, idempotency_key=idempotency_key
    )


def capture(
    order_id: str,
    *,
    amount: int | None = None,
    wait: int | None = None,
    if_match: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Order]:
    """Take what a manual payment holds, or less of it; the rest is released. Raises InvalidRequest, Conflict."""
    return act(
        Order,
        "/v1/orders/{id}/capture",
        order_id,
        fields(amount=amount),
        wait=wait,
        if_match=if_match,
        idempotency_key=idempotency_key,
    )


def cancel(
    order_id: str,
    *,
    reason: str | None = None,
    wait: int | None = None,
    if_match: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Order]:
    """Cancel an order that has no money yet; what is held is released. Raises InvalidRequest, Conflict."""
    return act(
        Order,
        "/v1/orders/{id}/cancel",
        order_id,
        fields(reason=reason),
        wait=wait,
        if_match=if_match,
        idempotency_key=idempotency_key,
    )


def refund(
    order_id: str,
    *,
    amount: int | None = None,
    reason: str | None = None,
    wait: int | None = None,
    if_match: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Refund]:
    """Give back ``amount``, or all that is left. Raises InvalidRequest (``refund_exceeds_captured``), Conflict."""
    return act(
        Refund,
        "/v1/orders/{id}/refund",
        order_id,
        fields(amount=amount, reason=reason),
        wait=wait,
        if_match=if_match,
        idempotency_key=idempotency_key,
    )


def refunds(order_id: str) -> Call[list[ListedRefund]]:
    """An order's refunds, newest first. Raises NotFound."""
    return read("/v1/orders/{id}/refunds", list[ListedRefund], id=order_id)


def transactions(order_id: str) -> Call[list[Transaction]]:
    """What moved an order's money, newest first. Raises NotFound."""
    return read("/v1/orders/{id}/transactions", list[Transaction], id=order_id)


def events(order_id: str, *, limit: int | None = None, cursor: str | None = None) -> Pages[AuditEntry, AuditPage]:
    """An order's audit trail, newest first: who did what, when. Raises NotFound."""
    return events_at("/v1/orders/{id}/events", order_id, limit, cursor)


# The same under another path, for the dashboard.


def act(answer: Any, route: str, order_id: str, body: Mapping[str, Any], **options: Any) -> Call[Any]:
    """A write on an order; options are ``wait``, ``if_match``, ``idempotency_key``."""
    return write("POST", route, answer, body=dict(body), id=order_id, **options)


def events_at(route: str, order_id: str, limit: int | None, cursor: str | None) -> Pages[AuditEntry, AuditPage]:
    """``events`` at that route."""
    first = read(route, AuditPage, {"limit": limit, "cursor": cursor}, id=order_id)
    return Pages(first, lambda page: page.data, by_cursor)
