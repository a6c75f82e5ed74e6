"""Every state of the page, in light and dark, on a small and a large screen: against WCAG 2.2, and in pictures.

With CHECKOUT_PICTURES=<directory> the pictures are kept, to be looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, Page, expect

from payloops.events.checkout_session_state import order_id_of
from tests.checkout.browser.customer import SHIRTS, SLOW_S, THANKS, attempt, customer, pay, picture
from tests.checkout.world import Shop

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

_CHECKS = Path(__file__).with_name("accessibility.js").read_text(encoding="utf-8")
WINDOWS = {"small": (320, 640), "large": (1280, 900)}
"""A window of 320 px is what one of 1280 px is at a zoom of 400 % (WCAG 2.2, 1.4.10)."""
LONG = [
    {"name": "Anexceptionallylongnameofanarticlewithoutasinglespaceinit" * 3, "amount": 1_234_567_890, "quantity": 9},
    {"name": "Postage", "amount": 0, "quantity": 1},
]

Reach = Callable[[Shop, Page, Any], Awaitable[None]]


async def at_the_form(_shop: Shop, page: Page, session: Any) -> None:
    await page.goto(session["url"])
    await expect(page.get_by_label("Succeeds")).to_be_visible()


async def declined(shop: Shop, page: Page, session: Any) -> None:
    await at_the_form(shop, page, session)
    await pay(page, "Has insufficient funds")
    await expect(attempt(page)).to_have_value("2")


async def refused_by_the_form(shop: Shop, page: Page, session: Any) -> None:
    await at_the_form(shop, page, session)
    await pay(page, "Has a wrong number")
    await expect(page.get_by_role("alert")).to_be_visible()


async def pressed(shop: Shop, page: Page, session: Any) -> None:
    await at_the_form(shop, page, session)
    await page.evaluate("HTMLFormElement.prototype.submit = () => {}")
    await pay(page)
    await expect(page.get_by_role("status")).to_contain_text("is being processed…")


async def waiting(shop: Shop, page: Page, session: Any) -> None:
    await shop.slow_charge(SLOW_S)
    pressing = asyncio.create_task(shop.press_pay(session))
    await shop.until_order(session["id"], "processing")
    # It stays as it is while it is looked at.
    await page.route("**/status", lambda route: route.fulfill(json={"state": "waiting"}))
    await page.goto(session["url"])
    await expect(page.get_by_role("status")).to_contain_text("is being processed…")
    await pressing


async def unanswered(shop: Shop, page: Page, session: Any) -> None:
    await shop.lose_charge()
    await at_the_form(shop, page, session)
    await pay(page)
    await shop.until_unknown(session["id"])
    await page.goto(session["url"])
    await expect(page.get_by_role("status")).to_contain_text("do not pay a second time")


async def to_the_bank(shop: Shop, page: Page, session: Any) -> None:
    await at_the_form(shop, page, session)
    await pay(page, "Asks for 3-D Secure")
    await page.wait_for_url("**/_sandbox/3ds/**")
    await page.goto(session["url"])
    await expect(page.get_by_role("link", name="Go on at your bank")).to_be_visible()


async def from_the_bank(shop: Shop, page: Page, session: Any) -> None:
    await to_the_bank(shop, page, session)
    await page.goto(f"{session['url']}/return")
    await expect(page.get_by_role("status")).to_contain_text("We ask your bank")


async def to_razorpay(shop: Shop, page: Page, session: Any) -> None:
    await at_the_form(shop, page, session)
    await page.get_by_label("at Razorpay").check()
    await page.get_by_role("button", name="Pay").click()
    await page.frame_locator("iframe").get_by_role("button", name="Close").click()
    await expect(page.get_by_role("alert")).to_contain_text("closed Razorpay")


async def paid(shop: Shop, page: Page, session: Any) -> None:
    await at_the_form(shop, page, session)
    await pay(page)
    await page.wait_for_url(THANKS)
    await page.goto(session["url"])
    await expect(page.get_by_text("This is paid.")).to_be_visible()


async def expired(shop: Shop, page: Page, session: Any) -> None:
    (await shop.expire(session["id"])).must(200)
    await page.goto(session["url"])
    await expect(page.get_by_text("not made in time")).to_be_visible()


async def cancelled(shop: Shop, page: Page, session: Any) -> None:
    await declined(shop, page, session)
    path = f"/v1/orders/{order_id_of(UUID(session['id']))}/cancel"
    (await shop.api.call("POST", path, key=shop.merchant.api_key)).must(200)
    await page.goto(session["url"])
    await expect(page.get_by_text("The shop cancelled this payment")).to_be_visible()


async def not_there(_shop: Shop, page: Page, session: Any) -> None:
    await page.goto(f"{session['url'][:-4]}0000")
    await expect(page.get_by_text("We can't find this payment")).to_be_visible()


async def without_the_processors_form(shop: Shop, page: Page, session: Any) -> None:
    await page.route(f"{shop.sandbox.stripe_url}/**", lambda route: route.abort())
    await page.goto(session["url"])
    await expect(page.get_by_text("could not be loaded")).to_be_visible()


STATES: tuple[Reach, ...] = (
    at_the_form,
    declined,
    refused_by_the_form,
    pressed,
    waiting,
    unanswered,
    to_the_bank,
    from_the_bank,
    to_razorpay,
    paid,
    expired,
    cancelled,
    not_there,
    without_the_processors_form,
)


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
async def test_a_state(browser: Browser, shop: Shop, reach: Reach) -> None:
    session = await shop.session(lineItems=SHIRTS)
    async with customer(browser, allowed="ERR_FAILED|404|could not be loaded") as page:
        await reach(shop, page, session)
        await look(page, reach.__name__)


async def test_long_names_and_amounts(browser: Browser, shop: Shop) -> None:
    session = await shop.session(lineItems=LONG, amount=1_234_567_890 * 9, currency="KWD")
    async with customer(browser) as page:
        await page.goto(session["url"])
        await expect(page.get_by_text("Postage")).to_be_visible()
        await look(page, "long")


async def look(page: Page, name: str) -> None:
    """The page as it stands, in every window and scheme. Raises AssertionError."""
    # What a page says is there before its style sheet is.
    await page.wait_for_load_state("load")
    for size, (width, height) in WINDOWS.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await picture(page, f"{name}-{size}-{scheme}")
            assert await page.evaluate(_CHECKS) == [], f"{name}, {size}, {scheme}"


async def test_nothing_moves_while_it_loads(browser: Browser, shop: Shop) -> None:
    session = await shop.session(lineItems=SHIRTS)
    async with customer(browser, viewport={"width": 320, "height": 640}) as page:
        await at_the_form(shop, page, session)
        shift = await page.evaluate(
            """() => new Promise((resolve) => {
                let sum = 0;
                new PerformanceObserver((list) => list.getEntries().forEach((entry) => { sum += entry.value; }))
                    .observe({ type: "layout-shift", buffered: true });
                requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(sum), 100)));
            })"""
        )
        assert shift < 0.01


async def test_twice_as_large_all_is_there(browser: Browser, shop: Shop) -> None:
    """A zoom of 200 % (WCAG 2.2, 1.4.4) is half the window and twice the pixels; so is text alone, twice as large."""
    session = await shop.session(lineItems=SHIRTS)
    half: dict[str, Any] = {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2}
    async with customer(browser, **half) as page:
        await at_the_form(shop, page, session)
        assert await page.evaluate(_CHECKS) == []
        await page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")
        assert await page.evaluate(_CHECKS) == []
        await picture(page, "twice-as-large")
        await pay(page)
        await page.wait_for_url(THANKS)
