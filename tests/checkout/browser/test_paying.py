"""Paying in a real browser: with the mouse, by keyboard alone, and without scripts."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.checkout.browser.customer import CART, SHIRTS, SLOW_S, THANKS, attempt, customer, pay, payments
from tests.checkout.world import Shop

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

BANK = re.compile(r".*/_sandbox/3ds/.*")
AT_RAZORPAY = "UPI, netbanking, wallet or card, at Razorpay"


async def test_success(browser: Browser, shop: Shop) -> None:
    session = await shop.session(lineItems=SHIRTS)
    async with customer(browser) as page:
        await page.goto(session["url"])
        await expect(page.get_by_role("heading", name="25.99 USD")).to_be_visible()
        await expect(page.get_by_role("button", name="Pay 25.99 USD")).to_be_enabled()
        await page.reload()
        await page.get_by_role("button").dblclick()
        await page.wait_for_url(THANKS)
        assert page.url == f"https://shop.example/thanks?session={session['id']}&from=checkout"
        assert (await shop.read(session["id"]))["status"] == "complete"
        # Back, and again: paid once, and not sent on against the customer's will.
        await page.go_back()
        await expect(page.get_by_text("This is paid.")).to_be_visible()
        await page.reload()
        await page.get_by_role("link", name="Go back to A shop").click()
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def test_nobody_else_hears_of_it(browser: Browser, shop: Shop) -> None:
    """Neither a request to a third party nor a referrer that holds the session's id."""
    session = await shop.session()
    asked: list[tuple[str, str | None]] = []
    async with customer(browser) as page:
        page.on("request", lambda request: asked.append((request.url, request.headers.get("referer"))))
        await page.goto(session["url"])
        await page.get_by_role("link", name="Cancel").click()
        await page.wait_for_url(CART)
        await page.go_back()
        await pay(page, "Asks for 3-D Secure")
        await page.wait_for_url(BANK)
        await page.get_by_role("button", name="Complete").click()
        await page.wait_for_url(THANKS)
    own, simulated = urlsplit(shop.base_url).netloc, urlsplit(shop.sandbox.stripe_url).netloc
    assert {urlsplit(url).netloc for url, _ in asked} == {own, simulated, "shop.example"}
    told = [referer for url, referer in asked if urlsplit(url).netloc != own]
    assert told
    assert set(told) == {None}


async def test_a_decline_and_another_try(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        for number in (2, 3):
            # The same card twice, as a person would.
            await pay(page, "Has insufficient funds")
            await expect(attempt(page)).to_have_value(str(number))
            await expect(page.get_by_role("alert")).to_contain_text("insufficient funds")
            await expect(page.locator("#problem")).to_be_focused()
        await page.reload()
        await expect(page.get_by_role("alert")).to_be_visible()
        await pay(page)
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 3


async def test_what_the_processors_form_refuses_is_told_and_asked_again(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page, "Has a wrong number")
        await expect(page.get_by_role("alert")).to_have_text("Your card number is incorrect.")
        await expect(page.locator("#problem")).to_be_focused()
        await expect(page.get_by_role("button", name="Pay")).to_have_attribute("aria-disabled", "false")
        # No payment has begun for it.
        assert (await shop.read(session["id"]))["orderId"] is None
        await pay(page)
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def test_three_d_secure(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page, "Asks for 3-D Secure")
        await page.wait_for_url(BANK)
        # Back from the bank without an answer: the page waits there.
        await page.go_back()
        await expect(page.get_by_role("link", name="Go on at your bank")).to_be_visible()
        await page.reload()
        await page.get_by_role("link", name="Go on at your bank").click()
        await page.get_by_role("button", name="Fail authentication").click()
        await expect(page.get_by_role("alert")).to_contain_text("could not confirm that it was you")
        assert page.url == session["url"]
        await pay(page, "Asks for 3-D Secure")
        await page.get_by_role("button", name="Complete authentication").click()
        await page.wait_for_url(THANKS)
    assert (await shop.read(session["id"]))["status"] == "complete"


async def test_razorpay(browser: Browser, shop: Shop) -> None:
    """In a frame above the page: closed, loaded again, failed, and paid at last."""
    session = await shop.session(amount=49900, currency="INR")
    async with customer(browser) as page:
        await page.goto(session["url"])
        await page.get_by_label(AT_RAZORPAY).check()
        await expect(page.get_by_text("Test card")).to_be_hidden()
        await page.get_by_role("button").click()
        frame = page.frame_locator("iframe")
        await frame.get_by_role("button", name="Close").click()
        await expect(page.get_by_role("alert")).to_contain_text("closed Razorpay before paying")
        await page.reload()
        # It does not open by itself on a page that the customer loads.
        button = page.get_by_role("button", name="at Razorpay")
        await page.goto(session["url"])
        await expect(page.locator("iframe")).to_have_count(0)
        await button.click()
        await frame.get_by_role("button", name="Fail").click()
        await expect(page.get_by_role("alert")).to_contain_text("declined")
        assert page.url == session["url"]
        await page.get_by_label(AT_RAZORPAY).check()
        await page.get_by_role("button", name="Pay").click()
        await frame.get_by_role("button", name="Pay", exact=True).click()
        await page.wait_for_url(THANKS)
    assert (await shop.order(session["id"]))["processor"] == "razorpay"
    assert (await shop.read(session["id"]))["status"] == "complete"


async def test_waiting(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    await shop.slow_charge(SLOW_S)
    async with customer(browser) as page:
        await page.goto(session["url"])
        await page.get_by_role("button").click()
        # PAY_WAIT_S later the page waits by itself, and goes on by itself.
        await page.wait_for_url(re.compile(r".*/next"))
        await expect(page.get_by_role("status")).to_contain_text("is being processed…")
        await page.reload()
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def test_cancel_and_what_is_over(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await page.get_by_role("link", name="Cancel and go back to A shop").click()
        await page.wait_for_url(CART)
        await page.go_back()
        await expect(page.get_by_role("button", name="Pay")).to_be_visible()
        # Expired while the customer looks at the form.
        (await shop.expire(session["id"])).must(200)
        await page.get_by_role("button").click()
        await expect(page.get_by_text("not made in time")).to_be_visible()
        await page.reload()
        await page.get_by_role("link", name="Go back to A shop").click()
        await page.wait_for_url(CART)
    async with customer(browser) as page:
        # The browser itself reports a page that is not there.
        answer = await page.request.get(f"{session['url'][:-4]}0000")
        assert answer.status == 404
    assert await payments(shop, session) == []


async def focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))


async def test_by_keyboard_alone(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        seen = []
        for _ in range(4):
            await page.keyboard.press("Tab")
            seen.append(await focused(page))
        assert seen == ["processor", "simulated_card", "Pay 25.99 USD", "Cancel and go back to A shop"]
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("ArrowDown")
        await expect(page.get_by_label("Is declined")).to_be_checked()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("was declined")
        await expect(page.locator("#problem")).to_be_focused()
        # The message has the focus, so the form is what comes next.
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        for _ in range(3):
            await page.keyboard.press("ArrowDown")
        await expect(page.get_by_label("Asks for 3-D Secure")).to_be_checked()
        await page.keyboard.press("Enter")
        await page.wait_for_url(BANK)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url(THANKS)


async def test_razorpay_by_keyboard_alone(browser: Browser, shop: Shop) -> None:
    """The frame has the focus while it is open, Escape closes it, and then the focus is at the message."""
    session = await shop.session(amount=49900, currency="INR")
    async with customer(browser) as page:
        await page.goto(session["url"])
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowUp")
        await expect(page.get_by_label(AT_RAZORPAY)).to_be_checked()
        await page.keyboard.press("Enter")
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_role("button", name="Pay", exact=True)).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#problem")).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(frame.get_by_role("button", name="Pay", exact=True)).to_be_visible()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url(THANKS)


async def test_without_scripts(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser, java_script_enabled=False) as page:
        await page.goto(session["url"])
        await pay(page, "Is declined")
        await expect(page.get_by_role("alert")).to_contain_text("was declined")
        await pay(page, "Asks for 3-D Secure")
        await page.get_by_role("button", name="Complete authentication").click()
        await page.wait_for_url(THANKS)


async def test_waiting_without_scripts(browser: Browser, shop: Shop) -> None:
    """The page loads itself again until it is known."""
    session = await shop.session()
    await shop.slow_charge(SLOW_S)
    async with customer(browser, java_script_enabled=False) as page:
        await page.goto(session["url"])
        await pay(page)
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def test_what_can_not_be_done_without_scripts_says_so(browser: Browser, shop: Shop) -> None:
    session = await shop.session(amount=49900, currency="INR")
    async with customer(browser, java_script_enabled=False) as page:
        await page.goto(session["url"])
        await page.get_by_label(AT_RAZORPAY).check()
        await page.get_by_role("button", name="Pay").click()
        told = page.locator("noscript p")
        await expect(told).to_be_visible()
        await expect(told).to_have_text("To pay at Razorpay, allow JavaScript for this page.")
        await page.get_by_role("link", name="Cancel").click()
        await page.wait_for_url(CART)
    # With scripts the same session goes on where it was.
    async with customer(browser) as page:
        await page.goto(session["url"])
        await page.get_by_role("button", name="at Razorpay").click()
        await page.frame_locator("iframe").get_by_role("button", name="Pay", exact=True).click()
        await page.wait_for_url(THANKS)
