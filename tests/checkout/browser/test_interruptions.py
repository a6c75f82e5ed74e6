"""What customers do besides paying: back, reload, a second window, a click too many, a page that is out of date."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.checkout.browser.customer import CART, SLOW_S, THANKS, attempt, choose, customer, pay, payments
from tests.checkout.world import Shop

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

BANK = re.compile(r".*/_sandbox/3ds/.*")
NEXT = re.compile(r".*/next")


async def test_two_windows_pay_once(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as first:
        second = await first.context.new_page()
        for page in (first, second):
            await page.goto(session["url"])
        await pay(first)
        await first.wait_for_url(THANKS)
        # The other window still shows the form: its customer is told that it is paid, by the shop.
        await pay(second)
        await second.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def test_a_form_of_before_the_decline_begins_nothing(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as first:
        second = await first.context.new_page()
        for page in (first, second):
            await page.goto(session["url"])
        await pay(first, "Is declined")
        await expect(attempt(first)).to_have_value("2")
        await pay(second)
        await expect(second.get_by_role("alert")).to_contain_text("was declined")
        await expect(attempt(second)).to_have_value("2")
        assert len(await payments(shop, session)) == 1
        await pay(second)
        await second.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 2


async def test_back_never_shows_what_is_out_of_date(browser: Browser, shop: Shop) -> None:
    """After a decline, from the bank, and from the shop: each time the page as it is now, and nothing sent again."""
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page, "Is declined")
        await expect(attempt(page)).to_have_value("2")
        await page.goto("https://shop.example/cart?from=elsewhere")
        await page.go_back()
        await expect(attempt(page)).to_have_value("2")
        await expect(page.get_by_role("alert")).to_contain_text("was declined")
        await pay(page, "Asks for 3-D Secure")
        await page.wait_for_url(BANK)
        await page.go_back()
        await expect(page.get_by_role("link", name="Go on at your bank")).to_be_visible()
        await page.go_forward()
        await page.get_by_role("button", name="Complete").click()
        await page.wait_for_url(THANKS)
        await page.go_back()
        await expect(page.get_by_text("not waiting for you any more")).to_be_visible()
        await page.go_back()
        await expect(page.get_by_text("This is paid.")).to_be_visible()
    assert len(await payments(shop, session)) == 2


async def test_reload_while_the_payment_is_made(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    await shop.slow_charge(SLOW_S)
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page)
        await shop.until_order(session["id"], "processing")
        await page.goto(session["url"])
        await expect(page.get_by_role("status")).to_contain_text("is being processed…")
        await expect(page.get_by_role("button")).to_have_count(0)
        await page.reload()
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def test_back_from_the_bank_without_an_answer(browser: Browser, shop: Shop) -> None:
    """The return page believes nothing, waits for the bank, and leads to it again."""
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page, "Asks for 3-D Secure")
        await page.wait_for_url(BANK)
        await page.goto(f"{session['url']}/return?payment_intent=pi_1&redirect_status=succeeded")
        await page.wait_for_url(f"{session['url']}/return")
        await expect(page.get_by_role("status")).to_contain_text("We ask your bank")
        assert (await shop.read(session["id"]))["status"] == "open"
        await page.reload()
        await page.get_by_role("link", name="Not finished at the bank?").click()
        await page.get_by_role("link", name="Go on at your bank").click()
        await page.wait_for_url(BANK)
        await page.goto(f"{session['url']}/return")
        await expect(page.get_by_role("status")).to_contain_text("We ask your bank")
        # Answered on another device: the page learns of it by itself.
        await shop.authenticate(session["id"], "succeed")
        await page.wait_for_url(THANKS)


async def test_cancel_at_the_bank_leaves_the_session_as_it_was(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page, "Asks for 3-D Secure")
        await page.wait_for_url(BANK)
        await page.go_back()
        await page.get_by_role("link", name="Cancel").click()
        await page.wait_for_url(CART)
        assert (await shop.read(session["id"]))["status"] == "open"
        await page.go_back()
        await page.get_by_role("link", name="Go on at your bank").click()
        await page.get_by_role("button", name="Complete").click()
        await page.wait_for_url(THANKS)


async def test_expired_while_the_customer_is_at_the_bank(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await pay(page, "Asks for 3-D Secure")
        await page.wait_for_url(BANK)
        (await shop.expire(session["id"])).must(200)
        await shop.until_order(session["id"], "cancelled")
        # Called off at the processor as well, so the bank's page asks nothing any more.
        await page.reload()
        await expect(page.get_by_text("not waiting for you any more")).to_be_visible()
        await page.goto(f"{session['url']}/return")
        await expect(page.get_by_text("not made in time")).to_be_visible()
    assert [one["status"] for one in await payments(shop, session)] == ["canceled"]


async def test_what_the_browser_says_of_the_amount_is_nothing(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser) as page:
        await page.goto(session["url"])
        await page.evaluate(
            """() => {
                const form = document.querySelector("form");
                form.dataset.amount = "1";
                for (const name of ["amount", "currency", "sessionId", "orderId"]) {
                    const field = document.createElement("input");
                    Object.assign(field, { type: "hidden", name, value: name === "currency" ? "JPY" : "1" });
                    form.append(field);
                }
            }"""
        )
        await pay(page)
        await page.wait_for_url(THANKS)
    (made,) = await payments(shop, session)
    assert (made["amount"], made["currency"]) == (2599, "USD")


async def test_no_inline_script_runs(browser: Browser, shop: Shop) -> None:
    """Nothing that got into the page could act there."""
    session = await shop.session()
    async with customer(browser, allowed="Content Security Policy") as page:
        await page.goto(session["url"])
        ran = await page.evaluate(
            """async () => {
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
                const picture = document.createElement("img");
                picture.setAttribute("onerror", "window.ran = true");
                picture.src = "https://shop.example/picture.png";
                document.body.append(picture);
                await new Promise((resolve) => document.addEventListener("securitypolicyviolation", resolve));
                const asked = await fetch("https://shop.example/").then(() => true, () => false);
                return Boolean(window.ran) || asked;
            }"""
        )
        assert ran is False


async def test_no_other_page_can_show_it_in_a_frame(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser, allowed="frame-ancestors|X-Frame-Options|ERR_BLOCKED_BY_RESPONSE") as page:
        await page.goto("https://shop.example/cart")
        await page.evaluate(
            """(url) => new Promise((resolve) => {
                const frame = document.createElement("iframe");
                frame.onload = resolve;
                frame.src = url;
                document.body.append(frame);
            })""",
            session["url"],
        )
        assert await page.frames[1].get_by_role("button", name="Pay").count() == 0


async def test_a_form_of_another_site_pays_nothing(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    async with customer(browser, allowed="403") as page:
        await page.goto("https://shop.example/cart")
        await _post_from_here(page, f"{session['url']}/pay")
        await expect(page.get_by_text("Another site sent this")).to_be_visible()
        assert (await shop.read(session["id"]))["orderId"] is None
        await page.get_by_role("link", name="Go to the payment").click()
        await pay(page)
        await page.wait_for_url(THANKS)
    assert len(await payments(shop, session)) == 1


async def _post_from_here(page: Page, url: str) -> None:
    await page.evaluate(
        """(url) => {
            const form = document.createElement("form");
            Object.assign(form, { method: "post", action: url });
            const fields = { attempt: "1", processor: "stripe", token: "pm_card_visa" };
            for (const [name, value] of Object.entries(fields)) {
                form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
            }
            document.body.append(form);
            form.submit();
        }""",
        url,
    )
    await page.wait_for_url(url)


async def test_the_processors_form_can_not_be_loaded(browser: Browser, shop: Shop) -> None:
    """Said in its place; the other way to pay still works, and so does the card when it is loaded again."""
    session = await shop.session(currency="INR", amount=49900)
    async with customer(browser, allowed="ERR_FAILED|could not be loaded") as page:
        scripts = f"{shop.sandbox.stripe_url}/**"
        await page.route(scripts, lambda route: route.abort())
        await page.goto(session["url"])
        await expect(page.get_by_text("could not be loaded")).to_be_visible()
        await page.get_by_role("button", name="Pay").click()
        await expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
        assert (await shop.read(session["id"]))["orderId"] is None
        await page.get_by_label("at Razorpay").check()
        await expect(page.get_by_role("button", name="Pay")).to_have_attribute("aria-disabled", "false")
        await page.unroute(scripts)
        await page.reload()
        await choose(page, "Succeeds")
        await page.get_by_role("button", name="Pay").click()
        await page.wait_for_url(THANKS)
