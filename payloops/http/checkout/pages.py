"""The pages of the hosted checkout. Every address may be loaded again, at any time, without an effect.

``/checkout/:id`` shows where the checkout stands. A button posts, and leads to ``…/next``, which sends the customer on:
to the bank, to the shop, or back. ``…/return`` is where banks and processors send customers back to. What a page shows
comes from the session and its order alone; nothing that a browser says about a payment is believed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Final, Literal, assert_never
from urllib.parse import urlsplit

import orjson

from payloops import errors as e
from payloops.events.checkout_session_state import Facts
from payloops.http.answers.checkout import CheckoutState
from payloops.http.checkout import paying
from payloops.http.checkout.forms import PAY_FORM, read_pay_form, require_own_page
from payloops.http.checkout.loaded import Checkout, load
from payloops.http.checkout.post_limits import PostLimits
from payloops.http.checkout.rendering import asset_name, find_asset, render, shown_money
from payloops.http.checkout.scripts import Scripts
from payloops.http.checkout.situation import ActionNeeded, Over, Paid, Payable, Situation, Waiting
from payloops.http.errors import error_headers, no_path, status_of, unexpected
from payloops.http.message import Page, Reply, Request
from payloops.http.openapi.operation import Media, Operation, documented
from payloops.http.services import Services
from payloops.projections.personal_data import CLIENT_SECRET, REDIRECT_URL
from payloops.projections.views import as_uuid

Where = Literal["page", "next", "return"]

_NOT_FOUND: Final = "We can't find this payment. Check the link, or ask the shop for a new one."
_SORRY: Final = (
    "Something went wrong on our side. The payment's page tells whether it went through: load it in a moment."
)
_BUSY: Final = "We can't answer at the moment. The payment's page tells how it stands: load it in a moment."
_OFTEN: Final = "That was very often in a short time. Wait a minute, then try again."
_ELSEWHERE_SENT: Final = "Another site sent this, so nothing was paid. Go to the payment and press Pay there."
_UNREADABLE: Final = "Your browser sent what we can't read. Go back to the payment and try again."

_PAGE: Final = {200: Media("text/html", "The page."), 303: Media("", "Another page: see Location.")}
_ELSEWHERE: Final = Media("", "The page to load: see Location.")
_FORM_ERRORS: Final = (
    *("validation_error", "raw_card_rejected", "invalid_processor", "no_processor", "forbidden"),
    *("payload_too_large", "unsupported_media_type", "rate_limited"),
)

_SESSION_ID: Final = re.compile(r"(?:\{|%7[Bb])SESSION_ID(?:\}|%7[Dd])")
"""The placeholder, also as a library that builds addresses writes its braces."""

_log = logging.getLogger(__name__)

_Handler = Callable[["CheckoutPages", Request, Services], Awaitable[Reply]]


def _for_people(handler: _Handler) -> _Handler:
    """Errors as pages."""

    @wraps(handler)
    async def handle(self: CheckoutPages, request: Request, services: Services) -> Reply:
        try:
            return await handler(self, request, services)
        except e.PayloopsError as error:
            return self.error_page(error, request, services)
        except Exception as problem:  # noqa: BLE001 - the edge: the customer gets a page, the log the problem
            return self.error_page(unexpected(problem), request, services)

    return handle


class CheckoutPages:
    """The handlers, and what they share in a process."""

    def __init__(self) -> None:
        self._limits = PostLimits()
        self._scripts: Scripts | None = None

    # ----------------------------------------------------------------------------------------------------- handlers

    @documented(Operation(summary="Where the checkout stands", answers=_PAGE, for_people=True))
    @_for_people
    async def show(self, request: Request, services: Services) -> Reply:
        """``GET /checkout/:id``."""
        return await self._page(await load(request, services), services, "page")

    @documented(Operation(summary="The way to the bank, the shop or back", answers=_PAGE, for_people=True))
    @_for_people
    async def go_on(self, request: Request, services: Services) -> Reply:
        """``GET /checkout/:id/next``: sends the customer on."""
        return await self._page(await load(request, services), services, "next")

    @documented(
        Operation(
            summary="Pay was pressed",
            form=PAY_FORM,
            example={"attempt": "1", "processor": "stripe", "token": "pm_card_visa"},
            answers={303: _ELSEWHERE},
            errors=_FORM_ERRORS,
            for_people=True,
        )
    )
    @_for_people
    async def pay(self, request: Request, services: Services) -> Reply:
        """``POST /checkout/:id/pay``. Pressed twice, or on a page that is out of date, it changes nothing."""
        require_own_page(request)
        checkout = await load(request, services)
        self._limits.admit(checkout.id, asyncio.get_running_loop().time())
        form = read_pay_form(request)
        payable = checkout.situation
        if isinstance(payable, Payable) and payable.attempt == form.attempt:
            real = not services.settings.simulated(form.processor)
            if form.processor == "stripe" and form.token is None and real:
                raise e.InvalidInput("The card's details are missing.", param="token")
            with suppress(e.InvalidStatus):
                await paying.start_payment(request, checkout, form, services)
        return self._see(services, checkout, "/next")

    @documented(Operation(summary="Back from the bank", answers=_PAGE, errors=("rate_limited",), for_people=True))
    @_for_people
    async def come_back(self, request: Request, services: Services) -> Reply:
        """``GET`` and ``POST /checkout/:id/return``: back from the bank, or from the processor's own checkout.

        What the bank appends (Stripe: the payment's client secret) is not needed: the address is loaded again without.
        """
        checkout = await load(request, services)
        if request.method == "POST" or request.query:
            self._limits.admit(checkout.id, asyncio.get_running_loop().time())
            await paying.note_return(request, checkout, services)
            return self._see(services, checkout, "/return")
        return await self._page(checkout, services, "return")

    @documented(Operation(summary="What a page that waits asks", answers={200: CheckoutState}))
    async def status(self, request: Request, services: Services) -> Reply:
        """``GET /checkout/:id/status``: what a page that waits asks."""
        checkout = await load(request, services)
        return Reply(200, orjson.dumps({"state": _name(checkout)}))

    @documented(
        Operation(
            summary="A part of a checkout page",
            answers={200: Media("text/css", "A style sheet or a script.", ("text/javascript",))},
            path={"name": {"type": "string", "enum": [asset_name("checkout.css"), asset_name("checkout.js")]}},
        )
    )
    async def asset(self, request: Request, _services: Services) -> Reply:
        """``GET /checkout/assets/:name``."""
        found = find_asset(request.params[0])
        if found is None:
            raise no_path()
        return found

    # -------------------------------------------------------------------------------------------------------- pages

    async def _page(self, checkout: Checkout, services: Services, where: Where) -> Reply:
        match checkout.situation:
            case Payable() as payable if where == "page":
                return await self._payable(checkout, payable, services)
            case Over(why) if where == "page":
                return await self._plain(checkout, services, "over.html", why=why)
            case Payable() | Over():
                return self._see(services, checkout, "")
            case ActionNeeded() as action if where != "return":
                return await self._action(checkout, action, services, at_once=where == "next")
            case ActionNeeded():
                return await self._plain(checkout, services, "waiting.html", back=True, unknown=False)
            case Paid():
                return await self._paid(checkout, services, where)
            case Waiting(unknown):
                return await self._plain(checkout, services, "waiting.html", back=False, unknown=unknown)
            case _ as never:
                assert_never(never)

    async def _paid(self, checkout: Checkout, services: Services, where: Where) -> Reply:
        """Whoever comes from a payment goes to the shop, where the session is complete by then; others are told."""
        if not checkout.is_complete:
            return await self._plain(checkout, services, "waiting.html", back=False, unknown=False)
        if where == "page":
            return await self._plain(checkout, services, "paid.html", success_url=_success_url(checkout))
        return await self._plain(checkout, services, "leaving.html", to=_success_url(checkout), shop=True)

    async def _payable(self, checkout: Checkout, payable: Payable, services: Services) -> Reply:
        offered = await paying.offers(checkout, services)
        scripts = self._of(services)
        by_name = {offer.processor: offer for offer in offered}
        values = {
            "attempt": payable.attempt,
            "declined": payable.declined,
            "offers": [offer.processor for offer in offered],
            "stripe": scripts.of("stripe") if "stripe" in by_name else None,
            "publishable_key": by_name["stripe"].publishable_key if "stripe" in by_name else None,
            "stripe_amount": by_name["stripe"].stripe_amount if "stripe" in by_name else None,
        }
        loaded = [name for name in by_name if name == "stripe"]
        return await self._plain(checkout, services, "pay.html", scripts.policy(loaded), **values)

    async def _action(self, checkout: Checkout, action: ActionNeeded, services: Services, *, at_once: bool) -> Reply:
        """Sends the customer where he must act: by address, by Stripe's script, or to Razorpay's checkout."""
        key, order_id = await services.personal.key_for(checkout.merchant_id), checkout.session.facts.order_id
        if order_id is None:
            raise TypeError("only an order can need its customer")
        redirect_url = _web_address(key.open(REDIRECT_URL, order_id, action.redirect_url))
        if redirect_url is not None and at_once:
            return await self._plain(checkout, services, "leaving.html", to=redirect_url, shop=False)
        scripts = self._of(services)
        values: dict[str, Any] = {"redirect_url": redirect_url, "at_once": at_once, "script": None}
        if redirect_url is None:
            values["script"] = scripts.of(action.processor)
            values["client_secret"] = key.open(CLIENT_SECRET, order_id, action.client_secret)
            values["processor_data"] = action.processor_data
            values["publishable_key"] = next(
                (one.publishable_key for one in await paying.offers(checkout, services) if one.publishable_key), None
            )
            values["return_url"] = f"{services.settings.checkout_base_url}/checkout/{checkout.id}/return"
        policy = scripts.policy([] if redirect_url is not None else [action.processor])
        return await self._plain(checkout, services, "action.html", policy, processor=action.processor, **values)

    async def _plain(
        self, checkout: Checkout, services: Services, template: str, policy: str | None = None, **values: Any
    ) -> Page:
        merchant = await services.views.merchant(checkout.merchant_id)
        facts = checkout.session.facts
        shown = {
            "root": _root(services),
            "path": _path(services, checkout),
            "shop_name": "the shop" if merchant is None else merchant["name"],
            "test_mode": facts.test_mode,
            "amount": shown_money(facts.amount, facts.currency),
            "facts": facts,
            "line_items": _lines(facts),
            "cancel_url": facts.cancel_url,
        }
        return Page(200, render(template, shown | values), policy or self._of(services).policy())

    def error_page(self, error: e.PayloopsError, request: Request, services: Services) -> Page:
        """What a customer is told of an error."""
        root, session_id = _root(services), as_uuid(request.params[0])
        path = None if session_id is None or isinstance(error, e.NotFound) else f"{root}/{session_id}"
        values = {"root": root, "path": path, "shop_name": None, "test_mode": False, "message": _words(error)}
        policy, headers = self._of(services).policy(), error_headers(error, "")
        return Page(status_of(error), render("error.html", values), policy, headers)

    # ------------------------------------------------------------------------------------------------------- helpers

    def _of(self, services: Services) -> Scripts:
        if self._scripts is None:
            self._scripts = Scripts(services.settings)
        return self._scripts

    @staticmethod
    def _see(services: Services, checkout: Checkout, place: str) -> Reply:
        """The answer to a form: load this page (RFC 9110, 15.4.4), so that loading it again sends nothing again."""
        return Reply(303, b"", f"Location: {_path(services, checkout)}{place}\r\n".encode())


def _root(services: Services) -> str:
    return f"{urlsplit(services.settings.checkout_base_url).path}/checkout"


def _path(services: Services, checkout: Checkout) -> str:
    return f"{_root(services)}/{checkout.id}"


def _success_url(checkout: Checkout) -> str:
    """Where the shop wants its paid customers. The id needs no encoding, wherever in the address it is asked for."""
    facts = checkout.session.facts
    return _SESSION_ID.sub(str(facts.session_id), facts.success_url)


def _web_address(url: str | None) -> str | None:
    """The processor's address for its customer, if it is one that a browser should follow."""
    return url if url is not None and url.startswith(("https://", "http://")) else None


def _lines(facts: Facts) -> list[dict[str, Any]]:
    return [
        {
            "name": item["name"],
            "quantity": item["quantity"],
            "amount": shown_money(item["amount"] * item["quantity"], facts.currency),
            "each": shown_money(item["amount"], facts.currency),
        }
        for item in facts.line_items
    ]


def _name(checkout: Checkout) -> str:
    """For the script of a page that waits."""
    state: Situation = checkout.situation
    match state:
        case Payable():
            return "payable"
        case Waiting():
            return "waiting"
        case ActionNeeded():
            return "action"
        case Paid():
            return "paid" if checkout.is_complete else "waiting"
        case Over():
            return "over"
        case _ as never:
            assert_never(never)


def _words(error: e.PayloopsError) -> str:
    match error:
        case e.NotFound():
            return _NOT_FOUND
        case e.RateLimited():
            return _OFTEN
        case e.Unavailable() | e.Conflict():
            return _BUSY
        case e.Forbidden():
            return _ELSEWHERE_SENT
        case e.InvalidProcessor() | e.NoProcessor():
            return "The shop does not take payments in this way at the moment. Go back and try another."
        case _ if status_of(error) < status_of(e.PayloopsError("")):
            return _UNREADABLE
        case _:
            return _SORRY
