"""The demo's end: whether our books are the processor's, and whether the shop was told everything in order."""

from __future__ import annotations

from payloops.cli.demo_shop import DemoFailed, Shop


async def compare_ledgers(shop: Shop) -> None:
    """What we say was taken and given back, beside what the processor says. Raises DemoFailed where they differ."""
    shop.story.chapter("Our books beside the processor's")
    answer = await shop.browser.get(f"{shop.sandbox_url}/_sandbox/ledger", params={"account": shop.stripe_account})
    taken: dict[str, list[int]] = {}
    for payment in answer.json()["payments"]:
        sums = taken.setdefault(payment["metadata"].get("order_id", ""), [0, 0])
        sums[0] += payment["amountCaptured"]
        sums[1] += payment["amountRefunded"]
    rows = []
    for what, order_id in shop.orders:
        order = await shop.quiet.orders.get(order_id)
        captured, refunded = taken.get(order_id, [0, 0])
        ours = f"captured {order.amount_captured}, refunded {order.amount_refunded}"
        rows.append((what, ours, f"captured {captured}, refunded {refunded}"))
    shop.story.ledgers(rows)
    if any(ours != theirs for _, ours, theirs in rows):
        raise DemoFailed("the two ledgers differ")
    shop.story.good(f"{len(rows)} orders, the same amounts on both sides")


def told(shop: Shop) -> None:
    """All webhooks were signed, and each order's came in order. Raises DemoFailed."""
    receiver = shop.receiver
    for events in receiver.orders.values():
        if [event.sequence for event in events] != list(range(1, len(events) + 1)):
            raise DemoFailed(f"webhooks came out of order: {[event.sequence for event in events]}")
    if receiver.refused:
        raise DemoFailed(f"{receiver.refused} webhooks had no good signature")
    count = sum(len(events) for events in receiver.orders.values())
    shop.story.good(f"{count} webhooks received, every signature good, each order's in order and without a gap")
