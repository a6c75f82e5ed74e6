"""The control API at ``/_sandbox/*``: look at the ledger, arm faults, register webhook endpoints, play the customer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from payloops.sandbox import customers
from payloops.sandbox.customers import problem
from payloops.sandbox.engine import ENDPOINT, Engine, Work
from payloops.sandbox.faults import OPERATIONS, SLOW_MS_DEFAULT, SLOW_MS_MAX, TIMES_MAX, Mode
from payloops.sandbox.ledger import ledger_of
from payloops.sandbox.manners import Manners
from payloops.sandbox.parameters import MalformedBodyError, Parameters, parse_json
from payloops.sandbox.razorpay.objects import METHODS
from payloops.sandbox.store import Page, StoredDocument
from payloops.sandbox.stripe import cards, objects
from payloops.sandbox.stripe.accounts import is_web_address
from payloops.sandbox.wire import Document, Refusal, Reply, json_reply

_ACCOUNT: Final = re.compile(r"(?:sk|rk|rzp)_test_[A-Za-z0-9_]{1,250}")
_ENDPOINTS_MAX: Final = 100
_DELAY_MS_MAX: Final = 600_000
_DUPLICATES_MAX: Final = 20
_SECRET_LENGTH_MAX: Final = 500

Handle = Callable[[web.Request, Parameters], Reply]


def _malformed(param: str, what: str) -> Refusal:
    return problem(400, "invalid_request", f"{param} {what}.", param)


class Control:
    """The handlers; all run at once, without waiting."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_routes(self, app: web.Application) -> None:
        """Put the control API into an app."""
        routes: tuple[tuple[str, str, tuple[str, ...], Handle], ...] = (
            ("GET", "/ledger", ("account",), self._ledger),
            ("POST", "/faults", ("account", "operation", "mode", "times", "ms"), self._fault),
            (
                "POST",
                "/webhook-endpoints",
                ("account", "url", "secret", "duplicate", "delayMs", "shuffle", "drop"),
                self._endpoint,
            ),
            ("POST", "/payments/{id}/authenticate", ("result",), self._authenticate),
            ("POST", "/payments/{id}/pay", ("method", "token"), self._pay),
            ("POST", "/payments/{id}/refund", ("amount",), self._refund),
            ("POST", "/payments/{id}/dispute", (), self._dispute),
            ("POST", "/payments/{id}/dispute/close", ("result",), self._close_dispute),
            ("DELETE", "/accounts/{account}", (), self._forget),
        )
        for method, path, allowed, handle in routes:
            app.router.add_route(method, f"/_sandbox{path}", _handler(handle, allowed))

    def _ledger(self, _: web.Request, parameters: Parameters) -> Reply:
        return json_reply(200, ledger_of(self._engine.store, _account(parameters)))

    def _fault(self, _: web.Request, parameters: Parameters) -> Reply:
        account = _account(parameters)
        operation = _required(parameters, "operation", OPERATIONS)
        mode = _required(parameters, "mode", tuple(Mode))
        times = parameters.integer("times", low=1, high=TIMES_MAX) or 1
        wait_ms = parameters.integer("ms", low=0, high=SLOW_MS_MAX)
        if wait_ms is not None and mode != Mode.SLOW:
            raise _malformed("ms", "is only for the mode slow")
        wait_ms = SLOW_MS_DEFAULT if wait_ms is None else wait_ms
        store = self._engine.store
        with store.transaction():
            store.add_fault(account, operation, mode, times, wait_ms)
            waiting = [
                {"operation": waiting, "mode": mode, "times": left} for waiting, mode, left in store.faults(account)
            ]
        return json_reply(201, {"account": account, "waiting": waiting})

    def _endpoint(self, _: web.Request, parameters: Parameters) -> Reply:
        account = _account(parameters)
        url = parameters.text("url")
        if url is None or not is_web_address(url):
            raise _malformed("url", "must be an http or https address")
        secret = parameters.text("secret", length_max=_SECRET_LENGTH_MAX)
        if secret is None:
            raise _malformed("secret", "is required")
        manners = Manners(
            duplicate=_amount(parameters, "duplicate", _DUPLICATES_MAX),
            delay_ms=parameters.integer("delayMs", low=0, high=_DELAY_MS_MAX) or 0,
            shuffle=bool(parameters.boolean("shuffle")),
            drop=_amount(parameters, "drop", 1),
        )
        endpoint_id, is_new = self._register(account, url, {"secret": secret, "manners": manners.as_document()})
        answer: Document = {"id": endpoint_id, "account": account, "url": url}
        return json_reply(201 if is_new else 200, answer)

    def _register(self, account: str, url: str, hidden: Document) -> tuple[str, bool]:
        """Register an endpoint, or give the one of that address another secret and other manners."""
        store = self._engine.store
        now_s = self._engine.now_ms() // 1000
        with store.transaction():
            for known in store.documents(account, ENDPOINT, Page(limit=_ENDPOINTS_MAX)):
                if known.body["url"] == url:
                    known.hidden = hidden
                    store.write_document(known)
                    return known.id, False
            processor = "razorpay" if account.startswith("rzp_") else "stripe"
            store.add_account(account, processor, None, now_s)
            body = objects.new_webhook_endpoint(url, ["*"], now_s, description="sandbox control", metadata={})
            store.write_document(StoredDocument(0, body["id"], account, ENDPOINT, None, now_s, body, hidden))
            return body["id"], True

    def _authenticate(self, request: web.Request, parameters: Parameters) -> Reply:
        passed = _required(parameters, "result", ("succeed", "fail")) == "succeed"
        return self._act(request, lambda work, payment: customers.authenticate(work, payment, passed=passed))

    def _pay(self, request: web.Request, parameters: Parameters) -> Reply:
        method = parameters.choice("method", METHODS) or "card"
        token = parameters.text("token") or cards.DEFAULT_TOKEN
        return self._act(request, lambda work, payment: customers.pay(work, payment, method=method, token=token))

    def _refund(self, request: web.Request, parameters: Parameters) -> Reply:
        amount = parameters.integer("amount", low=1)
        return self._act(request, lambda work, payment: customers.refund(work, payment, amount))

    def _dispute(self, request: web.Request, _: Parameters) -> Reply:
        return self._act(request, customers.dispute)

    def _close_dispute(self, request: web.Request, parameters: Parameters) -> Reply:
        won = _required(parameters, "result", ("won", "lost")) == "won"
        return self._act(request, lambda work, payment: customers.close_dispute(work, payment, won=won))

    def _act(self, request: web.Request, act: Callable[[Work, StoredDocument], Document]) -> Reply:
        with customers.acting_on(self._engine, request.match_info["id"]) as (work, payment):
            return json_reply(200, act(work, payment))

    def _forget(self, request: web.Request, _: Parameters) -> Reply:
        with self._engine.store.transaction():
            self._engine.store.forget(request.match_info["account"])
        return Reply(204, b"")


def _handler(handle: Handle, allowed: tuple[str, ...]) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        try:
            reply = handle(request, await _parameters(request, allowed))
        except Refusal as refusal:
            reply = _in_our_shape(refusal.reply)
        return web.Response(status=reply.status, body=reply.body, content_type="application/json")

    return answer


async def _parameters(request: web.Request, allowed: tuple[str, ...]) -> Parameters:
    if request.method == "GET":
        parameters = Parameters(dict(request.query), _malformed)
    else:
        body = await request.read()
        try:
            parameters = Parameters(parse_json(body) if body else {}, _malformed)
        except MalformedBodyError as error:
            raise problem(400, "invalid_json", f"The request can't be read: {error}.") from error
    for name in parameters.unknown(allowed):
        raise _malformed(name, "is not known here")
    return parameters


def _account(parameters: Parameters) -> str:
    account = parameters.text("account")
    if account is None or not _ACCOUNT.fullmatch(account):
        raise _malformed(
            "account", "must be a Stripe test secret key (sk_test_…) or a Razorpay test key id (rzp_test_…)"
        )
    return account


def _required(parameters: Parameters, name: str, allowed: tuple[str, ...]) -> str:
    value = parameters.choice(name, allowed)
    if value is None:
        raise _malformed(name, f"is required: one of {', '.join(allowed)}")
    return value


def _amount(parameters: Parameters, name: str, high: int) -> float:
    """How much of a fault: true is 1, false is 0, or a number."""
    value = parameters.raw(name)
    if value is None:
        return 0
    if not isinstance(value, (bool, int, float)) or not 0 <= value <= high:
        raise _malformed(name, f"must be true, false or a number from 0 to {high}")
    return float(value)


def _in_our_shape(reply: Reply) -> Reply:
    """A refusal of Stripe's or Razorpay's rules in the control API's own words."""
    error = orjson.loads(reply.body)["error"]
    if "description" in error:
        return json_reply(400, {"error": {"code": "invalid_status", "message": error["description"]}})
    if "type" in error:
        return json_reply(400, {"error": {"code": error.get("code", "invalid_status"), "message": error["message"]}})
    return reply
