"""WebhookDeliveryWorkflow's decisions, and any order of what may happen to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.workflows_bridge.contracts import ContractViolation, Signal, WorkflowType
from payloops.workflows_bridge.machines.base import (
    ActivityDone,
    CallActivity,
    DueTime,
    Finish,
    Input,
    SignalReceived,
    Step,
    UnreadableState,
    WakeAt,
)
from payloops.workflows_bridge.machines.delivery import DeliveryAnswer, DeliveryMachine, DeliveryState, Met
from payloops.workflows_bridge.machines.registry import machines

TOLD = {
    "webhookEventId": "e",
    "merchantId": "m",
    "webhookUrl": "https://shop.example/hook",
    "payload": {"id": "e"},
    "deliveryId": "d",
}
RESULT = {"success": True, "status": "delivered"}
MACHINE = DeliveryMachine()
CALL = "attemptDelivery"

SimpleStep = Step[DeliveryState]


def start(**changes: Any) -> SimpleStep:
    return MACHINE.start({**TOLD, **changes}, 100.0)


def answered(
    step: SimpleStep, met: Met, *, attempts: int = 0, again_s: float = 5.0, now_s: float = 100.0
) -> SimpleStep:
    result = RESULT if met is Met.ENDED else None
    answer = DeliveryAnswer(met, attempts, again_s, result).to_json()
    return MACHINE.advance(step.state, ActivityDone(CALL, json.loads(json.dumps(answer)), now_s))


def signalled(step: SimpleStep, name: str, now_s: float = 101.0) -> SimpleStep:
    return MACHINE.advance(step.state, SignalReceived(name, {}, now_s))


def call(step: SimpleStep) -> dict[str, Any]:
    assert isinstance(step.effect, CallActivity)
    assert step.effect.name == CALL
    return step.effect.payload


def test_it_is_known_by_its_name() -> None:
    assert isinstance(machines()[WorkflowType.WEBHOOK_DELIVERY], DeliveryMachine)


def test_a_delivery_of_ours_is_named_and_its_payload_stays_behind() -> None:
    told = {name: value for name, value in TOLD.items() if name != "payload"}
    assert call(start()) == {**told, "attempts": 0, "now": False}


def test_somebody_elses_start_has_four_fields() -> None:
    told = {name: value for name, value in TOLD.items() if name != "deliveryId"}
    assert call(MACHINE.start(told, 100.0)) == {**told, "attempts": 0, "now": False}
    with pytest.raises(ContractViolation, match="webhookUrl is missing"):
        MACHINE.start({"webhookEventId": "e", "merchantId": "m", "payload": {}}, 100.0)


def test_delivered_at_once() -> None:
    assert answered(start(), Met.ENDED).effect == Finish(RESULT)


@pytest.mark.parametrize("met", (Met.RETRY, Met.TURN, Met.ROOM, Met.CIRCUIT))
def test_it_waits_as_long_as_the_activity_says_and_comes_again(met: Met) -> None:
    waiting = answered(start(), met, attempts=2, again_s=7.0)
    assert waiting.effect == WakeAt(107.0)
    early = MACHINE.advance(waiting.state, DueTime(106.0))
    assert early == waiting
    again = MACHINE.advance(waiting.state, DueTime(107.0))
    assert call(again)["attempts"] == 2
    assert call(again)["now"] is False
    assert answered(again, Met.ENDED).effect == Finish(RESULT)


def test_its_turn_comes() -> None:
    waiting = answered(start(), Met.TURN, again_s=300.0)
    assert call(signalled(waiting, Signal.PROCEED))["now"] is False


@pytest.mark.parametrize("met", (Met.RETRY, Met.ROOM, Met.CIRCUIT))
def test_a_turn_is_nothing_to_who_waits_for_something_else(met: Met) -> None:
    waiting = answered(start(), met)
    assert signalled(waiting, Signal.PROCEED) == waiting


@pytest.mark.parametrize("met", (Met.RETRY, Met.TURN, Met.ROOM, Met.CIRCUIT))
def test_retry_now_ends_every_wait(met: Met) -> None:
    waiting = answered(start(), met, attempts=3)
    told = call(signalled(waiting, Signal.RETRY_NOW))
    assert (told["now"], told["attempts"]) == (True, 3)


def test_a_signal_during_the_call_is_not_lost() -> None:
    """Only Temporal's workflows hear one then."""
    calling = signalled(start(), Signal.RETRY_NOW)
    assert call(calling)["now"] is False, "the call under way goes on"
    assert call(answered(calling, Met.RETRY, attempts=1))["now"] is True
    assert answered(calling, Met.ENDED).effect == Finish(RESULT)
    turn = signalled(start(), Signal.PROCEED)
    assert call(answered(turn, Met.TURN))["now"] is False
    assert isinstance(answered(turn, Met.RETRY).effect, WakeAt)
    both = signalled(signalled(start(), Signal.RETRY_NOW), Signal.PROCEED)
    assert call(answered(both, Met.RETRY))["now"] is True


def test_it_asks_for_now_once() -> None:
    now = signalled(answered(start(), Met.RETRY), Signal.RETRY_NOW)
    again = MACHINE.advance(answered(now, Met.RETRY, attempts=1).state, DueTime(1e9))
    assert call(again)["now"] is False


def test_other_words_mean_nothing() -> None:
    waiting = answered(start(), Met.TURN)
    assert signalled(waiting, "completePayment") == waiting
    assert answered(signalled(start(), "anything"), Met.TURN) == waiting


def test_a_wait_is_never_nothing() -> None:
    assert answered(start(), Met.RETRY, again_s=-3.0).effect == WakeAt(100.01)


def test_what_comes_after_the_end_changes_nothing() -> None:
    over = answered(start(), Met.ENDED)
    for event in (DueTime(1e9), SignalReceived(Signal.RETRY_NOW, {}, 1e9), ActivityDone(CALL, {}, 1e9)):
        assert MACHINE.advance(over.state, event) == over


def test_a_saved_state_of_another_form() -> None:
    with pytest.raises(UnreadableState):
        MACHINE.restore({"v": 99})
    with pytest.raises(UnreadableState):
        MACHINE.restore({"v": 1, "told": {}, "surprise": 1})


INPUTS = st.lists(
    st.one_of(
        st.builds(DueTime, st.floats(0, 2000)),
        st.builds(
            SignalReceived,
            st.sampled_from((*Signal, "other")),
            st.just({}),
            st.floats(0, 2000),
        ),
        st.builds(
            lambda met, attempts, again_s, now_s: ActivityDone(
                CALL, DeliveryAnswer(met, attempts, again_s, RESULT if met is Met.ENDED else None).to_json(), now_s
            ),
            st.sampled_from(Met),
            st.integers(0, 9),
            st.floats(0, 500),
            st.floats(0, 2000),
        ),
    ),
    max_size=30,
)


@given(INPUTS)
def test_it_works_or_waits_or_has_ended(inputs: list[Input]) -> None:
    step = start()
    ended = False
    for event in inputs:
        before = step
        saved = json.loads(json.dumps(MACHINE.save(step.state)))
        step = MACHINE.advance(MACHINE.restore(saved), event)
        assert step == MACHINE.advance(before.state, event), "a saved state goes on as the one that was saved"
        if ended:
            assert step == before
        if isinstance(before.effect, CallActivity) and not isinstance(event, ActivityDone):
            assert step.effect == before.effect, "a call under way is not called again"
        ended = isinstance(step.effect, Finish)
