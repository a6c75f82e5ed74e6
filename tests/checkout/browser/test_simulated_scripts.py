"""The simulator's scripts refuse what the real ones refuse, so that a page which works with them is used rightly.

Stripe: https://docs.stripe.com/js (Stripe(), elements(), create(), mount(), submit(), createPaymentMethod(),
handleNextAction()). Razorpay: the checkout options and the callback of its web integration's documentation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.checkout.world import Shop

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

_STRIPE = """
const mode = { mode: "payment", amount: 2599, currency: "usd", paymentMethodCreation: "manual" };
const form = (options = mode) => window.Stripe("pk_test_1").elements(options);
const mounted = (options = mode) => {
    const elements = form(options);
    elements.create("payment").mount(document.querySelector("#here"));
    return elements;
};
const token = (elements) => window.Stripe("pk_test_1").createPaymentMethod({ elements });
"""
_RAZORPAY = """
const good = { key: "rzp_test_1", order_id: "order_1", amount: 2599, currency: "INR", name: "A shop",
    callback_url: "https://shop.example/back", redirect: true };
const open = (changes) => new window.Razorpay({ ...good, ...changes });
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: Browser, shop: Shop) -> AsyncIterator[Page]:
    opened = await browser.new_page()
    await opened.set_content('<div id="here"></div>')
    await opened.add_script_tag(url=f"{shop.sandbox.stripe_url}/v3/")
    await opened.add_script_tag(url=f"{shop.sandbox.razorpay_url}/v1/checkout.js")
    yield opened
    await opened.close()


async def thrown(page: Page, setting: str, deed: str) -> str | None:
    """What the deed throws, or its promise is rejected with."""
    told = await page.evaluate(
        f"""async () => {{
            {setting}
            try {{ await (async () => {{ {deed} }})(); return null; }} catch (error) {{ return String(error); }}
        }}"""
    )
    return None if told is None else str(told)


WRONG_AT_STRIPE = (
    ("window.Stripe()", "publishable key"),
    ("window.Stripe('')", "publishable key"),
    ("window.Stripe('sk_test_1')", "secret key"),
    ("window.Stripe('rk_live_1')", "secret key"),
    ("form(undefined)", None),
    ("form(null)", "options"),
    ("form({})", "mode or a clientSecret"),
    ("form({ ...mode, clientSecret: 'pi_1_secret_1' })", "mode or a clientSecret"),
    ("form({ clientSecret: 'pi_1' })", "clientSecret"),
    ("form({ ...mode, mode: 'pay' })", "mode"),
    ("form({ ...mode, amount: '2599' })", "amount"),
    ("form({ ...mode, amount: 25.99 })", "amount"),
    ("form({ ...mode, amount: 0 })", "amount"),
    ("form({ ...mode, currency: 'USD' })", "currency"),
    ("form({ ...mode, currency: undefined })", "currency"),
    ("form({ ...mode, paymentMethodCreation: true })", "paymentMethodCreation"),
    ("form({ ...mode, appearance: { theme: 'dark' } })", "appearance"),
    ("form({ ...mode, ammount: 1 })", "Unrecognized"),
    ("form().create('card')", "card Element"),
    ("const one = form(); one.create('payment'); one.create('payment')", "only create one"),
    ("form().create('payment').mount('#nowhere')", "no DOM elements"),
    ("form().create('payment').mount(document.createElement('div'))", "no DOM elements"),
    ("form().create('payment').on('loaded', () => {})", "no event"),
    ("await form().submit()", "needs a payment Element"),
    ("const one = form(); one.create('payment'); await one.submit()", "not mounted"),
    ("await token({})", "wants { elements }"),
    ("await token(mounted())", "submit() must be called"),
    (
        "const one = mounted({ ...mode, paymentMethodCreation: undefined }); await one.submit(); await token(one)",
        "paymentMethodCreation",
    ),
    (
        "const one = mounted(); await one.submit(); one.getElement('payment').unmount(); await token(one)",
        "not mounted",
    ),
    ("await window.Stripe('pk_test_1').handleNextAction('pi_1_secret_1')", "clientSecret"),
    ("await window.Stripe('pk_test_1').handleNextAction({ clientSecret: 'pi_1' })", "clientSecret"),
)
WRONG_AT_RAZORPAY = (
    ("open({})", None),
    ("open({ callback_url: undefined, redirect: false, handler: () => {} })", None),
    ("new window.Razorpay()", "options"),
    ("open({ key: undefined })", "key"),
    ("open({ key: 'sk_test_1' })", "key"),
    ("open({ key: 'rzp_live_1' })", "live key"),
    ("open({ order_id: undefined })", "order_id"),
    ("open({ order_id: 'pay_1' })", "order_id"),
    ("open({ amount: undefined })", "amount"),
    ("open({ amount: 25.99 })", "amount"),
    ("open({ amount: 99 })", "100 paise"),
    ("open({ currency: 'inr' })", "currency"),
    ("open({ name: '' })", "name"),
    ("open({ callback_url: 'javascript:alert(1)' })", "callback_url"),
    ("open({ callback_url: undefined, redirect: false })", "handler"),
    ("open({ callback_url: undefined, handler: () => {} })", "redirect"),
    ("open({ modal: { ondismiss: true } })", "ondismiss"),
    ("open({}).on('payment.fail', () => {})", "no event"),
    ("open({}).on('payment.failed')", "function"),
)


@pytest.mark.parametrize(("deed", "why"), WRONG_AT_STRIPE)
async def test_stripe(page: Page, deed: str, why: str | None) -> None:
    told = await thrown(page, _STRIPE, deed)
    assert told is None if why is None else told is not None and "IntegrationError" in told and why in told, told


@pytest.mark.parametrize(("deed", "why"), WRONG_AT_RAZORPAY)
async def test_razorpay(page: Page, deed: str, why: str | None) -> None:
    told = await thrown(page, _RAZORPAY, deed)
    assert told is None if why is None else told is not None and why in told, told


async def test_what_the_customer_can_mend_is_no_exception(page: Page) -> None:
    made = await page.evaluate(
        f"""async () => {{
            {_STRIPE}
            const told = [];
            for (const card of ["pm_card_visa", "incorrect_number", null]) {{
                const elements = mounted();
                for (const input of document.querySelectorAll("#here input")) input.checked = input.value === card;
                const submitted = await elements.submit();
                if (submitted.error) told.push(submitted);
                else told.push(await token(elements));
            }}
            return told;
        }}"""
    )
    assert made[0]["paymentMethod"]["id"] == "pm_card_visa"
    assert (made[1]["error"]["type"], made[1]["error"]["code"]) == ("card_error", "incorrect_number")
    assert made[2]["error"]["type"] == "validation_error"
