"""What the dashboard shows of orders, by token: lists, details, actions, numbers, the audit trail, the feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from payloops.client.calls import by_cursor, orders
from payloops.client.core.call import Call, Pages, fields, read
from payloops.client.models.analytics import Stats, TimelineEntry
from payloops.client.models.order_detail import OrderDetail, SyncedOrder
from payloops.client.models.orders import AuditEntry, AuditPage, NumberedOrders, Order, OrderStatus, Refund
from payloops.client.models.webhooks import EventFeed, EventType, FeedEvent

FEED: Final = "/api/events"


def list_orders(
    *,
    q: str | None = None,
    status: OrderStatus | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    limit: int | None = None,
    page: int | None = None,
    cursor: str | None = None,
) -> Pages[Order, NumberedOrders]:
    """Orders, newest first. ``q``: an id, an e-mail address, or a part of what names the newest orders.

    ``first_page().pagination`` says how many there are in all.
    """
    query = {"q": q, "status": status, "from": from_, "to": to, "limit": limit, "page": page, "cursor": cursor}
    return Pages(read("/api/orders", NumberedOrders, query), lambda page: page.data, by_cursor)


def get_order(order_id: str) -> Call[OrderDetail]:
    """Read an order with its attempts, refunds, transactions, disputes and deliveries. Raises NotFound."""
    return read("/api/orders/{id}", OrderDetail, id=order_id)


def capture(
    order_id: str,
    *,
    amount: int | None = None,
    wait: int | None = None,
    if_match: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Order]:
    """As with an API key, with the user as the actor."""
    return orders.act(
        Order,
        "/api/orders/{id}/capture",
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
    """As with an API key, with the user as the actor."""
    return orders.act(
        Order,
        "/api/orders/{id}/cancel",
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
    """As with an API key, with the user as the actor."""
    return orders.act(
        Refund,
        "/api/orders/{id}/refund",
        order_id,
        fields(amount=amount, reason=reason),
        wait=wait,
        if_match=if_match,
        idempotency_key=idempotency_key,
    )


def sync(
    order_id: str, *, wait: int | None = None, if_match: int | None = None, idempotency_key: str | None = None
) -> Call[SyncedOrder]:
    """Have the processor asked now about the order's payments, refunds and disputes, and record what it tells.

    Raises NotFound, InvalidRequest (``invalid_status``: there is nothing to ask about), Conflict.
    """
    route = "/api/orders/{id}/sync"
    return orders.act(SyncedOrder, route, order_id, {}, wait=wait, if_match=if_match, idempotency_key=idempotency_key)


def events(order_id: str, *, limit: int | None = None, cursor: str | None = None) -> Pages[AuditEntry, AuditPage]:
    """An order's audit trail, newest first. Raises NotFound."""
    return orders.events_at("/api/orders/{id}/events", order_id, limit, cursor)


def timeline(order_id: str) -> Call[list[TimelineEntry]]:
    """All that happened to an order, oldest first: events, processors, deliveries, attempts. Raises NotFound."""
    return read("/api/orders/{id}/timeline", list[TimelineEntry], id=order_id)


def stats(
    *,
    from_: datetime | None = None,
    to: datetime | None = None,
    currency: str | None = None,
    tz: str | None = None,
    mode: Literal["test", "live"] | None = None,
) -> Call[Stats]:
    """The numbers of a time (the last thirty days) in one currency (the one with the most orders)."""
    query = {"from": from_, "to": to, "currency": currency, "tz": tz, "mode": mode}
    return read("/api/dashboard/stats", Stats, query)


def audit(
    *,
    type: str | None = None,  # noqa: A002 - the field's name
    actor: str | None = None,
    order_id: str | None = None,
    correlation_id: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Pages[AuditEntry, AuditPage]:
    """Who did what in the account, newest first. ``actor`` is an id."""
    query = {
        "type": type,
        "actor": actor,
        "order_id": order_id,
        "correlation_id": correlation_id,
        "from": from_,
        "to": to,
        "limit": limit,
        "cursor": cursor,
    }
    return Pages(read("/api/audit", AuditPage, query), lambda page: page.data, by_cursor)


def list_events(
    *,
    after: int | Literal["latest"] | None = None,
    types: Sequence[EventType] | None = None,
    limit: int | None = None,
) -> Pages[FeedEvent, EventFeed]:
    """Public events after that position, oldest first, to the end that there is now.

    Types are names or groups (``payment.*``). To go on later, keep the ``position`` of the last event.
    """
    return Pages(feed(after, types, limit), lambda page: page.data, _by_position)


def feed(
    after: int | Literal["latest"] | None, types: Sequence[EventType] | None, limit: int | None
) -> Call[EventFeed]:
    """One page of the feed; its path and query are the stream's, too."""
    if isinstance(types, str):
        raise TypeError("types is a list of names")
    return read(FEED, EventFeed, {"after": after, "types": types, "limit": limit})


def _by_position(page: EventFeed) -> Mapping[str, str] | None:
    return {"after": str(page.next_after)} if page.has_more else None
