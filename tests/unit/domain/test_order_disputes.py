"""Disputes: each known by the processor's id, right in any order and any number of reports, apart from all refunds."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final

import pytest

from payloops.commands.order import RefundPayment
from payloops.commands.order_disputes import DISPUTES_MAX, dispute_id_of
from payloops.commands.order_reports import RecordDispute
from payloops.errors import AmountMismatch, InvalidStatus
from payloops.events.base import Event
from payloops.events.order import DisputeLost, DisputeOpened, DisputeWon, RefundRequested
from payloops.events.order_state import status
from tests.spec import (
    AMOUNT,
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    ORDER_ID,
    command,
    decide,
    event,
    evolve,
    given,
    state_after,
)


def dispute(word: str, name: str = "dp_1", amount: int = AMOUNT) -> RecordDispute:
    return command(RecordDispute, processor_dispute_id=name, status=word, amount=amount)


OPENED, WON, LOST = (dispute(word) for word in ("opened", "won", "lost"))
DISPUTED: Final = (*CAPTURED, event(DisputeOpened))


def test_it_is_opened() -> None:
    given(*CAPTURED).when(OPENED).then(event(DisputeOpened)).then_state(
        lambda state: state.dispute_status == "opened" and status(state) == "captured" and state.refundable == AMOUNT
    )


@pytest.mark.parametrize(("told", "ended"), [(WON, DisputeWon), (LOST, DisputeLost)])
def test_it_ends(told: RecordDispute, ended: type[Any]) -> None:
    given(*DISPUTED).when(told).then(event(ended)).then_state(lambda state: state.dispute_status == told.status)
    given(*DISPUTED).when(told, told).then_nothing()


def test_an_end_before_the_beginning_tells_both() -> None:
    given(*CAPTURED).when(LOST).then(event(DisputeOpened), event(DisputeLost))
    given(*CAPTURED).when(LOST, OPENED).then_nothing()


def test_again_it_tells_nothing() -> None:
    given(*CAPTURED).when(OPENED, OPENED).then_nothing()


@pytest.mark.parametrize(
    ("told", "last"), [((OPENED, WON), "won"), ((OPENED, LOST), "lost"), ((OPENED, LOST, WON), "won")]
)
def test_any_order_and_number_ends_the_same(told: tuple[RecordDispute, ...], last: str) -> None:
    for order in permutations(told * 2):
        state = state_after(*CAPTURED)
        for report in order:
            for happened in decide(report, state):
                state = evolve(state, happened)
        assert [one.status for one in state.disputes] == [last]
        assert state.refundable == AMOUNT


def test_of_several_an_open_one_is_shown_else_the_latest() -> None:
    second = dispute("won", "dp_2")
    given(*CAPTURED).when(OPENED, second).then_state(lambda state: state.dispute_status == "opened")
    given(*CAPTURED).when(OPENED, second, LOST).then_state(lambda state: state.dispute_status == "won")


def test_its_amount_is_the_banks() -> None:
    given(*CAPTURED).when(dispute("opened", amount=AMOUNT + 1)).then(event(DisputeOpened, amount=AMOUNT + 1))
    given(*DISPUTED).when(dispute("lost", amount=700)).then(event(DisputeLost, amount=700)).then_state(
        lambda state: [one.amount for one in state.disputes] == [700]
    )


@pytest.mark.parametrize("amount", [0, -1, 2**53])
def test_no_amount_at_all_is_refused(amount: int) -> None:
    given(*CAPTURED).when(dispute("opened", amount=amount)).then_raises(AmountMismatch)


@pytest.mark.parametrize("history", [AUTHORIZED, CANCELLED])
def test_before_the_capture_is_known_it_must_wait(history: tuple[Event, ...]) -> None:
    given(*history).when(OPENED).then_raises(InvalidStatus, match="captured")


def test_a_disputed_order_can_be_refunded_as_before() -> None:
    given(*DISPUTED, event(DisputeLost)).when(command(RefundPayment)).then(event(RefundRequested))


def test_they_are_bounded() -> None:
    names = [f"dp_{number}" for number in range(2, DISPUTES_MAX + 1)]
    more = [event(DisputeOpened, dispute_id=dispute_id_of(ORDER_ID, name), processor_dispute_id=name) for name in names]
    given(*DISPUTED, *more).when(dispute("opened", "dp_0")).then_raises(InvalidStatus, match=f"{DISPUTES_MAX}")
    given(*DISPUTED, *more).when(LOST).then(event(DisputeLost))
