"""Asking the processor now: once at a time, once a second, never without a payment, never for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from payloops.commands.order_reports import FinishSync
from payloops.commands.order_sync import LOST_S, SHARED_S, SYNCS_MAX, RequestSync
from payloops.errors import InvalidStatus
from payloops.events import order as e
from payloops.events.order_state import Sync
from tests.spec import CAPTURED, NOW, PENDING, PROCESSING, command, event, given, state_after

ASKED = (*CAPTURED, event(e.SyncRequested, timestamp=NOW))
ANSWERED = (*ASKED, event(e.SyncFinished))
ANSWERS = ({"about": "payment", "attempt": 1, "outcome": "captured"},)


def after(seconds: float) -> RequestSync:
    return replace(command(RequestSync), now=NOW + timedelta(seconds=seconds))


def test_the_first_is_number_one() -> None:
    given(*CAPTURED).when(after(0)).then(event(e.SyncRequested, number=1))


@pytest.mark.parametrize("seconds", [0, LOST_S - 1, 1 - LOST_S])
def test_one_that_is_under_way_is_shared(seconds: float) -> None:
    given(*ASKED).when(after(seconds)).then_nothing()


@pytest.mark.parametrize("seconds", [0, SHARED_S - 0.01, 0.01 - SHARED_S])
def test_an_answer_of_a_moment_ago_is_shared(seconds: float) -> None:
    given(*ANSWERED).when(after(seconds)).then_nothing()


def test_later_the_processor_is_asked_again() -> None:
    given(*ANSWERED).when(after(SHARED_S)).then(event(e.SyncRequested, number=2))


@pytest.mark.parametrize("seconds", [LOST_S, -LOST_S])
def test_one_that_was_lost_is_given_up_whatever_the_clocks_say(seconds: float) -> None:
    given(*ASKED).when(after(seconds)).then(event(e.SyncRequested, number=2))


def test_there_is_an_end_to_it() -> None:
    history = [*CAPTURED]
    for number in range(1, SYNCS_MAX + 1):
        history += [event(e.SyncRequested, number=number), event(e.SyncFinished, number=number)]
    given(*history).when(after(3600)).then_raises(InvalidStatus)


def test_an_order_that_a_payment_was_discovered_of_can_be_asked_about() -> None:
    history = (*PENDING, event(e.PaymentDiscovered))
    given(*history).when(after(0)).then(event(e.SyncRequested, number=1))


class TestTheEnd:
    def test_the_answers_are_kept(self) -> None:
        finish = command(FinishSync, answers=ANSWERS)
        given(*ASKED).when(finish).then(event(e.SyncFinished, answers=ANSWERS, changed=False))

    def test_what_happened_meanwhile_is_a_change(self) -> None:
        history = (*PROCESSING, event(e.SyncRequested), event(e.PaymentCaptured))
        given(*history).when(command(FinishSync)).then(event(e.SyncFinished, changed=True))

    def test_it_ends_once(self) -> None:
        given(*ANSWERED).when(command(FinishSync)).then_nothing()

    def test_of_one_that_was_given_up_nobody_waits(self) -> None:
        history = (*ASKED, event(e.SyncRequested, number=2))
        given(*history).when(command(FinishSync)).then_nothing()
        given(*history).when(command(FinishSync, number=2)).then(event(e.SyncFinished, number=2))


def test_a_question_is_no_change_of_the_order() -> None:
    before, after_it = state_after(*CAPTURED), state_after(*ASKED, event(e.SyncFinished, answers=ANSWERS))
    assert after_it.facts.updated_at == before.facts.updated_at
    assert after_it.facts.version == before.facts.version + 2
    assert after_it.facts.sync == Sync(1, before.facts.version + 1, NOW, ANSWERS)
