"""The demo's chapter on the hosted checkout: the customer's browser opens a page of ours and presses its button.

The browser runs no scripts: it sends the page's own form, and goes where the pages lead it.
"""

from __future__ import annotations

import asyncio
import time
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from payloops.cli.demo_shop import OUTCOME_TIMEOUT_S, DemoFailed, Shop
from payloops.client.models import NewLineItem

SUCCESS_URL: Final = "https://shop.example/thanks?session={SESSION_ID}"
CANCEL_URL: Final = "https://shop.example/cart"
_ITEMS: Final[list[NewLineItem]] = [
    {"name": "Shirt", "amount": 1000, "quantity": 2},
    {"name": "Postage", "amount": 599},
]
_AMOUNT: Final = 2599
_SAME_SITE: Final = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says with a form that a page sends to its own site."""


async def hosted_checkout(shop: Shop) -> None:
    """A session, its page, the customer's payment on it, and the shop that is told."""
    story = shop.story
    story.chapter("A hosted checkout: the customer pays on a page of ours")
    session = await shop.client.checkout_sessions.create(
        _AMOUNT,
        currency="USD",
        line_items=_ITEMS,
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
    )
    story.say("The customer is sent there, reads what it costs, and presses Pay:")
    form = await _open(shop, session.url)
    back = await _press(shop, session.url, form)
    if back != SUCCESS_URL.replace("{SESSION_ID}", session.id):
        raise DemoFailed(f"the customer was sent to {back}")
    story.say(f"and is sent back to {back}")
    paid = await shop.client.checkout_sessions.get(session.id)
    if paid.status != "complete" or paid.order_id is None:
        raise DemoFailed(f"checkout session {session.id} is {paid.status}")
    shop.orders.append(("hosted checkout", paid.order_id))
    await shop.timeline(paid.order_id)
    await shop.webhooks(paid.order_id, "captured", "checkout.completed")


class Page(HTMLParser):
    """What a browser without scripts makes of a page: its form, as it would be sent, and where it leads by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.heading = ""
        self.refresh_s: float | None = None
        self.refresh_to: str | None = None
        """None where the page is only loaded again."""
        self._in_form = False
        self._in_heading = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """HTMLParser's."""
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "form" if given.get("method") == "post" and self.action is None:
                self.action, self._in_form = given.get("action", ""), True
            case "input" if self._in_form:
                chosen = given.get("type", "text") not in {"radio", "checkbox"} or "checked" in given
                if chosen and "name" in given:
                    self.fields[given["name"]] = given.get("value", "")
            case "h1":
                self._in_heading = True
            case "meta" if given.get("http-equiv") == "refresh":
                seconds, _, where = given.get("content", "").partition(";")
                self.refresh_s = float(seconds)
                self.refresh_to = where.strip().removeprefix("url=") or None
            case _:
                pass

    def handle_endtag(self, tag: str) -> None:
        """HTMLParser's."""
        self._in_form = self._in_form and tag != "form"
        self._in_heading = self._in_heading and tag != "h1"

    def handle_data(self, data: str) -> None:
        """HTMLParser's."""
        if self._in_heading:
            self.heading += data.strip()


async def _open(shop: Shop, url: str) -> Page:
    shop.story.call("GET", f"(customer) {urlsplit(url).path}", None)
    response = await shop.browser.get(url)
    page = Page(response.text)
    if response.status_code != HTTPStatus.OK or page.action is None:
        raise DemoFailed(f"the checkout page answered {response.status_code}, without a form to pay with")
    shop.story.say(f"  the page asks for {page.heading}")
    return page


async def _press(shop: Shop, url: str, page: Page) -> str:
    """Send the form, and follow where the pages lead until they lead back to the shop; gives that address."""
    action = urljoin(url, page.action)
    shop.story.call("POST", f"(customer) {urlsplit(action).path}", page.fields)
    response = await shop.browser.post(action, data=page.fields, headers=_SAME_SITE)
    if response.status_code != HTTPStatus.SEE_OTHER:
        raise DemoFailed(f"the checkout page answered {response.status_code} to its own form")
    where = urljoin(action, response.headers["Location"])
    deadline = time.monotonic() + OUTCOME_TIMEOUT_S
    while _same_site(where, url):
        if time.monotonic() > deadline:
            raise DemoFailed(f"after {OUTCOME_TIMEOUT_S} s the customer is still at {where}")
        where = await _led_on(await shop.browser.get(where), where)
    return where


async def _led_on(response: httpx.Response, where: str) -> str:
    if response.status_code == HTTPStatus.SEE_OTHER:
        return urljoin(where, response.headers["Location"])
    page = Page(response.text)
    if page.refresh_s is None:
        raise DemoFailed(f"the page {where} leads nowhere: {page.heading!r}")
    await asyncio.sleep(page.refresh_s)
    return urljoin(where, page.refresh_to or where)


def _same_site(where: str, url: str) -> bool:
    return urlsplit(where).netloc == urlsplit(url).netloc
