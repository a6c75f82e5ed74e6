"""A customer with a browser. The shop's own pages are there, and nothing may go wrong unnoticed."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from playwright.async_api import Browser, Locator, Page, Route, expect

from payloops.events.checkout_session_state import order_id_of
from tests.checkout.world import Shop

SHOP = re.compile(r"https://shop\.example/.*")
THANKS = re.compile(r"https://shop\.example/thanks.*")
CART = re.compile(r"https://shop\.example/cart.*")
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)
SLOW_S = 10.0
"""How long a slow charge takes: longer than PAY_WAIT_S and the loading of a page together."""
PICTURES = os.environ.get("CHECKOUT_PICTURES")
"""A directory for pictures of the pages, to be looked at."""
SHIRTS = [
    {"name": "A shirt, organic cotton", "amount": 1000, "quantity": 2},
    {"name": "Postage", "amount": 599, "quantity": 1},
]


@asynccontextmanager
async def customer(browser: Browser, *, allowed: str | None = None, **options: Any) -> AsyncIterator[Page]:
    """A fresh window. ``allowed``: what the console may say, as a pattern; anything else fails the test."""
    context = await browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    await context.route(SHOP, _shops_page)
    problems: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

    context.on("page", watch)
    yield await context.new_page()
    await context.close()
    assert [text for text in problems if allowed is None or not re.search(allowed, text)] == []


async def _shops_page(route: Route) -> None:
    await route.fulfill(body="<title>The shop</title><h1>The shop</h1>", content_type="text/html")


async def picture(page: Page, name: str) -> None:
    if PICTURES is not None:
        await page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


async def payments(shop: Shop, session: Any) -> list[Any]:
    """What was asked of Stripe for the session."""
    order_id = str(order_id_of(UUID(session["id"])))
    return [one for one in await shop.payments() if one["metadata"].get("order_id") == order_id]


def attempt(page: Page) -> Locator:
    """Which attempt the page's form would begin."""
    return page.locator("input[name=attempt]")


async def choose(page: Page, card: str) -> None:
    await page.get_by_label(card).check()


async def pay(page: Page, card: str = "Succeeds") -> None:
    await choose(page, card)
    await page.get_by_role("button", name="Pay").click()
