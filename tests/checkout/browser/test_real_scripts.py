"""The page as it is with the real processors: their addresses, their Content-Security-Policy, the merchant's own key.

The API is set to the real ones, and the browser is given the simulator's scripts at their addresses; the relay charges
at the simulator. So the page's code runs as it will against Stripe and Razorpay, under the policy that it has there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from payloops.events.base import Sealed
from payloops.events.checkout_session_state import order_id_of
from payloops.projections.personal_data import CLIENT_SECRET
from payloops.sandbox.app import build_sandbox
from payloops.values import SystemClock
from tests.checkout.browser.customer import SHOP, THANKS, customer, pay
from tests.checkout.world import Shop, open_shop
from tests.databases import TestServer

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

REAL = {"STRIPE_API_BASE": "https://api.stripe.com", "RAZORPAY_API_BASE": "https://api.razorpay.com"}
STRIPE_JS = "https://js.stripe.com/v3/"
RAZORPAY_JS = "https://checkout.razorpay.com/v1/checkout.js"
FRAMES = "https://api.razorpay.com"
AT_RAZORPAY = "UPI, netbanking, wallet or card, at Razorpay"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(postgres_server: TestServer) -> AsyncIterator[Shop]:
    sandbox = build_sandbox(None, SystemClock(), settle_delay_s=0.05, hold_s=20)
    await sandbox.start("127.0.0.1", 0, 0)
    database = postgres_server.create()
    async with open_shop(database, sandbox, pages=REAL) as opened:
        stripe = {"secretKey": "sk_test_123456789", "publishableKey": "pk_test_ofTheMerchant"}
        body = {"credentials": stripe}
        (await opened.api.call("POST", "/api/processors/stripe", body, token=opened.merchant.token)).must(200)
        yield opened
    postgres_server.drop(database)
    await sandbox.stop()


def script(name: str) -> str:
    """The simulator's script, with its frames where Razorpay's are."""
    text = resources.files("payloops.sandbox").joinpath("scripts", name).read_text(encoding="utf-8")
    own = "const { origin } = new URL(document.currentScript.src);"
    assert name != "razorpay.js" or own in text
    return text.replace(own, f'const origin = "{FRAMES}";')


@asynccontextmanager
async def buyer(browser: Browser, shop: Shop, **options: Any) -> AsyncIterator[Page]:
    """A customer for whom the processors' hosts are there."""

    async def framed(route: Route) -> None:
        path = route.request.url.removeprefix(FRAMES)
        await route.fulfill(response=await route.fetch(url=f"{shop.sandbox.razorpay_url}{path}"))

    async with customer(browser, **options) as page:
        context = page.context
        for address, name in ((STRIPE_JS, "stripe.js"), (RAZORPAY_JS, "razorpay.js")):
            await context.route(address, _serving(script(name)))
        await context.route(f"{FRAMES}/**", framed)
        yield page


def _serving(text: str) -> Any:
    async def serve(route: Route) -> None:
        await route.fulfill(body=text, content_type="text/javascript")

    return serve


async def test_a_card(browser: Browser, shop: Shop) -> None:
    session = await shop.session()
    asked: set[str] = set()
    async with buyer(browser, shop) as page:
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        await page.goto(session["url"])
        assert await page.locator("form").get_attribute("data-key") == "pk_test_ofTheMerchant"
        await pay(page, "Is declined")
        await expect(page.get_by_role("alert")).to_contain_text("was declined")
        await pay(page)
        await page.wait_for_url(THANKS)
    assert asked == {urlsplit(shop.base_url).netloc, "js.stripe.com", "shop.example"}


@pytest.mark.parametrize(
    ("currency", "amount", "at_stripe"), [("JPY", 500, 500), ("ISK", 500, 50_000), ("KWD", 10, 10)]
)
async def test_stripes_form_is_told_the_amount_as_stripe_counts_it(
    browser: Browser, shop: Shop, currency: str, amount: int, at_stripe: int
) -> None:
    """What wallets show comes from there: 500 ISK must not be 5."""
    session = await shop.session(amount=amount, currency=currency)
    async with buyer(browser, shop) as page:
        await page.add_init_script(
            """Object.defineProperty(window, "Stripe", { set(real) {
                Object.defineProperty(window, "Stripe", { value: (key) => {
                    const stripe = real(key);
                    const elements = (options) => {
                        window.told = options;
                        return stripe.elements(options);
                    };
                    return { ...stripe, elements };
                } });
            }, configurable: true })"""
        )
        await page.goto(session["url"])
        told = await page.evaluate("window.told")
        assert (told["mode"], told["amount"], told["currency"]) == ("payment", at_stripe, currency.lower())
        assert told["paymentMethodCreation"] == "manual"
        await pay(page)
        await page.wait_for_url(THANKS)


async def test_what_stripe_can_not_express_is_not_offered(shop: Shop) -> None:
    page = await shop.page((await shop.session(amount=150, currency="MGA"))["path"])
    assert b"js.stripe.com" not in page.raw
    assert b'name="processor" value="razorpay"' in page.raw


async def test_a_card_is_asked_for_before_anything_is_charged(shop: Shop) -> None:
    session = await shop.session()
    answer = await shop.press_pay(session, token="")
    assert answer.status == 400
    assert (await shop.read(session["id"]))["orderId"] is None


async def test_razorpay(browser: Browser, shop: Shop) -> None:
    session = await shop.session(amount=49900, currency="INR")
    async with buyer(browser, shop) as page:
        await page.goto(session["url"])
        await page.get_by_label(AT_RAZORPAY).check()
        await page.get_by_role("button", name="Pay").click()
        frame = page.frame_locator("iframe")
        await frame.get_by_role("button", name="Fail").click()
        await expect(page.get_by_role("alert")).to_contain_text("declined")
        await page.get_by_label(AT_RAZORPAY).check()
        await page.get_by_role("button", name="Pay").click()
        await frame.get_by_role("button", name="Pay", exact=True).click()
        await page.wait_for_url(THANKS)


async def test_stripes_own_script_asks_the_bank(browser: Browser, shop: Shop) -> None:
    """Where Stripe gives no address to send the customer to, its script asks, with the payment's client secret."""
    session = await shop.session()
    await shop.slow_charge(20)
    order_id = order_id_of(UUID(session["id"]))
    assert (await shop.press_pay(session)).status == 303
    key = await shop.api.services.personal.key_for(shop.merchant.id)
    secret = Sealed(key.seal(CLIENT_SECRET, order_id, "pi_1_secret_1"))
    await shop.api.action_required(str(order_id), client_secret=secret)
    async with buyer(browser, shop) as page:
        await page.context.route(
            "https://js.stripe.com/_sandbox/**",
            lambda route: route.fulfill(body="<h1>The bank</h1>", content_type="text/html"),
        )
        await page.goto(session["url"])
        async with page.expect_popup() as opened:
            await page.get_by_role("button", name="Go on at your bank").click()
        bank = await opened.value
        await expect(bank.get_by_role("heading", name="The bank")).to_be_visible()
        await bank.close()
        await page.wait_for_url(f"{session['url']}/return")
        await expect(page.get_by_role("status")).to_contain_text("We ask your bank")


STRIPE_HOSTS = {
    "script-src": ["https://js.stripe.com/v3/x.js", "https://m.js.stripe.com/x.js"],
    "frame-src": [
        "https://js.stripe.com/v3/x.html",
        "https://b.js.stripe.com/x.html",
        "https://hooks.stripe.com/x.html",
    ],
    "connect-src": ["https://api.stripe.com/v1/x"],
}
"""https://docs.stripe.com/security/guide#content-security-policy"""
RAZORPAY_HOSTS = {
    "script-src": [RAZORPAY_JS, "https://cdn.razorpay.com/static/x.js"],
    "frame-src": ["https://api.razorpay.com/v1/checkout/public"],
    "connect-src": [
        "https://lumberjack.razorpay.com/v1/track",
        "https://lumberjack-metrics.razorpay.com/v1/frontend-metrics",
    ],
    "img-src": ["https://cdn.razorpay.com/static/x.png"],
}
"""As Razorpay's own plug-in for Magento lets them in."""
OTHERS = {
    name: ["https://evil.example/x", "https://js.stripe.com.evil.example/x", "http://js.stripe.com/x"]
    for name in ("script-src", "frame-src", "connect-src", "img-src")
}

_TRY = """async (asked) => {
    const refused = [];
    document.addEventListener("securitypolicyviolation", (event) => refused.push(event.blockedURI));
    const after = (element, name, url) => new Promise((resolve) => {
        element.onload = element.onerror = resolve;
        element[name] = url;
        document.body.append(element);
        setTimeout(resolve, 2000);
    });
    const ways = {
        "script-src": (url) => after(document.createElement("script"), "src", url),
        "frame-src": (url) => after(document.createElement("iframe"), "src", url),
        "img-src": (url) => after(document.createElement("img"), "src", url),
        "connect-src": (url) => fetch(url, { mode: "no-cors" }).catch(() => refused.push(url)),
    };
    const verdicts = {};
    for (const [directive, urls] of Object.entries(asked)) {
        for (const url of urls) {
            const before = refused.length;
            await ways[directive](url);
            verdicts[`${directive} ${url}`] = refused.length === before;
        }
    }
    return verdicts;
}"""


@pytest.mark.parametrize(
    ("processor", "hosts", "others"),
    [("stripe", STRIPE_HOSTS, RAZORPAY_HOSTS), ("razorpay", RAZORPAY_HOSTS, STRIPE_HOSTS)],
)
async def test_the_documented_hosts_are_let_in_and_no_others(
    browser: Browser, shop: Shop, processor: str, hosts: dict[str, list[str]], others: dict[str, list[str]]
) -> None:
    session = await shop.session(amount=49900, currency="INR")
    async with buyer(browser, shop, allowed="Content Security Policy") as page:
        await page.goto(session["url"])
        if processor == "razorpay":
            await page.get_by_label(AT_RAZORPAY).check()
            await page.get_by_role("button", name="Pay").click()
            await page.frame_locator("iframe").get_by_role("button", name="Close").click()

        async def anything(route: Route) -> None:
            await route.fulfill(body="", content_type="text/javascript")

        await page.context.route(lambda url: not url.startswith(shop.base_url) and not SHOP.match(url), anything)
        assert set((await page.evaluate(_TRY, hosts)).values()) == {True}
        for asked in (others, OTHERS):
            seen = await page.evaluate(_TRY, asked)
            assert set(seen.values()) == {False}, seen
