"""The demo's chapters: what a merchant's server does with orders."""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from payloops.cli.demo_shop import DemoFailed, Shop
from payloops.client import InvalidRequest

_FIELD: Final = re.compile(r'name="([^"]+)" value="([^"]*)"')


async def take_payment(shop: Shop) -> None:
    """A card that simply works."""
    shop.story.chapter("A payment")
    order_id = await shop.order("a payment", 2599, currency="USD", description="Two tickets")
    await shop.pay(order_id, "pm_card_visa")
    order = await shop.until(order_id, "captured")
    await shop.timeline(order_id)
    await shop.webhooks(order_id, "captured")
    shop.story.good(f"captured {order.amount_captured} {order.currency} (minor units)")


async def declined_payment(shop: Shop) -> None:
    """A card without the money, then another one."""
    shop.story.chapter("A declined payment, and a second try with another card")
    order_id = await shop.order("declined, then paid", 4200, currency="EUR")
    await shop.pay(order_id, "pm_card_visa_chargeDeclinedInsufficientFunds")
    failure = (await shop.until(order_id, "failed")).failure
    if failure is None:
        raise DemoFailed(f"order {order_id} failed and does not say why")
    shop.story.good(f"failed: {failure.code} / {failure.decline_code}: {failure.message}")
    await shop.pay(order_id, "pm_card_visa")
    await shop.until(order_id, "captured")
    await shop.timeline(order_id)
    await shop.webhooks(order_id, "captured")


async def three_d_secure(shop: Shop) -> None:
    """A card whose bank wants to see the customer."""
    shop.story.chapter("A payment with 3-D Secure")
    order_id = await shop.order("3-D Secure", 9900, currency="GBP", return_url="https://shop.example/thanks")
    paid = await shop.pay(order_id, "pm_card_authenticationRequired")
    action = (await shop.until(order_id, "requires_action")).next_action
    page_url = paid.redirect_url or (action and action.redirect_url)
    if not page_url:
        raise DemoFailed(f"order {order_id} asks for the customer and does not say where")
    shop.story.say("The customer is sent to the bank's page, and answers it:")
    await _customer_authenticates(shop, page_url)
    began = time.monotonic()
    await shop.until(order_id, "captured")
    took_ms = (time.monotonic() - began) * 1000
    shop.story.say(
        f"Stripe's signed webhook told us of it {took_ms:.0f} ms later; had it been lost, we would have asked."
    )
    await shop.timeline(order_id)
    await shop.webhooks(order_id, "captured")


async def _customer_authenticates(shop: Shop, page_url: str) -> None:
    """The customer opens the bank's page and presses its button, as a browser would."""
    where = f"(bank's page) {urlsplit(page_url).path}"
    shop.story.call("GET", where, None)
    question = (await shop.browser.get(page_url)).text
    form = dict(_FIELD.findall(question)) | {"result": "succeed"}
    shop.story.call("POST", where, {"result": "succeed"})
    response = await shop.browser.post(page_url, data=form)
    if response.status_code != HTTPStatus.SEE_OTHER:
        raise DemoFailed(f"the bank's page answered {response.status_code}: {response.text}")
    shop.story.say(f"and is sent back to {response.headers.get('Location', '').partition('?')[0]}")


async def manual_capture(shop: Shop) -> None:
    """Hold now, take a part later, release the rest; and one that is voided."""
    shop.story.chapter("Authorize now, capture less later; and one that is cancelled")
    order_id = await shop.order("authorized, captured in part", 10000, currency="USD", capture_method="manual")
    await shop.pay(order_id, "pm_card_visa")
    await shop.until(order_id, "authorized")
    await shop.client.orders.capture(order_id, amount=8000)
    await shop.until(order_id, "captured")
    await shop.timeline(order_id)
    await shop.webhooks(order_id, "captured")
    voided = await shop.order("authorized, cancelled", 5000, currency="USD", capture_method="manual")
    await shop.pay(voided, "pm_card_visa")
    await shop.until(voided, "authorized")
    await shop.client.orders.cancel(voided, reason="out of stock")
    await shop.until(voided, "cancelled")
    await shop.timeline(voided)
    await shop.webhooks(voided, "cancelled")


async def refunds(shop: Shop) -> None:
    """A part goes back, then the rest, and not a cent more."""
    shop.story.chapter("A partial refund, then the rest, then one too many")
    order_id = await shop.order("refunded in two steps", 3000, currency="JPY")
    await shop.pay(order_id, "pm_card_visa")
    await shop.until(order_id, "captured")
    await shop.client.orders.refund(order_id, amount=1200, reason="one came back")
    await shop.until(order_id, "partially_refunded")
    await shop.client.orders.refund(order_id)
    await shop.until(order_id, "refunded")
    try:
        await shop.client.orders.refund(order_id, amount=1)
    except InvalidRequest as refused:
        if refused.code != "refund_exceeds_captured":
            raise
    else:
        raise DemoFailed(f"more than all of order {order_id} could be refunded")
    await shop.timeline(order_id)
    await shop.webhooks(order_id, "refunded")


CHAPTERS: Final = (take_payment, declined_payment, three_d_secure, manual_capture, refunds)
