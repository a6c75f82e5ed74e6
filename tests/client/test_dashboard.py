"""What a person does at the dashboard, by both clients, on the real service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payloops.client import AuthenticationFailed, InvalidRequest, NotFound, PermissionDenied
from payloops.client.webhooks import verify
from tests.checkout.world import Shop
from tests.client.both import Both
from tests.deliveries.receiver import Received, receiving
from tests.integration.http.world import PASSWORD
from tests.workflows.world import eventually

WAIT = 30
WAIT_S = 60.0


async def order_of(both: Both, shop: Shop, amount: int = 2599, **options: Any) -> Any:
    client = both.payloops(shop.merchant.api_key, base_url=shop.base_url)
    order = await both.do(client.orders.create, amount, **options)
    await both.do(client.orders.pay, order.id, token="pm_card_visa", wait=WAIT)
    return order


async def test_signing_in_and_out(both: Both, shop: Shop) -> None:
    account = {"email": f"{both.kind}@shop.example", "password": "correct horse"}
    made = await both.signed_in("register", name="A shop", base_url=shop.base_url, **account)
    assert (await both.do(made.me.get)).email == account["email"]
    with pytest.raises(InvalidRequest) as raised:
        await both.signed_in("register", name="A shop", base_url=shop.base_url, **account)
    assert raised.value.code == "email_exists"
    again = await both.signed_in("login", base_url=shop.base_url, **account)
    before = again.token
    await both.do(again.change_password, current_password="correct horse", new_password="battery staple")
    assert again.token != before
    assert (await both.do(again.me.get)).name == "A shop"
    with pytest.raises(AuthenticationFailed):
        await both.do(made.me.get)
    with pytest.raises(AuthenticationFailed) as refused:
        await both.signed_in("login", base_url=shop.base_url, **account)
    assert refused.value.code == "invalid_credentials"
    await both.do(again.logout)
    with pytest.raises(AuthenticationFailed):
        await both.do(again.me.get)


async def test_a_token_is_kept_and_used_later(both: Both, shop: Shop) -> None:
    first = await both.signed_in("login", email=shop.merchant.email, password=PASSWORD, base_url=shop.base_url)
    later = both.dashboard(first.token, base_url=shop.base_url)
    assert (await both.do(later.me.get)).id == str(shop.merchant.id)


async def test_the_profile(both: Both, dashboard: Any) -> None:
    changed = await both.do(dashboard.me.update, name="Another shop")
    assert (changed.name, changed.webhook_url) == ("Another shop", None)
    url = "https://hooks.example/x"
    assert (await both.do(dashboard.me.update, webhook_url=url)).webhook_url == url
    assert (await both.do(dashboard.me.update, name="Third")).webhook_url == url
    rotated = await both.do(dashboard.me.rotate_webhook_secret)
    assert rotated.secret.startswith("whsec_")
    assert rotated.secret not in repr(rotated)
    assert (await both.do(dashboard.me.update, webhook_url=None)).webhook_url is None


async def test_api_keys(both: Both, dashboard: Any, shop: Shop) -> None:
    made = await both.do(
        dashboard.api_keys.create,
        "reader",
        scopes=["orders:read"],
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    assert made.secret.startswith("sk_test_")
    assert made.secret not in repr(made)
    reader = both.payloops(made.secret, base_url=shop.base_url)
    assert await both.items(reader.orders.list()) == []
    with pytest.raises(PermissionDenied):
        await both.do(reader.orders.create, 5)
    rolled = await both.do(dashboard.api_keys.roll, made.api_key.id, overlap_seconds=60)
    assert await both.items(both.payloops(rolled.secret, base_url=shop.base_url).orders.list()) == []
    await both.do(dashboard.api_keys.revoke, rolled.api_key.id)
    listed = {key.id: key for key in await both.do(dashboard.api_keys.list)}
    assert listed[rolled.api_key.id].revoked_at is not None
    assert listed[rolled.api_key.id].scopes == ["orders:read"]


async def test_processors(both: Both, dashboard: Any) -> None:
    secret = "sk_test_of_the_processor"
    made = await both.do(dashboard.processors.configure_stripe, secret_key=secret, priority=7, webhook_secret="whsec_x")
    assert (made.processor, made.priority, made.enabled, made.test_mode) == ("stripe", 7, True, True)
    assert made.webhook.status == "configured"
    made = await both.do(dashboard.processors.configure_razorpay, key_id="rzp_test_1", key_secret="s", enabled=False)
    assert (made.processor, made.enabled) == ("razorpay", False)
    changed = await both.do(dashboard.processors.change, "razorpay", enabled=True, priority=2)
    assert (changed.enabled, changed.priority) == (True, 2)
    await both.do(dashboard.processors.remove, "razorpay")
    assert [one.processor for one in await both.do(dashboard.processors.list)] == ["stripe"]
    with pytest.raises(NotFound):
        await both.do(dashboard.processors.remove, "razorpay")


async def test_orders_and_numbers(both: Both, dashboard: Any, shop: Shop) -> None:
    order = await order_of(both, shop, external_id="cart-9")
    await order_of(both, shop, 401)
    listed = await both.items(dashboard.orders.list(q="cart-9"))
    assert [one.id for one in listed] == [order.id]
    page = await both.do(dashboard.orders.list(limit=1).first_page)
    assert (page.pagination.total, page.pagination.total_pages) == (2, 2)
    assert len(await both.items(dashboard.orders.list(limit=1))) == 2
    assert len(await both.items(dashboard.orders.list(limit=1, page=2))) == 1
    refund = await both.do(dashboard.orders.refund, order.id, amount=99, wait=WAIT)
    assert refund.status == "success"
    detail = await both.do(dashboard.orders.get, order.id)
    assert (detail.amount_refunded, detail.attempts[0].status) == (99, "captured")
    assert [one.amount for one in detail.refunds] == [99]
    synced = await both.do(dashboard.orders.sync, order.id, wait=WAIT)
    assert (synced.order.id, synced.finished) == (order.id, True)
    assert synced.asked
    timeline = await both.do(dashboard.orders.timeline, order.id)
    assert {entry.kind for entry in timeline} >= {"event", "processor"}
    trail = await both.items(dashboard.orders.events(order.id, limit=3))
    assert len(trail) == len({entry.position for entry in trail}) > 3
    actors = {entry.actor.type for entry in await both.items(dashboard.audit(order_id=order.id))}
    assert actors >= {"api_key", "user", "workflow"}
    since = datetime.now(UTC) - timedelta(days=1)
    stats = await both.do(dashboard.stats, from_=since, tz="Asia/Kolkata", currency="usd", mode="test")
    assert (stats.currency, stats.total_volume, stats.refunded_volume) == ("USD", 3000, 99)
    assert sum(day.volume for day in stats.volume_by_day) == 3000


async def test_holding_capturing_and_cancelling(both: Both, dashboard: Any, shop: Shop) -> None:
    held = await order_of(both, shop, capture_method="manual")
    assert (await both.do(dashboard.orders.capture, held.id, amount=2000, wait=WAIT)).amount_captured == 2000
    other = await order_of(both, shop, capture_method="manual")
    assert (await both.do(dashboard.orders.cancel, other.id, wait=WAIT)).status == "cancelled"


async def test_what_processors_sent(both: Both, dashboard: Any) -> None:
    assert await both.items(dashboard.processor_events.list(status="quarantined", processor="stripe")) == []
    for call in (dashboard.processor_events.get, dashboard.processor_events.reprocess):
        with pytest.raises(NotFound):
            await both.do(call, "0198c0de-0000-7000-8000-000000000001")


async def test_webhooks_from_the_endpoint_to_the_verified_event(both: Both, dashboard: Any, shop: Shop) -> None:
    """The service's own signatures, as they arrive, in all their forms."""
    async with receiving() as receiver:
        endpoint = await both.do(
            dashboard.webhook_endpoints.create, receiver.at("hook"), event_types=["payment.captured", "refund.*"]
        )
        assert endpoint.secret not in repr(endpoint)
        order = await order_of(both, shop, external_id="cart-1")
        (captured,) = await receiver.until(1, within_s=WAIT_S)
        event = believed(captured, endpoint.secret)
        assert (event.type, event.order_id, event.status) == ("payment.captured", order.id, "captured")
        assert event.order is not None
        assert (event.order.amount_captured, event.order.external_id) == (2599, "cart-1")
        await both.do(dashboard.orders.refund, order.id, amount=99, wait=WAIT)
        came = await receiver.until(3, within_s=WAIT_S)
        told = [believed(one, endpoint.secret) for one in came[1:]]
        assert [event.type for event in told] == ["refund.pending", "refund.processed"]
        assert told[-1].refund is not None
        assert told[-1].refund["amount"] == 99

        rotated = await both.do(dashboard.webhook_endpoints.rotate_secret, endpoint.id)
        sample = await both.do(dashboard.webhook_endpoints.send_sample, endpoint.id)
        *_, last = await receiver.until(4, within_s=WAIT_S)
        for secret in (rotated.secret, [endpoint.secret, rotated.secret]):
            assert believed(last, secret).type == "webhook.test"
        # Within the overlap the old one holds by the standard's header, which carries both.
        assert verify(last.body, last.headers, endpoint.secret).order is None

        async def recorded() -> bool:
            delivered = await both.items(dashboard.webhook_deliveries.list(endpoint_id=endpoint.id, status="delivered"))
            return sample.id in {each.id for each in delivered}

        # An attempt that is under way is what a retry would make: only after it there is another one.
        await eventually(recorded, "the sample counts as delivered")
        await both.do(dashboard.webhook_deliveries.retry, sample.id)
        await receiver.until(5, within_s=WAIT_S)
        attempts = await both.do(dashboard.webhook_deliveries.attempts, sample.id)
        assert [attempt.status_code for attempt in attempts][-1] == 200
        listed = await both.items(dashboard.webhook_deliveries.list(endpoint_id=endpoint.id, limit=2))
        assert len(listed) == len({one.id for one in listed}) == 4
        now = datetime.now(UTC)
        retried = await both.do(
            dashboard.webhook_deliveries.retry_many, from_=now - timedelta(hours=1), to=now, endpoint_id=endpoint.id
        )
        assert (retried.retried, retried.has_more) == (0, False)
        changed = await both.do(dashboard.webhook_endpoints.change, endpoint.id, event_types=[], enabled=False)
        assert (changed.event_types, changed.enabled) == ([], False)
        (shown,) = (await both.do(dashboard.webhook_endpoints.list)).data
        assert (shown.id, shown.circuit.state) == (endpoint.id, "closed")
        await both.do(dashboard.webhook_endpoints.remove, endpoint.id)
        assert (await both.do(dashboard.webhook_endpoints.list)).data == []


def believed(received: Received, secret: str | list[str]) -> Any:
    """The event, by each form of signature that came."""
    own = {name: value for name, value in received.headers.items() if not name.startswith("webhook-")}
    event = verify(received.body, own, secret)
    assert verify(received.body, received.headers, secret) == event
    return event
