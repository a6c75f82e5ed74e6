"""Asking the processor now, over HTTP, on the embedded engine: what a support person's click finds out."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.commands.order_sync import LOST_S
from payloops.events.order_state import Captured, Existing, Processing
from payloops.values import iso
from tests.inbox import bodies as b
from tests.inbox.world import Inbox, razorpay_account
from tests.integration.http.world import Merchant
from tests.sync.world import (
    WAIT,
    MovableClock,
    at_stripe,
    fault,
    history,
    in_doubt,
    ledger,
    paid,
    payment_of,
    quiet,
    relaying,
    sync,
    synced,
    until,
)


def refund_in_doubt(state: Existing) -> bool:
    return isinstance(state, Captured) and any(refund.outcome_unknown for refund in state.refunds.values())


@pytest.mark.usefixtures("relay")
class TestPayments:
    @pytest.mark.parametrize("mode", ["timeout_after", "reset_after"])
    async def test_a_charge_whose_answer_was_lost_is_known_at_once(
        self, inbox: Inbox, merchant: Merchant, mode: str
    ) -> None:
        order = await in_doubt(inbox, merchant, mode)
        body = await synced(inbox, merchant, order)
        payment = await payment_of(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["outcomeUnknown"]) == ("captured", False)
        assert body["changed"]
        about_payment, *about_what_followed = body["asked"]
        assert about_payment == {
            "about": "payment",
            "attempt": 1,
            "processor": "stripe",
            "processorTransactionId": payment["id"],
            "outcome": "captured",
            "code": None,
        }
        assert [(one["about"], one["outcome"]) for one in about_what_followed] == [
            ("refunds", "listed"),
            ("disputes", "listed"),
        ]
        await quiet(inbox)
        assert (await ledger(inbox, merchant))["calls"]["payment.create"] == 1
        # Its workflow was told, looked, and ended: nothing asks about this order any more.
        assert inbox.rows("SELECT status FROM workflow_runs") == [("finished",)]
        assert await history(inbox, order) == [
            "OrderCreated",
            "PaymentStarted",
            "PaymentOutcomeUnknown",
            "SyncRequested",
            "PaymentCaptured",
            "SyncFinished",
        ]

    async def test_who_asked_and_who_told_is_in_the_trail(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await in_doubt(inbox, merchant, "reset_after")
        answer = await sync(inbox, merchant, order, **{"X-Correlation-ID": "ticket-7"})
        answer.must(200)
        trail = (await inbox.api.call("GET", f"/api/orders/{order['id']}/events", token=merchant.token)).must(200)
        finished, captured, requested = trail["data"][:3]
        assert [one["type"] for one in (requested, captured, finished)] == [
            "order.sync_requested",
            "order.payment_captured",
            "order.sync_finished",
        ]
        assert requested["actor"]["type"] == "user"
        assert captured["causationId"] == finished["causationId"] == requested["id"]
        assert captured["actor"] == {"type": "processor", "id": "stripe"}
        assert {one["correlationId"] for one in (requested, captured, finished)} == {"ticket-7"}

    @pytest.mark.parametrize("mode", ["timeout_before", "reset_before"])
    async def test_a_charge_that_was_not_made_is_made_again_by_its_workflow_at_once(
        self, inbox: Inbox, merchant: Merchant, mode: str
    ) -> None:
        order = await in_doubt(inbox, merchant, mode)
        body = await synced(inbox, merchant, order)
        assert [one["outcome"] for one in body["asked"]] == ["not_found"]
        await inbox.reach(order["id"], "captured")
        await quiet(inbox)
        assert (await payment_of(inbox, merchant, order))["amountCaptured"] == order["amount"]

    async def test_without_a_workflow_a_charge_that_was_not_made_stays_unknown(
        self, inbox: Inbox, merchant: Merchant
    ) -> None:
        order = await in_doubt(inbox, merchant, "reset_before")
        inbox.rows("DELETE FROM workflow_runs RETURNING 1")
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["outcomeUnknown"]) == ("processing", True)
        assert ([one["outcome"] for one in body["asked"]], body["changed"]) == (["not_found"], False)
        await quiet(inbox)
        assert (await ledger(inbox, merchant))["payments"] == []

    async def test_a_lost_word_of_the_customers_success(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_authenticationRequired")
        assert order["paid"]["status"] == "requires_action"
        waiting = await synced(inbox, merchant, order)
        assert (waiting["changed"], waiting["asked"][0]["outcome"]) == (False, "action_required")
        payment = await payment_of(inbox, merchant, order)
        await inbox.control("POST", f"/payments/{payment['id']}/authenticate", {"result": "succeed"})
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["nextAction"], body["changed"]) == ("captured", None, True)

    async def test_a_lost_word_of_the_customers_failure(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_authenticationRequired")
        payment = await payment_of(inbox, merchant, order)
        await inbox.control("POST", f"/payments/{payment['id']}/authenticate", {"result": "fail"})
        body = await synced(inbox, merchant, order)
        (told,) = body["asked"]
        assert (body["order"]["status"], told["outcome"]) == ("failed", "declined")
        assert told["code"] == body["order"]["failure"]["code"] is not None

    async def test_a_customers_action_is_shown_when_the_charges_answer_was_lost(
        self, inbox: Inbox, merchant: Merchant
    ) -> None:
        await fault(inbox, merchant, "payment.create", "reset_after")
        order = await inbox.pay(merchant, "pm_card_authenticationRequired", wait_s=0)
        await until(inbox, order, lambda state: isinstance(state, Processing) and state.outcome_unknown)
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["outcomeUnknown"]) == ("requires_action", False)
        assert body["order"]["nextAction"]["redirectUrl"].startswith("http")

    async def test_a_late_success_counts(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa_chargeDeclined")
        assert order["paid"]["status"] == "failed"
        unchanged = await synced(inbox, merchant, order)
        assert (unchanged["order"]["status"], unchanged["changed"]) == ("failed", False)
        payment = await payment_of(inbox, merchant, order)
        await at_stripe(
            inbox, merchant, f"payment_intents/{payment['id']}/confirm", payment_method="pm_card_visa",
            return_url="https://shop.example/r",
        )  # fmt: skip
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["failure"], body["changed"]) == ("captured", None, True)

    async def test_a_hold_that_was_released_at_the_processor_is_over(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa", captureMethod="manual")
        held = await synced(inbox, merchant, order)
        assert (held["order"]["status"], held["changed"]) == ("authorized", False)
        payment = await payment_of(inbox, merchant, order)
        await at_stripe(inbox, merchant, f"payment_intents/{payment['id']}/cancel")
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["asked"][0]["outcome"]) == ("cancelled", "voided")

    async def test_a_hold_that_was_taken_at_the_processor_is_captured(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa", captureMethod="manual")
        payment = await payment_of(inbox, merchant, order)
        await at_stripe(inbox, merchant, f"payment_intents/{payment['id']}/capture", amount_to_capture="400")
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["amountCaptured"]) == ("captured", 400)

    async def test_an_earlier_attempts_late_money_is_found_and_goes_back(
        self, inbox: Inbox, merchant: Merchant
    ) -> None:
        order = await paid(inbox, merchant, "pm_card_visa_chargeDeclined")
        first = await payment_of(inbox, merchant, order)
        again = {"paymentMethod": {"type": "card", "token": "pm_card_visa"}}
        await inbox.api.call("POST", f"/v1/orders/{order['id']}/pay", again, key=merchant.api_key, headers=WAIT)
        await inbox.reach(order["id"], "captured")
        await at_stripe(
            inbox, merchant, f"payment_intents/{first['id']}/confirm", payment_method="pm_card_visa",
            return_url="https://shop.example/r",
        )  # fmt: skip
        body = await synced(inbox, merchant, order)
        assert [(one["about"], one["attempt"]) for one in body["asked"]][:2] == [("payment", 2), ("payment", 1)]
        assert (body["order"]["amountCaptured"], body["changed"]) == (order["amount"], True)
        await quiet(inbox)
        books = await ledger(inbox, merchant)
        assert [refund["paymentId"] for refund in books["refunds"]] == [first["id"]]

    @pytest.mark.parametrize("mode", ["http_500", "reset_before"])
    async def test_a_processor_that_does_not_answer_changes_nothing(
        self, inbox: Inbox, merchant: Merchant, mode: str
    ) -> None:
        order = await paid(inbox, merchant, "pm_card_authenticationRequired")
        # A question that meets a broken connection is asked once more on a new one.
        await fault(inbox, merchant, "payment.get", mode, times=3)
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["changed"]) == ("requires_action", False)
        assert body["asked"][0]["outcome"] == "unanswered"

    async def test_an_account_that_is_gone_is_said(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        (await inbox.api.call("DELETE", "/api/processors/stripe", token=merchant.token)).must(204)
        body = await synced(inbox, merchant, order)
        assert {one["outcome"] for one in body["asked"]} == {"misconfigured"}
        assert body["asked"][0]["code"] == "processor_not_configured"

    async def test_a_razorpay_checkout_that_was_paid(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await inbox.api.new_order(merchant, currency="INR")
        pay = {"processor": "razorpay"}
        paid = await inbox.api.call("POST", f"/v1/orders/{order['id']}/pay", pay, key=merchant.api_key, headers=WAIT)
        at_razorpay = paid.must(200)["processorData"]["orderId"]
        await inbox.control("POST", f"/payments/{at_razorpay}/pay")
        body = await synced(inbox, merchant, order)
        assert body["asked"][0]["processor"] == "razorpay"
        assert body["changed"]
        await inbox.reach(order["id"], "captured")
        await quiet(inbox)
        books = await inbox.control("GET", f"/ledger?account={razorpay_account(merchant)}")
        assert sum(payment["amountCaptured"] for payment in books["payments"]) == order["amount"]


@pytest.mark.usefixtures("relay")
class TestRefunds:
    async def test_one_made_at_the_processor_is_booked_once(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        payment = await payment_of(inbox, merchant, order)
        await inbox.control("POST", f"/payments/{payment['id']}/refund", {"amount": 300})
        body = await synced(inbox, merchant, order)
        assert (body["order"]["status"], body["order"]["amountRefunded"]) == ("partially_refunded", 300)
        again = await synced(inbox, merchant, order)
        assert (again["order"]["amountRefunded"], again["changed"]) == (300, False)
        # The webhooks that were lost come after all.
        (refund,) = (await ledger(inbox, merchant))["refunds"]
        thing = b.refund(300, refund_id=refund["id"], payment_intent=payment["id"])
        assert (await inbox.tell_stripe(merchant, b.stripe_event("refund.created", thing))).verdict == "processed"
        charge = b.charge(order["amount"], refunded=300, payment_intent=payment["id"])
        assert (await inbox.tell_stripe(merchant, b.stripe_event("charge.refunded", charge))).verdict == "processed"
        state = await inbox.order(order["id"])
        assert isinstance(state, Captured)
        assert (state.refunded, len(state.refunds)) == (300, 1)

    async def test_one_whose_answer_was_lost_is_known_at_once(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        await fault(inbox, merchant, "refund.create", "reset_after")
        await inbox.api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 400}, key=merchant.api_key)
        await until(inbox, order, refund_in_doubt)
        body = await synced(inbox, merchant, order)
        assert (body["order"]["amountRefunded"], body["order"]["outcomeUnknown"]) == (400, False)
        assert len((await ledger(inbox, merchant))["refunds"]) == 1

    async def test_one_that_was_not_made_stays_pending(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        await fault(inbox, merchant, "refund.create", "reset_before")
        await inbox.api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 400}, key=merchant.api_key)
        await until(inbox, order, refund_in_doubt)
        body = await synced(inbox, merchant, order)
        assert (body["order"]["amountRefunded"], body["order"]["outcomeUnknown"]) == (0, True)
        assert body["changed"] is False

    async def test_what_does_not_fit_is_left_to_people(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        payment = await payment_of(inbox, merchant, order)
        await fault(inbox, merchant, "refund.create", "reset_before")
        await inbox.api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 600}, key=merchant.api_key)
        await until(inbox, order, refund_in_doubt)
        await inbox.control("POST", f"/payments/{payment['id']}/refund", {"amount": 700})
        body = await synced(inbox, merchant, order)
        assert [one["outcome"] for one in body["asked"]] == ["captured", "not_booked", "listed"]
        assert (body["order"]["amountRefunded"], body["changed"]) == (0, False)


@pytest.mark.usefixtures("relay")
class TestRequests:
    async def test_of_an_order_that_was_never_paid_there_is_nothing_to_ask(
        self, inbox: Inbox, merchant: Merchant
    ) -> None:
        order = await inbox.api.new_order(merchant)
        assert (await sync(inbox, merchant, order)).must(400)["code"] == "invalid_status"
        (await inbox.api.call("POST", f"/v1/orders/{order['id']}/cancel", {}, key=merchant.api_key)).must(200)
        assert (await sync(inbox, merchant, order)).must(400)["code"] == "invalid_status"

    async def test_another_merchants_order_does_not_exist(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        other = await inbox.merchant("stripe")
        before = inbox.log_length()
        assert (await sync(inbox, other, order)).must(404)["code"] == "not_found"
        assert (await sync(inbox, other, {"id": "no-id"})).must(404)["code"] == "not_found"
        assert inbox.log_length() == before

    async def test_it_is_the_dashboards(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        path = f"/api/orders/{order['id']}/sync"
        assert (await inbox.api.call("POST", path, {}, key=merchant.api_key)).status == 403
        assert (await inbox.api.call("POST", path, {})).status == 401

    async def test_a_key_gives_the_first_answer_again(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await in_doubt(inbox, merchant, "reset_after")
        first = await sync(inbox, merchant, order, **{"Idempotency-Key": "click-1"})
        second = await sync(inbox, merchant, order, **{"Idempotency-Key": "click-1"})
        assert first.must(200)["finished"]
        assert second.raw == first.raw
        assert second.headers["Idempotent-Replayed"] == "true"
        assert second.headers["ETag"] == first.headers["ETag"] == f'"{first.json["order"]["version"]}"'
        assert (await history(inbox, order)).count("SyncRequested") == 1

    async def test_it_can_be_conditional(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        assert (await sync(inbox, merchant, order, **{"If-Match": '"1"'})).must(409)["code"] == "version_conflict"
        version = (await inbox.order(order["id"])).facts.version
        (await sync(inbox, merchant, order, **{"If-Match": f'"{version}"'})).must(200)

    async def test_who_does_not_wait_reads_the_answer_later(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await in_doubt(inbox, merchant, "reset_after")
        answer = await sync(inbox, merchant, order, Prefer="respond-async")
        body = answer.must(200)
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert (body["finished"], body["asked"], body["changed"]) == (False, [], False)
        await until(inbox, order, lambda state: state.facts.sync.answers is not None)
        detail = (await inbox.api.call("GET", f"/api/orders/{order['id']}", token=merchant.token)).must(200)
        assert detail["lastSync"]["finished"]
        assert detail["lastSync"]["changed"]
        assert [one["outcome"] for one in detail["lastSync"]["asked"]] == ["captured", "listed", "listed"]

    async def test_a_body_has_nothing_to_say(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        path = f"/api/orders/{order['id']}/sync"
        (await inbox.api.call("POST", path, token=merchant.token, headers=WAIT)).must(200)
        assert (await inbox.api.call("POST", path, [], token=merchant.token)).status == 400


async def test_a_question_waits_for_a_relay(inbox: Inbox, merchant: Merchant, clock: MovableClock) -> None:
    """One that was given up meanwhile is not put any more."""
    async with relaying(inbox):
        order = await paid(inbox, merchant, "pm_card_authenticationRequired")
        await quiet(inbox)
    payment = await payment_of(inbox, merchant, order)
    asked_before = (await ledger(inbox, merchant))["calls"].get("payment.get", 0)
    await inbox.control("POST", f"/payments/{payment['id']}/authenticate", {"result": "succeed"})
    for _ in range(2):
        assert not (await sync(inbox, merchant, order, Prefer="wait=0")).must(200)["finished"]
        clock.ahead_s += LOST_S
    async with relaying(inbox):
        await inbox.reach(order["id"], "captured")
        state = await until(inbox, order, lambda state: state.facts.sync.answers is not None)
        await quiet(inbox)
    assert state.facts.sync is not None
    assert state.facts.sync.number == 2
    assert (await history(inbox, order)).count("SyncFinished") == 1
    assert (await ledger(inbox, merchant))["calls"]["payment.get"] == asked_before + 1


@pytest.mark.usefixtures("relay")
async def test_a_moment_later_the_answer_is_shared(inbox: Inbox, merchant: Merchant, clock: MovableClock) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    first = await synced(inbox, merchant, order)
    state = await inbox.order(order["id"])
    assert state.facts.sync is not None
    clock.ahead_s += (state.facts.sync.requested_at - clock.now()).total_seconds()
    shared = (await sync(inbox, merchant, order)).must(200)
    assert shared == first
    assert (await history(inbox, order)).count("SyncRequested") == 1


@pytest.mark.usefixtures("relay")
class TestNextAsk:
    """When the processor is asked next by itself, as the order's detail says."""

    async def next_ask(self, inbox: Inbox, merchant: Merchant, order: Any) -> Any:
        path = f"/api/orders/{order['id']}"
        return (await inbox.api.call("GET", path, token=merchant.token)).must(200)["nextAsk"]

    async def test_it_is_when_the_workflow_wakes(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await in_doubt(inbox, merchant, "reset_after")
        ((due,),) = inbox.rows("SELECT due_at FROM outbox WHERE kind = 'wake'")
        assert await self.next_ask(inbox, merchant, order) == iso(due)
        await synced(inbox, merchant, order)
        await quiet(inbox)
        assert await self.next_ask(inbox, merchant, order) is None

    async def test_of_a_refund(self, inbox: Inbox, merchant: Merchant) -> None:
        order = await paid(inbox, merchant, "pm_card_visa")
        assert await self.next_ask(inbox, merchant, order) is None
        await fault(inbox, merchant, "refund.create", "reset_before")
        await inbox.api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 400}, key=merchant.api_key)
        await until(inbox, order, refund_in_doubt)
        await quiet(inbox)
        ((due,),) = inbox.rows("SELECT due_at FROM outbox WHERE kind = 'wake'")
        assert await self.next_ask(inbox, merchant, order) == iso(due)
