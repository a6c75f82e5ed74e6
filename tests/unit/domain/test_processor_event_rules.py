"""What can be asked of an event of the inbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from payloops.commands.processor_event import (
    REPROCESSED_MAX,
    JudgeProcessorEvent,
    ProcessorEventRequest,
    ReceiveProcessorEvent,
    ReprocessProcessorEvent,
    decide,
    processor_event_id,
)
from payloops.errors import InvalidStatus, NotFound
from payloops.events import processor_event as e
from payloops.events.base import Event, Sealed
from payloops.events.processor_event_state import (
    INITIAL,
    ImpossibleHistory,
    Judged,
    ProcessorEventState,
    Received,
    evolve,
)
from payloops.workflows_bridge.inbox.outbox import INBOX_OUTBOX, intents
from tests.spec import LATER, MERCHANT_ID, NOW, NOW_META, ORDER_ID, PAST, event, numbered

EVENT_ID = processor_event_id(MERCHANT_ID, "stripe", "evt_1")
HEAD: dict[str, Any] = {"event_id": EVENT_ID, "now": NOW, "meta": NOW_META}
RECEIVE = ReceiveProcessorEvent(
    **HEAD,
    merchant_id=MERCHANT_ID,
    processor="stripe",
    processor_event_id="evt_1",
    type="payment_intent.succeeded",
    order_id=ORDER_ID,
    body=Sealed("sealed-body"),
)
REPROCESS = ReprocessProcessorEvent(**HEAD)
RECEIVED = event(e.ProcessorEventReceived, originator_id=EVENT_ID)


def judge(verdict: e.Verdict = "processed", reason: str | None = None, order_id: UUID | None = ORDER_ID) -> Any:
    return JudgeProcessorEvent(**HEAD, verdict=verdict, reason=reason, order_id=order_id)


def judged(verdict: e.Verdict = "processed", **fields: Any) -> e.ProcessorEventJudged:
    return event(e.ProcessorEventJudged, originator_id=EVENT_ID, verdict=verdict, **fields)


AGAIN = event(e.ProcessorEventReprocessRequested, originator_id=EVENT_ID)


def after(*history: Event) -> ProcessorEventState:
    state: ProcessorEventState = INITIAL
    for happened in numbered(history):
        state = evolve(state, happened)  # type: ignore[arg-type]
    return state


def decided(asked: ProcessorEventRequest, *history: Event) -> tuple[Event, ...]:
    return decide(asked, after(*history))


def test_an_event_is_received_once() -> None:
    assert decided(RECEIVE) == (replace(RECEIVED, timestamp=NOW, meta=NOW_META),)
    for history in ((RECEIVED,), (RECEIVED, judged()), (RECEIVED, judged("failed"), AGAIN)):
        assert decided(RECEIVE, *history) == ()


@pytest.mark.parametrize("verdict", ["processed", "ignored", "quarantined", "failed"])
def test_the_first_verdict_stands(verdict: e.Verdict) -> None:
    (happened,) = decided(judge(verdict, "a reason"), RECEIVED)
    expected = judged(verdict, reason="a reason", originator_version=2, timestamp=NOW, meta=NOW_META)
    assert happened == expected
    assert decided(judge("failed"), RECEIVED, happened) == ()


@pytest.mark.parametrize("asked", [judge(), REPROCESS])
def test_what_was_never_received_is_not_there(asked: Any) -> None:
    with pytest.raises(NotFound):
        decided(asked)


@pytest.mark.parametrize("verdict", ["ignored", "quarantined", "failed"])
def test_what_had_no_effect_is_processed_again(verdict: e.Verdict) -> None:
    (happened,) = decided(REPROCESS, RECEIVED, judged(verdict, reason="because"))
    assert happened == replace(AGAIN, originator_version=3, timestamp=NOW, meta=NOW_META)
    state = after(RECEIVED, judged(verdict), replace(AGAIN, timestamp=LATER))
    assert isinstance(state, Received)
    assert (state.facts.since, state.facts.received_at, state.facts.reprocessed) == (LATER, PAST, 1)


def test_what_still_waits_is_processed_again_too() -> None:
    assert len(decided(REPROCESS, RECEIVED)) == 1


def test_what_had_its_effect_is_not_processed_again() -> None:
    with pytest.raises(InvalidStatus, match="has had its effect"):
        decided(REPROCESS, RECEIVED, judged())


def test_it_is_not_processed_again_for_ever() -> None:
    history = [RECEIVED, *[one for _ in range(REPROCESSED_MAX) for one in (judged("failed"), AGAIN)]]
    with pytest.raises(InvalidStatus, match="which is the most"):
        decided(REPROCESS, *history)


@pytest.mark.parametrize(
    "history",
    ((judged(),), (AGAIN,), (RECEIVED, RECEIVED), (RECEIVED, judged(), judged())),
    ids=("a verdict first", "again first", "twice", "two verdicts"),
)
def test_impossible_histories_are_refused(history: tuple[Event, ...]) -> None:
    with pytest.raises(ImpossibleHistory):
        after(*history)
    with pytest.raises(ImpossibleHistory):
        evolve(after(RECEIVED), replace(judged(), originator_version=5))


def test_a_verdict_says_which_order_it_was() -> None:
    other = UUID(int=9)
    state = after(replace(RECEIVED, order_id=None), judged(order_id=other))
    assert isinstance(state, Judged)
    assert state.facts.order_id == other


def test_each_wish_to_process_has_its_own_effect() -> None:
    received = after(RECEIVED)
    (row,) = intents(INITIAL, RECEIVED, received)
    again = replace(AGAIN, originator_version=3)
    (other,) = intents(received, again, after(RECEIVED, judged("failed"), AGAIN))
    assert row["id"] != other["id"]
    assert (row["key"], row["lane"], row["kind"]) == (f"inbox-{EVENT_ID}", f"inbox:{MERCHANT_ID}", "process")
    assert row["payload"] == {"eventId": EVENT_ID, "merchantId": MERCHANT_ID, "orderId": ORDER_ID}
    assert intents(received, judged(), received) == []
    assert not INBOX_OUTBOX.concerns(e.ProcessorEventJudged)
