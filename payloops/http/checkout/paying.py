"""What the pages' buttons do: place the session's order, begin a payment, take word that the customer is back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from payloops.commands.checkout_session import NotePayment, NoteReturn, PlaceOrder
from payloops.commands.handlers import Companion
from payloops.commands.order import CreateOrder, ProcessorOption, StartPayment
from payloops.errors import AmountMismatch, InvalidStatus
from payloops.events.checkout_session_state import Absent, order_id_of
from payloops.events.order_states import Processing
from payloops.http.checkout.forms import PayForm
from payloops.http.checkout.loaded import Checkout, meta_of
from payloops.http.checkout.situation import ActionNeeded
from payloops.http.customer_email import email_rows
from payloops.http.message import Request
from payloops.http.outcome import wait_for_order
from payloops.http.services import Services
from payloops.projections.checkout_sessions import SESSION_EMAIL
from payloops.projections.personal_data import CUSTOMER_EMAIL, open_credentials

SIMULATED_KEY: Final = "pk_test_simulated"
_EXTERNAL_ID_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Offer:
    """A processor that the customer may choose. ``publishable_key`` is Stripe's, for browsers, and so is the amount."""

    option: ProcessorOption
    publishable_key: str | None = field(default=None, repr=False)
    stripe_amount: int | None = None

    @property
    def processor(self) -> str:
        """Its name."""
        return self.option.processor


async def offers(checkout: Checkout, services: Services) -> list[Offer]:
    """The merchant's processors that work on the page, in the order's own preference. Raises Unavailable."""
    facts = checkout.session.facts
    found: list[Offer] = []
    for one in await services.checkout_views.pay_options(facts.merchant_id, test_mode=facts.test_mode):
        option = ProcessorOption(one.processor, enabled=True, priority=one.priority, test_mode=facts.test_mode)
        key: str | None = None
        amount: int | None = None
        if one.processor == "stripe":
            try:
                amount = services.stripe_amount(facts.amount, facts.currency)
            except AmountMismatch:
                continue
            credentials = open_credentials(services.ring, facts.merchant_id, one.processor, one.credentials)
            key = credentials.get("publishableKey")
            if key is None and services.settings.simulated(one.processor):
                key = SIMULATED_KEY
            if key is None:
                # Stripe's form can't be shown without it.
                continue
        found.append(Offer(option, key, amount))
    preferred = "razorpay" if facts.currency == "INR" else "stripe"
    return sorted(found, key=lambda one: (one.option.priority, one.processor != preferred, one.processor))


async def place_order(request: Request, checkout: Checkout, services: Services) -> UUID:
    """The session's order, made in the transaction that says so. Raises InvalidStatus (not open), Unavailable."""
    facts = checkout.session.facts
    order_id = order_id_of(facts.session_id)
    if facts.order_id is not None:
        return order_id
    key = await services.personal.key_for(facts.merchant_id)
    email = key.open(SESSION_EMAIL, facts.session_id, facts.customer_email)
    now, meta = services.clock.now(), meta_of(request)
    create = CreateOrder(
        order_id=order_id,
        now=now,
        meta=meta,
        merchant_id=facts.merchant_id,
        test_mode=facts.test_mode,
        amount=facts.amount,
        currency=facts.currency,
        external_id=f"cs_{order_id.hex[-_EXTERNAL_ID_DIGITS:]}",
        customer_id=facts.customer_id,
        customer_email=None if email is None else key.seal(CUSTOMER_EMAIL, order_id, email),
        metadata=dict(facts.metadata),
        return_url=f"{services.settings.checkout_base_url}/checkout/{facts.session_id}/return",
        cancel_url=facts.cancel_url,
        checkout_session_id=facts.session_id,
    )
    also = [Companion(services.orders, order_id, create)]
    try:
        await services.handler.execute(
            services.checkout_sessions,
            facts.session_id,
            PlaceOrder(facts.session_id, now, meta),
            also=also,
            extra_rows=email_rows(key, order_id, email),
        )
    except InvalidStatus:
        session = await services.handler.load(services.checkout_sessions, facts.session_id)
        if isinstance(session, Absent) or session.facts.order_id is None:
            raise
        # Somebody pressed twice, and the other one was faster.
    return order_id


async def start_payment(request: Request, checkout: Checkout, form: PayForm, services: Services) -> None:
    """Begin the attempt that the form is for, and wait a moment for its outcome.

    Raises InvalidStatus (it was begun already, or the session is over), InvalidProcessor, RateLimited, Unavailable.
    """
    offered = await offers(checkout, services)
    order_id = await place_order(request, checkout, services)
    now, meta = services.clock.now(), meta_of(request)
    start = StartPayment(
        order_id=order_id,
        now=now,
        meta=meta,
        options=tuple(offer.option for offer in offered),
        processor=form.processor,
        payment_method_type="card" if form.processor == "stripe" else None,
        payment_method_token=form.token if form.processor == "stripe" else None,
        attempt=form.attempt,
    )
    note = NotePayment(checkout.id, now, meta, form.attempt)
    also = [Companion(services.checkout_sessions, checkout.id, note)]
    await services.handler.execute(services.orders, order_id, start, also=also)
    wait_s = services.settings.pay_wait_s
    if wait_s > 0:
        await wait_for_order(
            services, order_id, lambda state: not isinstance(state, Processing) or state.outcome_unknown, wait_s
        )


async def note_return(request: Request, checkout: Checkout, services: Services) -> None:
    """The customer is back: whoever waits for that is told to ask. Raises VersionConflict, Unavailable."""
    waits = checkout.situation
    if not isinstance(waits, ActionNeeded) or waits.workflow_id is None:
        return
    command = NoteReturn(
        checkout.id, services.clock.now(), meta_of(request), waits.attempt, waits.processor, waits.workflow_id
    )
    await services.handler.execute(services.checkout_sessions, checkout.id, command)
