"""The pages, without a browser: what each state shows, and that pressing twice or loading again is harmless."""

from __future__ import annotations

import asyncio
import dataclasses
import html
import re
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from payloops.config import Settings
from payloops.errors import Unavailable
from payloops.events.checkout_session import CheckoutOrderPlaced, CheckoutPaymentStarted
from payloops.events.checkout_session_state import order_id_of
from payloops.http.app import build_app
from payloops.http.checkout.scripts import Scripts
from payloops.sandbox.app import Sandbox
from tests.checkout.world import CANCEL_URL, FORM, Shop, open_shop, refresh_of, text_of
from tests.databases import TestDatabase
from tests.integration.http.world import Answer


def leads_to(answer: Answer) -> str:
    assert answer.status == 303, answer.raw
    return answer.headers["Location"]


async def test_it_shows_what_is_to_be_paid(shop: Shop) -> None:
    shirts = [{"name": "<b>Shirt</b> & co", "amount": 1000, "quantity": 2}, {"name": "Cap", "amount": 599}]
    session = await shop.session(lineItems=shirts)
    page = await shop.page(session["path"])
    assert page.status == 200
    shown = text_of(page)
    assert "A shop" in shown
    assert "25.99 USD" in shown
    assert "<b>Shirt</b> & co 2 × 10.00 USD 20.00 USD" in shown
    assert b"<b>Shirt" not in page.raw
    assert CANCEL_URL.encode() in page.raw
    assert "Test mode" in shown


async def test_success_leads_back_to_the_shop(shop: Shop) -> None:
    session = await shop.session()
    go_on = leads_to(await shop.press_pay(session))
    assert go_on == f"{session['path']}/next"
    leaving = await shop.page(go_on)
    assert refresh_of(leaving) == f"https://shop.example/thanks?session={session['id']}&from=checkout"
    assert "Paid" in text_of(leaving)
    read = await shop.read(session["id"])
    assert (read["status"], read["orderId"]) == ("complete", str(order_id_of(UUID(session["id"]))))
    assert [type(event) for event in await shop.history(UUID(session["id"]))][1:3] == [
        CheckoutOrderPlaced,
        CheckoutPaymentStarted,
    ]
    assert await shop.public_events(session["id"]) == [
        ("payment.processing", 1),
        ("payment.captured", 2),
        ("checkout.completed", 3),
    ]
    again = await shop.page(session["path"])
    assert "will not be charged again" in text_of(again)
    assert b"http-equiv" not in again.raw
    assert b"<form" not in again.raw


async def test_a_decline_leaves_another_try_also_with_the_same_card(shop: Shop) -> None:
    session = await shop.session()
    declined = "pm_card_visa_chargeDeclinedInsufficientFunds"
    leads_to(await shop.press_pay(session, token=declined))
    assert leads_to(await shop.page(f"{session['path']}/next")) == session["path"]
    page = await shop.page(session["path"])
    assert "insufficient funds" in text_of(page)
    assert b'name="attempt" value="2"' in page.raw
    # The form of the first page once more: nothing.
    leads_to(await shop.press_pay(session, token=declined))
    assert len(await shop.payments()) == 1
    leads_to(await shop.press_pay(session, token=declined, attempt="2"))
    assert b'name="attempt" value="3"' in (await shop.page(session["path"])).raw
    leads_to(await shop.press_pay(session, attempt="3"))
    await shop.until(session["id"], "complete")
    assert [payment["status"] for payment in await shop.payments()].count("succeeded") == 1


async def test_many_presses_at_once_make_one_payment(shop: Shop) -> None:
    session = await shop.session()
    answers = await asyncio.gather(*(shop.press_pay(session) for _ in range(8)))
    assert {answer.status for answer in answers} == {303}
    await shop.until(session["id"], "complete")
    assert len(await shop.payments()) == 1
    assert (await shop.order(session["id"]))["amountCaptured"] == 2599


async def test_three_d_secure(shop: Shop) -> None:
    session = await shop.session()
    leads_to(await shop.press_pay(session, token="pm_card_threeDSecure2Required"))
    leaving = await shop.page(f"{session['path']}/next")
    bank = refresh_of(leaving)
    assert bank.startswith(f"{shop.sandbox.stripe_url}/_sandbox/3ds/pi_")
    # Loaded again, or after the back button, the page leads to the bank, and not by itself.
    page = await shop.page(session["path"])
    assert b"http-equiv" not in page.raw
    assert "Go on at your bank" in text_of(page)
    await shop.authenticate(session["id"], "succeed")
    back = f"{session['path']}/return?payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_1"
    assert leads_to(await shop.page(back)) == f"{session['path']}/return"
    # Nobody waits for the ten seconds after which the payment is asked about anyway.
    await asyncio.wait_for(shop.until(session["id"], "complete"), 60)
    assert "shop.example" in refresh_of(await shop.page(f"{session['path']}/return"))


async def test_three_d_secure_that_fails(shop: Shop) -> None:
    session = await shop.session()
    leads_to(await shop.press_pay(session, token="pm_card_threeDSecure2Required"))
    await shop.authenticate(session["id"], "fail")
    leads_to(await shop.page(f"{session['path']}/return?redirect_status=failed"))
    await asyncio.wait_for(shop.until_order(session["id"], "failed"), 60)
    assert leads_to(await shop.page(f"{session['path']}/return")) == session["path"]
    assert "could not confirm that it was you" in text_of(await shop.page(session["path"]))


async def test_a_return_proves_nothing(shop: Shop) -> None:
    session = await shop.session()
    leads_to(await shop.press_pay(session, token="pm_card_threeDSecure2Required"))
    leads_to(await shop.page(f"{session['path']}/return?redirect_status=succeeded"))
    page = await shop.page(f"{session['path']}/return")
    assert "We ask your bank" in text_of(page)
    assert (await shop.read(session["id"]))["status"] == "open"
    assert (await shop.page(f"{session['path']}/status")).json == {"state": "action"}


async def test_razorpay(shop: Shop) -> None:
    session = await shop.session(amount=50000, currency="INR")
    leads_to(await shop.press_pay(session, processor="razorpay", token=""))
    page = await shop.page(f"{session['path']}/next")
    assert b"data-at-once" in page.raw
    assert b"&#34;orderId&#34;: &#34;order_" in page.raw or b"&#34;orderId&#34;:&#34;order_" in page.raw
    assert f"{shop.sandbox.razorpay_url}/v1/checkout.js".encode() in page.raw
    order = await shop.order(session["id"])
    await shop.control("POST", f"/payments/{order['processorOrderId']}/pay", {"method": "upi"})
    # Razorpay posts its answer, which is no more than a reason to ask.
    answer = await shop.api.call("POST", f"{session['path']}/return", data=b"razorpay_payment_id=pay_1", headers=FORM)
    assert leads_to(answer) == f"{session['path']}/return"
    await asyncio.wait_for(shop.until(session["id"], "complete"), 60)


async def test_a_page_that_waits_asks_and_can_be_loaded_again(shop: Shop) -> None:
    await shop.control(
        "POST",
        "/faults",
        {"account": "sk_test_123456789", "operation": "payment.create", "mode": "slow", "ms": 1500, "times": 1},
    )
    session = await shop.session()
    pressed = asyncio.create_task(shop.press_pay(session))
    await shop.until_order(session["id"], "processing")
    page = await shop.page(session["path"])
    assert "is being processed" in text_of(page)
    assert b"<form" not in page.raw
    assert (await shop.page(f"{session['path']}/status")).json == {"state": "waiting"}
    leads_to(await pressed)
    assert (await shop.page(f"{session['path']}/status")).json == {"state": "paid"}


async def test_nobody_is_sent_on_before_the_merchant_would_read_complete(
    test_database: TestDatabase, sandbox: Sandbox
) -> None:
    async with open_shop(test_database, sandbox, {"PAY_WAIT_S": "0"}, relaying=False) as shop:
        session = await shop.session()
        leads_to(await shop.press_pay(session))
        assert (await shop.page(f"{session['path']}/status")).json == {"state": "waiting"}
        await shop.api.captured(str(order_id_of(UUID(session["id"]))), 2599)
        app = shop.api.server.responder

        async def fails(*_: object) -> None:
            raise Unavailable("The database can't serve at the moment.")

        shop.api.server.responder = build_app(dataclasses.replace(shop.api.services, settle_checkout=fails))
        for place in ("/next", "/return", ""):
            page = await shop.page(session["path"] + place)
            assert "is being processed" in text_of(page)
            assert b"shop.example/thanks" not in page.raw
        assert (await shop.page(f"{session['path']}/status")).json == {"state": "waiting"}
        shop.api.server.responder = app
        assert "shop.example/thanks" in refresh_of(await shop.page(f"{session['path']}/next"))
        assert (await shop.read(session["id"]))["status"] == "complete"


async def test_expired_and_cancelled(shop: Shop) -> None:
    session = await shop.session()
    (await shop.expire(session["id"])).must(200)
    page = await shop.page(session["path"])
    assert page.status == 200
    assert "not made in time" in text_of(page)
    assert CANCEL_URL.encode() in page.raw
    assert leads_to(await shop.press_pay(session)) == f"{session['path']}/next"
    assert leads_to(await shop.page(f"{session['path']}/next")) == session["path"]
    assert await shop.payments() == []

    session = await shop.session()
    leads_to(await shop.press_pay(session, token="pm_card_visa_chargeDeclined"))
    path = f"/v1/orders/{order_id_of(UUID(session['id']))}/cancel"
    (await shop.api.call("POST", path, key=shop.merchant.api_key)).must(200)
    assert "The shop cancelled this payment" in text_of(await shop.page(session["path"]))
    assert (await shop.read(session["id"]))["status"] == "expired"


async def test_what_is_not_there_is_a_page_as_well(shop: Shop) -> None:
    for path in ("/checkout/0190a5b0-0000-7000-8000-000000000013", "/checkout/nothing"):
        for place in ("", "/next", "/return", "/return?x=1"):
            page = await shop.page(path + place)
            assert page.status == 404
            assert page.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "We can't find this payment" in text_of(page)
        assert (await shop.page(f"{path}/status")).status == 404


BROKEN_FORMS = (
    (b"attempt=1&processor=stripe&token=pm_card_visa", "application/json", 415),
    (b"", FORM["Content-Type"], 400),
    (b"attempt=1", FORM["Content-Type"], 400),
    (b"attempt=1&processor=paypal", FORM["Content-Type"], 400),
    (b"attempt=x&processor=stripe", FORM["Content-Type"], 400),
    (b"attempt=1&processor=stripe&token=%3Cscript%3E", FORM["Content-Type"], 400),
    (b"attempt=1&processor=stripe&token=4242424242424242", FORM["Content-Type"], 400),
    (b"attempt=1&processor=stripe&token=%ff", FORM["Content-Type"], 400),
    (b"a=1&" * 30, FORM["Content-Type"], 400),
    (b"a" * 9000, FORM["Content-Type"], 413),
)


async def test_a_form_that_is_none_changes_nothing(shop: Shop) -> None:
    session = await shop.session()
    for data, content_type, status in BROKEN_FORMS:
        headers = {"Content-Type": content_type}
        answer = await shop.api.call("POST", f"{session['path']}/pay", data=data, headers=headers)
        assert answer.status == status, data
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert f'href="{session["path"]}"' in answer.raw.decode()
    assert (await shop.read(session["id"]))["orderId"] is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "else"])
async def test_a_form_that_another_site_sent_pays_nothing(shop: Shop, site: str) -> None:
    session = await shop.session()
    answer = await shop.press_pay(session, headers={"Sec-Fetch-Site": site})
    assert answer.status == 403
    assert "Another site sent this" in text_of(answer)
    assert f'href="{session["path"]}"' in answer.raw.decode()
    assert (await shop.read(session["id"]))["orderId"] is None
    # Banks and processors send customers back from their own sites.
    for method in ("GET", "POST"):
        back = await shop.api.call(
            method, f"{session['path']}/return?a=1", data=b"", headers={**FORM, "Sec-Fetch-Site": site}
        )
        assert leads_to(back) == f"{session['path']}/return"


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_its_own_form_pays(shop: Shop, site: str) -> None:
    session = await shop.session()
    leads_to(await shop.press_pay(session, headers={"Sec-Fetch-Site": site}))
    await shop.until(session["id"], "complete")


SHOPS_ADDRESSES = (
    ("https://shop.example/{SESSION_ID}", "https://shop.example/$"),
    ("https://shop.example/thanks?s={SESSION_ID}&t={SESSION_ID}", "https://shop.example/thanks?s=$&t=$"),
    ("https://shop.example/thanks#session={SESSION_ID}", "https://shop.example/thanks#session=$"),
    ("https://shop.example/thanks?s=%7BSESSION_ID%7D#%7bSESSION_ID%7d", "https://shop.example/thanks?s=$#$"),
    ("https://shop.example/a?b=c;url=https://evil.example", "https://shop.example/a?b=c;url=https://evil.example"),
    ("https://shop.example/a?b='\"><script>&amp;c", "https://shop.example/a?b='\"><script>&amp;c"),
    ("https://shop.example/a?b={session_id}%", "https://shop.example/a?b={session_id}%"),
)


@pytest.mark.parametrize(("asked", "wanted"), SHOPS_ADDRESSES)
async def test_the_shop_gets_its_customer_at_the_address_that_it_gave(shop: Shop, asked: str, wanted: str) -> None:
    session = await shop.session(successUrl=asked, cancelUrl=asked)
    links = re.findall(r'href="([^"]*)"', (await shop.page(session["path"])).raw.decode())
    assert html.unescape(links[-1]) == asked
    leads_to(await shop.press_pay(session))
    await shop.until(session["id"], "complete")
    leaving = await shop.page(f"{session['path']}/next")
    assert refresh_of(leaving) == wanted.replace("$", session["id"])
    assert b"<script>" not in leaving.raw
    assert leaving.headers["Referrer-Policy"] == "no-referrer"


async def test_it_can_be_pressed_so_often_only(shop: Shop) -> None:
    session = await shop.session()
    answers = [await shop.press_pay(session, attempt="99") for _ in range(31)]
    assert [answer.status for answer in answers[:30]] == [303] * 30
    assert answers[30].status == 429
    assert 0 < int(answers[30].headers["Retry-After"]) <= 60
    assert (await shop.page(session["path"])).status == 200
    assert (await shop.press_pay(await shop.session(), attempt="99")).status == 303


class TestHeaders:
    async def test_a_page_lets_nothing_in_that_is_not_its_own(self, shop: Shop) -> None:
        session = await shop.session()
        page = await shop.page(session["path"])
        policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": f"'self' {shop.sandbox.stripe_url}",
            "frame-src": shop.sandbox.stripe_url,
            "style-src": "'self'",
            "img-src": "'self'",
            "connect-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert b" on" not in b"".join(part.split(b">")[0] for part in page.raw.split(b"<")[1:])
        assert b"style=" not in page.raw

    async def test_its_parts_may_be_kept(self, shop: Shop) -> None:
        page = (await shop.page((await shop.session())["path"])).raw.decode()
        style = page.split('rel="stylesheet" href="')[1].split('"')[0]
        asset = await shop.page(style)
        assert asset.status == 200
        assert asset.headers["Content-Type"] == "text/css; charset=utf-8"
        assert "immutable" in asset.headers["Cache-Control"]
        assert (await shop.page("/checkout/assets/other.css")).status == 404
        assert (await shop.page("/checkout/assets/..%2fpages.py")).status == 404
        head = await shop.api.call("HEAD", style)
        assert (head.status, head.raw) == (200, b"")


REAL_POLICIES = {
    "stripe": {
        "script-src": "'self' https://js.stripe.com https://*.js.stripe.com",
        "frame-src": "https://*.js.stripe.com https://js.stripe.com https://hooks.stripe.com",
        "connect-src": "'self' https://api.stripe.com",
    },
    "razorpay": {
        "script-src": "'self' https://checkout.razorpay.com https://cdn.razorpay.com",
        "frame-src": "https://api.razorpay.com",
        "connect-src": "'self' https://lumberjack.razorpay.com https://lumberjack-metrics.razorpay.com",
        "img-src": "'self' https://cdn.razorpay.com data:",
        "style-src": "'self' 'unsafe-inline'",
        "form-action": "'self' https://api.razorpay.com",
    },
}


@pytest.mark.parametrize("processor", REAL_POLICIES)
def test_real_scripts_are_let_in_where_they_are_real(processor: str) -> None:
    """Beside the page's own, which is not loosened."""
    real = Settings.from_env(
        {"STRIPE_API_BASE": "https://api.stripe.com", "RAZORPAY_API_BASE": "https://api.razorpay.com"}
    )
    own, policy = (
        dict(part.split(" ", 1) for part in text.split("; "))
        for text in (Scripts(real).policy(), Scripts(real).policy([processor]))
    )
    assert policy == own | REAL_POLICIES[processor]
    assert (own["default-src"], own["base-uri"], own["frame-ancestors"]) == ("'none'",) * 3
    assert "'unsafe-inline'" not in policy["script-src"]


async def test_the_order_is_the_sessions(shop: Shop) -> None:
    session = await shop.session(
        customerId="c-7", customerEmail="Ann@shop.example", metadata={"cart": 7}, currency="EUR"
    )
    leads_to(await shop.press_pay(session))
    order = await shop.order(session["id"])
    assert (order["amount"], order["currency"], order["customerId"]) == (2599, "EUR", "c-7")
    assert (order["customerEmail"], order["metadata"]) == ("Ann@shop.example", {"cart": 7})
    assert order["returnUrl"] == f"{session['url']}/return"
    assert urlsplit(order["cancelUrl"]).netloc == "shop.example"
