"""What events do to orders: every type that has an effect, in the simplest story in which it has one."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.events.order_state import Authorized, Cancelled, Captured, Failed, RequiresAction, status
from payloops.values import new_id
from tests.inbox import bodies as b
from tests.inbox.world import Inbox
from tests.integration.http.world import Merchant


async def paid_at_stripe(inbox: Inbox, merchant: Merchant, **fields: Any) -> Any:
    """An order whose payment was asked for; no relay runs, so that nothing but events moves it."""
    order = await inbox.api.new_order(merchant, **fields)
    (await inbox.api.call("POST", f"/v1/orders/{order['id']}/pay", {"processor": "stripe"}, key=merchant.api_key)).must(
        200
    )
    inbox.rows("DELETE FROM outbox WHERE kind = 'start' RETURNING seq")
    return order


async def captured_at_stripe(inbox: Inbox, merchant: Merchant, **fields: Any) -> Any:
    order = await paid_at_stripe(inbox, merchant, **fields)
    await inbox.api.captured(order["id"], order["amount"])
    return order


async def paid_at_razorpay(inbox: Inbox, merchant: Merchant, **fields: Any) -> Any:
    order = await inbox.api.new_order(merchant, currency="INR", **fields)
    (
        await inbox.api.call("POST", f"/v1/orders/{order['id']}/pay", {"processor": "razorpay"}, key=merchant.api_key)
    ).must(200)
    inbox.rows("DELETE FROM outbox WHERE kind = 'start' RETURNING seq")
    return order


async def test_a_success_captures(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id))
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, event)
    assert (judged.verdict, judged.reason, str(judged.facts.order_id)) == ("processed", None, order["id"])
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.captured, state.attempt.processor_transaction_id) == (1000, "pi_1")
    last = (await inbox.api.services.handler._store.load(state.facts.order_id))[-1]
    assert (last.meta.actor.type, last.meta.actor.id) == ("processor", "stripe")
    assert last.meta.causation_id == event["id"]


async def test_a_refusal_fails_in_the_processors_words(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Not enough."}
    thing = b.intent(order["id"], merchant.id, amount_received=0, last_payment_error=error)
    async with inbox.relaying():
        assert (
            await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.payment_failed", thing))
        ).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Failed)
    failure = state.failure
    assert (failure.code, failure.decline_code, failure.message) == (
        "card_declined",
        "insufficient_funds",
        "Not enough.",
    )


async def test_an_action_is_asked_for_then_the_bank_works_on_it(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}}
    async with inbox.relaying():
        thing = b.intent(order["id"], merchant.id, next_action=action)
        await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.requires_action", thing))
        state = await inbox.order(order["id"])
        assert isinstance(state, RequiresAction)
        shown = (await inbox.api.order(merchant, order["id"]))["nextAction"]
        assert shown["redirectUrl"] == "https://bank.example/3ds"
        assert shown["clientSecret"] == "pi_1_secret_canary"
        thing = b.intent(order["id"], merchant.id)
        await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.processing", thing))
        assert status(await inbox.order(order["id"])) == "processing"
    for table in ("stored_events", "outbox", "orders", "processor_events"):
        assert inbox.rows(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%%canary%%'") == [(0,)]


async def test_an_end_at_the_processor_cancels(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    async with inbox.relaying():
        thing = b.intent(order["id"], merchant.id, amount_received=0)
        await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.canceled", thing))
    assert isinstance(await inbox.order(order["id"]), Cancelled)


async def test_held_money_is_authorized_then_partly_taken(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant, captureMethod="manual")
    async with inbox.relaying():
        held = b.intent(order["id"], merchant.id, amount_received=0, amount_capturable=1000)
        await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.amount_capturable_updated", held))
        state = await inbox.order(order["id"])
        assert isinstance(state, Authorized)
        taken = b.intent(order["id"], merchant.id, amount_received=400)
        await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.succeeded", taken))
        captured = await inbox.order(order["id"])
        assert isinstance(captured, Captured)
        assert captured.captured == 400
        # What a partial capture releases is no refund; a refund after it is one.
        released = b.charge(refunded=600, amount_captured=400)
        assert (await inbox.tell_stripe(merchant, b.stripe_event("charge.refunded", released))).verdict == "ignored"
        refunded = b.charge(refunded=700, amount_captured=400)
        assert (await inbox.tell_stripe(merchant, b.stripe_event("charge.refunded", refunded))).verdict == "processed"
    after = await inbox.order(order["id"])
    assert isinstance(after, Captured)
    assert after.refunded == 100


async def test_a_hold_that_is_released_is_no_refund(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant, captureMethod="manual")
    released = b.charge(refunded=1000, amount_captured=0, captured=False)
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, b.stripe_event("charge.refunded", released))
    assert judged.verdict == "ignored"
    assert status(await inbox.order(order["id"])) == "processing"


@pytest.mark.parametrize("event_type", ["refund.created", "refund.updated", "charge.refund.updated"])
async def test_a_refund_made_at_the_processor_is_booked_once(inbox: Inbox, merchant: Merchant, event_type: str) -> None:
    order = await captured_at_stripe(inbox, merchant)
    async with inbox.relaying():
        for _ in range(2):
            assert (await inbox.tell_stripe(merchant, b.stripe_event(event_type, b.refund(300)))).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.refunded, len(state.refunds)) == (300, 1)
    (refund,) = (await inbox.api.call("GET", f"/v1/orders/{order['id']}/refunds", key=merchant.api_key)).must(200)
    assert (refund["amount"], refund["status"]) == (300, "success")


async def test_a_refund_that_fails_later_is_taken_back(inbox: Inbox, merchant: Merchant) -> None:
    order = await captured_at_stripe(inbox, merchant)
    async with inbox.relaying():
        await inbox.tell_stripe(merchant, b.stripe_event("refund.created", b.refund(300)))
        failed = b.refund(300, status="failed", failure_reason="lost_or_stolen_card")
        await inbox.tell_stripe(merchant, b.stripe_event("refund.failed", failed))
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.refunded, state.refundable) == (0, 1000)
    assert [one.error_code for one in state.refunds.values()] == ["lost_or_stolen_card"]


async def test_our_own_refund_is_told_by_its_id(inbox: Inbox, merchant: Merchant) -> None:
    order = await captured_at_stripe(inbox, merchant)
    made = await inbox.api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 250}, key=merchant.api_key)
    refund_id = made.must(201)["refundId"]
    inbox.rows("DELETE FROM outbox WHERE kind = 'start' RETURNING seq")
    labels = {"refund_id": refund_id, "order_id": order["id"], "merchant_id": str(merchant.id)}
    async with inbox.relaying():
        wrong = b.stripe_event("refund.updated", b.refund(999, metadata=labels))
        judged = await inbox.tell_stripe(merchant, wrong)
        assert (judged.verdict, judged.reason) == ("quarantined", "The event is about a refund of 999, ours is of 250.")
        await inbox.tell_stripe(merchant, b.stripe_event("refund.updated", b.refund(250, metadata=labels)))
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert [(str(one.refund_id), one.status) for one in state.refunds.values()] == [(refund_id, "success")]


@pytest.mark.parametrize(("ending", "shown"), [("won", "won"), ("lost", "lost")])
async def test_a_dispute_is_opened_and_decided(inbox: Inbox, merchant: Merchant, ending: str, shown: str) -> None:
    order = await captured_at_stripe(inbox, merchant)
    async with inbox.relaying():
        await inbox.tell_stripe(merchant, b.stripe_event("charge.dispute.created", b.dispute()))
        assert (await inbox.api.order(merchant, order["id"]))["disputeStatus"] == "opened"
        for event_type in ("charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_reinstated"):
            await inbox.tell_stripe(merchant, b.stripe_event(event_type, b.dispute(ending)))
        await inbox.tell_stripe(merchant, b.stripe_event("charge.dispute.funds_withdrawn", b.dispute()))
    assert (await inbox.api.order(merchant, order["id"]))["disputeStatus"] == shown


async def test_a_payment_that_was_not_begun_here_counts(inbox: Inbox, merchant: Merchant) -> None:
    order = await inbox.api.new_order(merchant)
    async with inbox.relaying():
        event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id))
        assert (await inbox.tell_stripe(merchant, event)).verdict == "processed"
    assert status(await inbox.order(order["id"])) == "captured"


async def test_a_late_success_counts_after_a_failure(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    await inbox.api.failed(order["id"])
    async with inbox.relaying():
        event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id))
        await inbox.tell_stripe(merchant, event)
        late = b.stripe_event("payment_intent.payment_failed", b.intent(order["id"], merchant.id))
        assert (await inbox.tell_stripe(merchant, late)).verdict == "processed"
    assert status(await inbox.order(order["id"])) == "captured"


async def test_amounts_of_special_currencies_are_stripes(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant, amount=5000, currency="ISK")
    thing = b.intent(order["id"], merchant.id, 500_000, currency="isk")
    broken = b.intent(order["id"], merchant.id, 500_050, currency="isk")
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.succeeded", broken))
        assert judged.verdict == "quarantined"
        assert (
            await inbox.tell_stripe(merchant, b.stripe_event("payment_intent.succeeded", thing))
        ).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert state.captured == 5000


# ------------------------------------------------------------------------------------------------------------ razorpay


async def test_razorpay_authorizes_and_captures(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    async with inbox.relaying():
        payment = b.razorpay_payment(order["id"], merchant.id, status="authorized", captured=False)
        event = b.razorpay_event("payment.authorized", payment=payment)
        assert (await inbox.tell_razorpay(merchant, event, "e1")).verdict == "processed"
        assert status(await inbox.order(order["id"])) == "authorized"
        event = b.razorpay_event("payment.captured", payment=b.razorpay_payment(order["id"], merchant.id))
        await inbox.tell_razorpay(merchant, event, "e2")
        paid = b.razorpay_event(
            "order.paid", payment=b.razorpay_payment(), order=b.razorpay_order(order["id"], merchant.id)
        )
        assert (await inbox.tell_razorpay(merchant, paid, "e3")).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.attempt.processor_order_id, state.attempt.processor_transaction_id) == ("order_1", "pay_1")


async def test_razorpay_payments_are_found_by_their_order(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    await inbox.api.action_required(order["id"], processor_order_id="order_1")
    async with inbox.relaying():
        event = b.razorpay_event("payment.failed", payment=b.razorpay_payment(error_code="BAD_REQUEST_ERROR"))
        assert (await inbox.tell_razorpay(merchant, event, "e1")).verdict == "processed"
        state = await inbox.order(order["id"])
        assert isinstance(state, Failed)
        assert state.failure.code == "BAD_REQUEST_ERROR"
        event = b.razorpay_event("payment.captured", payment=b.razorpay_payment())
        assert (await inbox.tell_razorpay(merchant, event, "e2")).verdict == "processed"
    assert status(await inbox.order(order["id"])) == "captured"


async def test_razorpay_orders_without_their_payment_are_paid(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    async with inbox.relaying():
        event = b.razorpay_event("order.paid", order=b.razorpay_order(order["id"], merchant.id))
        assert (await inbox.tell_razorpay(merchant, event, "e1")).verdict == "processed"
    assert status(await inbox.order(order["id"])) == "captured"


async def test_razorpay_refunds(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    async with inbox.relaying():
        payment = b.razorpay_payment(order["id"], merchant.id)
        await inbox.tell_razorpay(merchant, b.razorpay_event("payment.captured", payment=payment), "e1")
        pending = b.razorpay_refund(100, status="pending")
        await inbox.tell_razorpay(merchant, b.razorpay_event("refund.created", refund=pending, payment=payment), "e2")
        await inbox.tell_razorpay(
            merchant, b.razorpay_event("refund.processed", refund=b.razorpay_refund(100), payment=payment), "e3"
        )
        other = b.razorpay_refund(200, refund_id="rfnd_2", status="failed")
        # Without the payment beside it: found by the payment's id.
        await inbox.tell_razorpay(merchant, b.razorpay_event("refund.failed", refund=other), "e4")
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert sorted((one.amount, one.status) for one in state.refunds.values()) == [(100, "success"), (200, "failed")]


@pytest.mark.parametrize(
    ("ending", "deducted", "shown"), [("won", 0, "won"), ("lost", 1000, "lost"), ("closed", 0, "won")]
)
async def test_razorpay_disputes(inbox: Inbox, merchant: Merchant, ending: str, deducted: int, shown: str) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    async with inbox.relaying():
        payment = b.razorpay_payment(order["id"], merchant.id)
        await inbox.tell_razorpay(merchant, b.razorpay_event("payment.captured", payment=payment), "e1")
        opened = b.razorpay_event("payment.dispute.created", payment=payment, dispute=b.razorpay_dispute())
        await inbox.tell_razorpay(merchant, opened, "e2")
        assert (await inbox.api.order(merchant, order["id"]))["disputeStatus"] == "opened"
        closed = b.razorpay_dispute(ending, amount_deducted=deducted)
        event = b.razorpay_event(f"payment.dispute.{ending}", payment=payment, dispute=closed)
        await inbox.tell_razorpay(merchant, event, "e3")
    assert (await inbox.api.order(merchant, order["id"]))["disputeStatus"] == shown


# ---------------------------------------------------------------------------------------- what has no good effect


@pytest.mark.parametrize(
    "change",
    (
        {"amount": 999, "amount_received": 999},
        {"amount": 1001, "amount_received": 1001},
        {"amount_received": 999},
        {"currency": "eur"},
        {"currency": "xxx"},
        {"amount": 100_000, "amount_received": 1000},
    ),
)
async def test_another_amount_is_quarantined_and_never_captured(
    inbox: Inbox, merchant: Merchant, change: dict[str, Any]
) -> None:
    order = await paid_at_stripe(inbox, merchant)
    event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id, **change))
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, event)
    assert judged.verdict == "quarantined"
    assert judged.reason
    assert status(await inbox.order(order["id"])) == "processing"
    (listed,) = await inbox.events(merchant, "?status=quarantined")
    assert (listed["processorEventId"], listed["orderId"]) == (event["id"], order["id"])


async def test_another_razorpay_amount_is_quarantined(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    async with inbox.relaying():
        changes: tuple[dict[str, Any], ...] = ({"amount": 1}, {"currency": "USD"})
        for number, change in enumerate(changes):
            payment = b.razorpay_payment(order["id"], merchant.id, **change)
            event = b.razorpay_event("payment.captured", payment=payment)
            assert (await inbox.tell_razorpay(merchant, event, f"e{number}")).verdict == "quarantined"
    assert status(await inbox.order(order["id"])) == "processing"


async def test_another_currency_is_quarantined_whatever_is_told(inbox: Inbox, merchant: Merchant) -> None:
    order = await captured_at_stripe(inbox, merchant)
    told = (
        b.stripe_event("refund.created", b.refund(100, currency="eur")),
        b.stripe_event("charge.refunded", b.charge(refunded=100, currency="eur")),
        b.stripe_event("charge.dispute.created", b.dispute(currency="eur")),
        b.stripe_event("payment_intent.payment_failed", b.intent(order["id"], merchant.id, currency="eur")),
        b.stripe_event("refund.created", b.refund(100, currency=None)),
    )
    async with inbox.relaying():
        for event in told:
            judged = await inbox.tell_stripe(merchant, event)
            assert (judged.verdict, str(judged.facts.order_id)) == ("quarantined", order["id"]), event["type"]
    assert (await inbox.api.order(merchant, order["id"]))["version"] == 3


async def test_a_payment_of_another_processor_is_quarantined(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_razorpay(inbox, merchant)
    event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id, currency="inr"))
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, event)
    assert (judged.verdict, judged.reason) == ("quarantined", "The order is paid through another processor.")


async def test_ones_own_signature_on_anothers_order_does_nothing(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    stranger = await inbox.merchant("stripe")
    event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], stranger.id))
    absent = b.stripe_event("payment_intent.succeeded", b.intent(new_id(), stranger.id))
    async with inbox.relaying():
        theirs, nobodys = [await inbox.tell_stripe(stranger, one) for one in (event, absent)]
    assert (theirs.verdict, theirs.reason) == (nobodys.verdict, nobodys.reason)
    assert (theirs.verdict, theirs.facts.order_id) == ("ignored", None)
    assert (await inbox.api.order(merchant, order["id"]))["version"] == 2
    assert await inbox.events(merchant) == []
    # Found by the processor's ids it is as unknown.
    await inbox.api.captured(order["id"], 1000)
    dispute = b.stripe_event("charge.dispute.created", b.dispute())
    async with inbox.relaying():
        assert (await inbox.tell_stripe(stranger, dispute)).verdict == "ignored"
    assert (await inbox.api.order(merchant, order["id"]))["disputeStatus"] is None


async def test_unknown_types_are_kept_and_ignored(inbox: Inbox, merchant: Merchant) -> None:
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, b.stripe_event("customer.created", {"id": "cus_1"}))
        assert (judged.verdict, judged.facts.type) == ("ignored", "customer.created")
        nameless = await inbox.tell_stripe(merchant, {"id": "evt_x"})
        assert (nameless.verdict, nameless.facts.type) == ("failed", "unknown")
        event = b.razorpay_event("settlement.processed")
        assert (await inbox.tell_razorpay(merchant, event, "e1")).verdict == "ignored"


@pytest.mark.parametrize(
    ("event_type", "thing"),
    (
        ("payment_intent.succeeded", {}),
        ("payment_intent.succeeded", {"id": 5, "amount": 1, "currency": "usd"}),
        ("payment_intent.succeeded", {"id": "pi_1", "amount": "1000", "currency": "usd"}),
        ("payment_intent.succeeded", {"id": "pi_1", "amount": 1000.5, "currency": "usd"}),
        ("payment_intent.succeeded", {"id": "pi_1", "amount": -1, "currency": "usd"}),
        ("refund.created", {"id": "re_1"}),
        ("charge.dispute.created", {"id": "du_1", "amount": 5, "currency": "usd"}),
    ),
)
async def test_what_lacks_its_parts_fails_and_says_which(
    inbox: Inbox, merchant: Merchant, event_type: str, thing: dict[str, Any]
) -> None:
    async with inbox.relaying():
        judged = await inbox.tell_stripe(merchant, b.stripe_event(event_type, thing))
    assert judged.verdict == "failed"
    assert judged.reason is not None
    assert judged.reason.startswith("The event can't be read: ")
