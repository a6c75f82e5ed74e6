"""What may be asked of a checkout session: when a payment may begin, when it is complete, when it expires."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from payloops.commands.checkout_session import (
    RETURNS_MAX,
    CompleteSession,
    CreateSession,
    ExpireSession,
    NotePayment,
    NoteReturn,
    PlaceOrder,
    announcement,
    is_paid,
)
from payloops.commands.order import StartPayment
from payloops.errors import InvalidInput, InvalidStatus, NotFound, RateLimited
from payloops.events import checkout_session as c
from payloops.events.checkout_session_state import (
    TRIES_KEPT,
    Complete,
    Expired,
    Open,
    order_id_of,
    status,
)
from payloops.events.order_state import INITIAL as NO_ORDER
from payloops.events.order_states import ImpossibleHistory
from payloops.values import AMOUNT_MAX, new_id
from tests.checkout_specs import EXPIRES_AT, ORDER_OF_SESSION, SESSION_ID
from tests.spec import (
    AUTHORIZED,
    CAPTURED,
    FAILED,
    MERCHANT_ID,
    NOW,
    PENDING,
    PROCESSING,
    command,
    event,
    given,
    state_after,
)

CREATED: Final = (event(c.CheckoutSessionCreated),)
PLACED: Final = (*CREATED, event(c.CheckoutOrderPlaced))
COMPLETE: Final = (*PLACED, event(c.CheckoutSessionCompleted))
EXPIRED: Final = (*PLACED, event(c.CheckoutSessionExpired))
UNUSED: Final = (*CREATED, event(c.CheckoutSessionExpired, order_id=None))

SHIRTS: Final = ({"name": "A shirt", "amount": 400, "quantity": 2}, {"name": "A cap", "amount": 200, "quantity": 1})


class TestCreation:
    def test_it_is_open_for_as_long_as_the_merchant_said(self) -> None:
        asked = command(CreateSession, merchant_id=MERCHANT_ID, line_items=SHIRTS, expires_in_minutes=1440)
        made = given().when(asked)
        made.then_state(lambda state: isinstance(state, Open) and state.facts.order_id is None)
        assert made.events[0].expires_at == NOW + timedelta(hours=24)
        assert made.events[0].line_items == SHIRTS

    def test_half_an_hour_unless_it_says(self) -> None:
        assert given().when(command(CreateSession)).events[0].expires_at == NOW + timedelta(minutes=30)

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"line_items": SHIRTS[:1]}, "lineItems"),
            ({"line_items": (*SHIRTS, SHIRTS[1])}, "lineItems"),
            ({"amount": 0}, "amount"),
            ({"amount": AMOUNT_MAX + 1}, "amount"),
            ({"currency": "XXX"}, "currency"),
            ({"expires_in_minutes": 29}, "expiresInMinutes"),
            ({"expires_in_minutes": 1441}, "expiresInMinutes"),
        ],
    )
    def test_what_does_not_add_up_is_named(self, fields: dict[str, Any], param: str) -> None:
        given().when(command(CreateSession, **fields)).then_raises(InvalidInput, param=param)

    def test_what_it_comes_to_is_told(self) -> None:
        asked = command(CreateSession, line_items=SHIRTS[:1])
        given().when(asked).then_raises(InvalidInput, match="comes to 800, the session's amount is 1000")

    def test_an_id_is_used_once(self) -> None:
        given(*CREATED).when(command(CreateSession)).then_raises(InvalidStatus)


class TestOrder:
    def test_the_first_press_places_it(self) -> None:
        given(*CREATED).when(command(PlaceOrder)).then(event(c.CheckoutOrderPlaced, order_id=ORDER_OF_SESSION))

    def test_a_session_has_one(self) -> None:
        given(*PLACED).when(command(PlaceOrder)).then_nothing()

    def test_its_id_is_the_sessions_for_ever_and_as_old(self) -> None:
        session_id = new_id()
        order_id = order_id_of(session_id)
        assert order_id == order_id_of(session_id) != order_id_of(new_id())
        assert (order_id.version, order_id.variant) == (session_id.version, session_id.variant)
        assert order_id.int >> 80 == session_id.int >> 80
        assert order_id_of(UUID("0190a5b0-0000-7000-8000-000000000013")) == UUID("0190a5b0-0000-710c-bc5e-d72b6b456733")

    @pytest.mark.parametrize("history", [COMPLETE, EXPIRED, UNUSED])
    def test_not_of_a_session_that_is_over(self, history: Any) -> None:
        given(*history).when(command(PlaceOrder)).then_raises(InvalidStatus)
        given(*history).when(command(NotePayment)).then_raises(InvalidStatus)

    @pytest.mark.parametrize("asked", [PlaceOrder, NotePayment])
    def test_nor_when_its_time_is_over_though_nobody_noticed(self, asked: Any) -> None:
        given(*PLACED).when(command(asked, now=EXPIRES_AT)).then_raises(InvalidStatus, match="expired")
        given(*PLACED).when(command(NotePayment, now=EXPIRES_AT - timedelta(milliseconds=1))).then(
            event(c.CheckoutPaymentStarted)
        )


class TestTries:
    def test_each_is_written_down(self) -> None:
        given(*PLACED).when(command(NotePayment, attempt=3)).then(event(c.CheckoutPaymentStarted, attempt=3))

    def test_none_without_an_order(self) -> None:
        given(*CREATED).when(command(NotePayment)).then_raises(InvalidStatus)

    def test_so_many_a_minute_and_then_again(self) -> None:
        tries = [command(NotePayment, attempt=number, now=NOW + timedelta(seconds=number)) for number in range(10)]
        assert len(tries) == TRIES_KEPT
        given(*PLACED).when(*tries, command(NotePayment, now=NOW + timedelta(seconds=59))).then_raises(RateLimited)
        given(*PLACED).when(*tries, command(NotePayment, now=NOW + timedelta(seconds=60))).then(
            event(c.CheckoutPaymentStarted)
        )


class TestNumberedAttempts:
    """Of the order: a page names the attempt that it would begin."""

    def test_the_next_one_begins_also_with_the_card_that_was_declined(self) -> None:
        same = FAILED[1].payment_method_token  # type: ignore[attr-defined]
        again = given(*FAILED).when(command(StartPayment, attempt=2, payment_method_token=same))
        assert [started.attempt for started in again.events] == [2]
        assert [started.attempt for started in given(*PENDING).when(command(StartPayment, attempt=1)).events] == [1]

    @pytest.mark.parametrize(("history", "attempt"), [(PENDING, 2), (FAILED, 1), (FAILED, 3)])
    def test_no_other_does(self, history: Any, attempt: int) -> None:
        asked = command(StartPayment, attempt=attempt, payment_method_token="pm_another")
        given(*history).when(asked).then_raises(InvalidStatus, match="next payment attempt")


class TestReturns:
    def test_whoever_comes_back_is_asked_after(self) -> None:
        given(*PLACED).when(command(NoteReturn)).then(event(c.CheckoutCustomerReturned))
        given(*EXPIRED).when(command(NoteReturn)).then(event(c.CheckoutCustomerReturned))

    def test_not_for_ever(self) -> None:
        given(*PLACED).when(*[command(NoteReturn)] * (RETURNS_MAX + 1)).then_nothing()

    @pytest.mark.parametrize("history", [CREATED, COMPLETE])
    def test_nor_where_nothing_is_to_be_asked(self, history: Any) -> None:
        given(*history).when(command(NoteReturn)).then_nothing()


class TestCompletion:
    def test_a_paid_session_is_complete(self) -> None:
        done = given(*PLACED).when(command(CompleteSession))
        done.then(event(c.CheckoutSessionCompleted, late=False)).then_state(Complete)
        assert status(done.state) == "complete"

    def test_once(self) -> None:
        given(*COMPLETE).when(command(CompleteSession)).then_nothing()

    def test_late_money_completes_an_expired_session(self) -> None:
        given(*EXPIRED).when(command(CompleteSession)).then(event(c.CheckoutSessionCompleted, late=True))

    @pytest.mark.parametrize("history", [CREATED, UNUSED])
    def test_not_without_an_order(self, history: Any) -> None:
        given(*history).when(command(CompleteSession)).then_raises(InvalidStatus)

    def test_a_captured_order_is_paid_and_a_held_one_where_the_merchant_captures_himself(self) -> None:
        assert is_paid(state_after(*CAPTURED))
        assert is_paid(state_after(*AUTHORIZED))
        automatic = [event(type(PENDING[0]), capture_method="automatic"), *AUTHORIZED[1:]]
        assert not is_paid(state_after(*automatic))
        for history in (PENDING, PROCESSING, FAILED):
            assert not is_paid(state_after(*history))
        assert not is_paid(NO_ORDER)


class TestExpiry:
    def test_when_the_merchant_wants_it(self) -> None:
        asked = command(ExpireSession, reason="requested")
        given(*CREATED).when(asked).then(event(c.CheckoutSessionExpired, order_id=None, reason="requested"))
        given(*PLACED).when(asked).then(event(c.CheckoutSessionExpired, reason="requested")).then_state(Expired)

    def test_when_the_time_has_come_and_not_before(self) -> None:
        early = command(ExpireSession, reason="time", now=EXPIRES_AT - timedelta(milliseconds=1))
        given(*PLACED).when(early).then_nothing()
        given(*PLACED).when(command(ExpireSession, reason="time", now=EXPIRES_AT)).then(
            event(c.CheckoutSessionExpired, reason="time")
        )

    def test_when_the_order_was_cancelled(self) -> None:
        asked = command(ExpireSession, reason="order_cancelled")
        given(*PLACED).when(asked).then(event(c.CheckoutSessionExpired, reason="order_cancelled"))

    @pytest.mark.parametrize("history", [COMPLETE, EXPIRED])
    @pytest.mark.parametrize("reason", ["time", "requested", "order_cancelled"])
    def test_only_an_open_one(self, history: Any, reason: str) -> None:
        asked = command(ExpireSession, reason=reason, now=EXPIRES_AT)
        given(*history).when(asked).then_raises(InvalidStatus)

    def test_nor_by_the_merchant_when_its_time_is_over(self) -> None:
        given(*PLACED).when(command(ExpireSession, now=EXPIRES_AT)).then_raises(InvalidStatus, match="is expired")


class TestAnnouncement:
    """What the order publishes with the session's change."""

    @staticmethod
    def told(state: Any) -> dict[str, Any]:
        return {"status": status(state)}

    def test_of_a_completion_and_of_an_expiry(self) -> None:
        open_one = state_after(*PLACED)
        completed = announcement(command(CompleteSession), open_one, self.told)
        assert completed == ("checkout.completed", {"session": {"status": "complete"}})
        expired = announcement(command(ExpireSession), open_one, self.told)
        assert expired == ("checkout.expired", {"session": {"status": "expired"}})

    def test_nothing_where_there_is_no_order_or_no_change(self) -> None:
        assert announcement(command(ExpireSession), state_after(*CREATED), self.told) is None
        assert announcement(command(CompleteSession), state_after(*COMPLETE), self.told) is None


def test_nothing_can_be_asked_of_what_is_not_there() -> None:
    for asked in (PlaceOrder, NotePayment, NoteReturn, CompleteSession, ExpireSession):
        given().when(command(asked)).then_raises(NotFound, match="No such checkout session")


@pytest.mark.parametrize(
    "history",
    [
        (event(c.CheckoutOrderPlaced),),
        (*CREATED, event(c.CheckoutSessionCreated)),
        (*PLACED, event(c.CheckoutOrderPlaced)),
        (*CREATED, event(c.CheckoutPaymentStarted)),
        (*CREATED, event(c.CheckoutSessionCompleted)),
        (*COMPLETE, event(c.CheckoutSessionExpired)),
        (*COMPLETE, event(c.CheckoutSessionCompleted)),
        (*PLACED, event(c.CheckoutPaymentStarted, order_id=SESSION_ID)),
    ],
)
def test_a_history_that_no_command_wrote_is_refused(history: Any) -> None:
    with pytest.raises(ImpossibleHistory):
        state_after(*history)
