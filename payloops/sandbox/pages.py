"""The pages that a customer's browser sees: the bank's 3-D Secure question and Razorpay's checkout."""

from __future__ import annotations

import hmac
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from payloops.sandbox import customers
from payloops.sandbox.browser_scripts import FRAME_SCRIPT
from payloops.sandbox.engine import Engine
from payloops.sandbox.razorpay import payments as razorpay
from payloops.sandbox.store import StoredDocument
from payloops.sandbox.stripe import payments as stripe
from payloops.sandbox.stripe.accounts import is_web_address
from payloops.sandbox.wire import Document, Refusal
from payloops.values import Money

_DECLINED: Final = "pm_card_visa_chargeDeclined"
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:.5rem .5rem 0 0;border:1px solid #444;border-radius:.4rem;"
    "background:#fff;cursor:pointer}button.yes{background:#0a6;border-color:#0a6;color:#fff}"
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors *; base-uri 'none'"
_FRAME_POLICY: Final = f"{_POLICY}; script-src 'self'; connect-src 'self'; form-action 'none'"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """Serves the pages and takes their answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_routes(self, app: web.Application) -> None:
        """Put the pages into an app."""
        app.router.add_get("/_sandbox/3ds/{id}", self._ask_for_authentication)
        app.router.add_post("/_sandbox/3ds/{id}", self._take_authentication)
        app.router.add_get("/_sandbox/checkout/{id}", self._ask_for_payment)
        app.router.add_post("/_sandbox/checkout/{id}", self._take_payment)

    # ------------------------------------------------------------------------------------------------ 3-D Secure
    def _intent(self, request: web.Request, client_secret: str) -> StoredDocument:
        try:
            _, intent = customers.subject(self._engine, request.match_info["id"])
        except Refusal as refusal:
            raise web.HTTPNotFound(text="There is no such payment.") from refusal
        known = str(intent.body.get("client_secret", ""))
        if intent.kind != stripe.INTENT or not hmac.compare_digest(known.encode(), client_secret.encode()):
            raise web.HTTPNotFound(text="There is no such payment.")
        return intent

    async def _ask_for_authentication(self, request: web.Request) -> web.Response:
        client_secret = request.query.get("client_secret", "")
        intent = self._intent(request, client_secret)
        if intent.body["status"] != "requires_action":
            return _page("Nothing to confirm", "<p>This payment is not waiting for you any more.</p>")
        money = Money(intent.body["amount"], intent.body["currency"].upper())
        question = f"<p>Your bank asks whether you want to pay <strong>{escape(str(money))}</strong>.</p>"
        return _page(
            "3-D Secure",
            question + _form(("Complete authentication", "Fail authentication"), "client_secret", client_secret),
        )

    async def _take_authentication(self, request: web.Request) -> web.Response:
        form = await request.post()
        intent = self._intent(request, str(form.get("client_secret", "")))
        passed = _answer(str(form.get("result", "")))
        if intent.body["status"] == "requires_action":
            with customers.acting_on(self._engine, intent.id) as (work, intent):
                stripe.authenticate(work, intent, passed=passed)
        succeeded = intent.body["status"] in {"succeeded", "requires_capture", "processing"}
        return_url = intent.hidden.get("return_url")
        if return_url is None:
            return _page("Done", f"<p>Authentication {'succeeded' if succeeded else 'failed'}.</p>")
        parameters = {
            "payment_intent": intent.id,
            "payment_intent_client_secret": intent.body["client_secret"],
            "redirect_status": "succeeded" if succeeded else "failed",
        }
        raise web.HTTPSeeOther(_with_query(return_url, parameters), headers=_HEADERS)

    # -------------------------------------------------------------------------------------------------- checkout
    def _order(self, request: web.Request) -> StoredDocument:
        try:
            _, order = customers.subject(self._engine, request.match_info["id"])
        except Refusal as refusal:
            raise web.HTTPNotFound(text="There is no such order.") from refusal
        if order.kind != razorpay.ORDER:
            raise web.HTTPNotFound(text="There is no such order.")
        return order

    async def _ask_for_payment(self, request: web.Request) -> web.Response:
        order = self._order(request)
        framed = "framed" in request.query
        if framed and request.query.get("key") != order.account:
            # The real one says so in its frame.
            return _page("Checkout", "<p>The id provided does not exist.</p>", framed=True)
        if order.body["status"] == "paid" or order.hidden.get("held"):
            return _page("Paid", "<p>This order is paid.</p>", framed=framed)
        callback_url = _callback(request.query.get("callback_url", ""))
        money = Money(order.body["amount"], order.body["currency"])
        question = f"<p>Pay <strong>{escape(str(money))}</strong> for order {escape(order.id)}.</p>"
        return _page("Checkout", question + _form(("Pay", "Fail"), "callback_url", callback_url), framed=framed)

    async def _take_payment(self, request: web.Request) -> web.Response:
        form = await request.post()
        order = self._order(request)
        callback_url = _callback(str(form.get("callback_url", "")))
        token = "pm_card_visa" if _answer(str(form.get("result", ""))) else _DECLINED
        try:
            with customers.acting_on(self._engine, order.id) as (work, order):
                paid = customers.pay(work, order, method="card", token=token)
        except Refusal:
            return _page("Paid", "<p>This order is paid.</p>")
        if "framed" in request.query:
            return web.json_response(_told(order.id, paid, declined=token == _DECLINED), headers=_HEADERS)
        if token == _DECLINED:
            parameters = {"error[code]": "BAD_REQUEST_ERROR", "error[metadata][payment_id]": paid["id"]}
        else:
            parameters = _proof(order.id, paid)
        if callback_url:
            raise web.HTTPSeeOther(_with_query(callback_url, parameters), headers=_HEADERS)
        return _page("Done", f"<p>Payment {escape(paid['id'])}: {escape(paid['status'])}.</p>")


def _proof(order_id: str, paid: Document) -> dict[str, str]:
    """What a customer's browser brings back of a payment."""
    return {
        "razorpay_payment_id": paid["id"],
        "razorpay_order_id": order_id,
        "razorpay_signature": paid["signature"],
    }


def _told(order_id: str, paid: Document, *, declined: bool) -> Document:
    """What the frame tells the page around it."""
    if not declined:
        return {"paid": _proof(order_id, paid)}
    metadata = {"order_id": order_id, "payment_id": paid["id"]}
    return {"failed": {"code": "BAD_REQUEST_ERROR", "description": "Payment failed", "metadata": metadata}}


def _answer(result: str) -> bool:
    if result not in {"succeed", "fail"}:
        raise web.HTTPBadRequest(text="result must be succeed or fail.")
    return result == "succeed"


def _callback(url: str) -> str:
    if url and not is_web_address(url):
        raise web.HTTPBadRequest(text="callback_url must be an http or https address.")
    return url


def _with_query(url: str, parameters: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(parameters)) if part)
    return urlunsplit(parts._replace(query=query))


def _form(labels: tuple[str, str], hidden_name: str, hidden_value: str) -> str:
    yes, no = labels
    return (
        f'<form method="post"><input type="hidden" name="{hidden_name}" value="{escape(hidden_value)}">'
        f'<button class="yes" id="succeed" name="result" value="succeed">{yes}</button>'
        f'<button id="fail" name="result" value="fail">{no}</button></form>'
    )


def _page(title: str, content: str, *, framed: bool = False) -> web.Response:
    """``framed``: within the page that opened it, so it can be closed, and tells that page what came of it."""
    head, headers = "", _HEADERS
    if framed:
        head = f'<script src="{FRAME_SCRIPT}" defer></script>'
        content += '<p><button id="close" type="button">Close</button></p>'
        headers = _HEADERS | {"Content-Security-Policy": _FRAME_POLICY}
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>{head}</head>'
        f"<body><main><h1>{title}</h1>{content}<p><small>A simulated processor. No money moves.</small></p>"
        "</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html", headers=headers)
