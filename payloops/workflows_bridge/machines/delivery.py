"""WebhookDeliveryWorkflow: one event to one endpoint, tried until it arrives or there is no further try.

What an attempt meets, and when to come again, the activity says: it knows the endpoint, the order's other deliveries
and the schedule, and its answer holds what chance had a part in. The machine waits, and listens meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, assert_never

from payloops.workflows_bridge.contracts import Signal, WebhookDeliveryInput, WebhookDeliveryResult
from payloops.workflows_bridge.machines.base import (
    EARLY_S,
    ActivityDone,
    CallActivity,
    DueTime,
    Effect,
    Finish,
    Input,
    Json,
    SignalReceived,
    Step,
    UnreadableState,
    WakeAt,
)
from payloops.workflows_bridge.machines.results import Activity

STATE_VERSION: Final = 1
PAUSE_MIN_S: Final = 0.01


class Met(StrEnum):
    """What an attempt met."""

    ENDED = "ended"
    """Delivered, or given up: nothing is left to do."""
    RETRY = "retry"
    """It was sent in vain; or its next attempt is not due yet."""
    TURN = "turn"
    """Others go first."""
    ROOM = "room"
    """This process sends as much as it may."""
    CIRCUIT = "circuit"
    """The endpoint has failed too often in a row: it is left alone for a while."""


@dataclass(frozen=True, slots=True)
class DeliveryAnswer:
    """The activity's answer. ``come_again_s`` counts from now; ``result`` is the workflow's, with ENDED."""

    met: Met
    attempts: int
    """Made so far, in all."""
    come_again_s: float = 0
    result: Json | None = None

    def to_json(self) -> Json:
        """The answer as JSON."""
        told = {"told": self.met.value, "attempts": self.attempts, "comeAgainS": self.come_again_s}
        return told if self.result is None else {**told, "result": self.result}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DeliveryAnswer:
        """Raises ValueError for a word that is none of Met's, KeyError for none at all."""
        return cls(Met(document["told"]), document["attempts"], document["comeAgainS"], document.get("result"))


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """It calls, or waits until ``wake_at_s`` for what ``waits_for`` says, or has ended with ``result``."""

    told: Json = field(repr=False)
    attempts: int = 0
    calling: bool = True
    now: bool = False
    """The call is to send whatever it waits for."""
    heard: str | None = None
    """A signal that came during the call."""
    wake_at_s: float | None = None
    waits_for: str | None = None
    result: Json | None = None

    @property
    def effect(self) -> Effect:
        """The one thing to do now."""
        if self.calling:
            return CallActivity(Activity.ATTEMPT_DELIVERY, {**self.told, "attempts": self.attempts, "now": self.now})
        if self.wake_at_s is not None:
            return WakeAt(self.wake_at_s)
        return Finish(self.result or {})


class DeliveryMachine:
    """See the module, and machines.base.Machine."""

    def start(self, told: Mapping[str, Any], now_s: float) -> Step[DeliveryState]:  # noqa: ARG002 - all machines look alike
        """See Machine. A delivery of ours is named; of somebody else's start the payload goes along."""
        document = WebhookDeliveryInput.from_json(told).to_json()
        if "deliveryId" in document:
            del document["payload"]
        return _step(DeliveryState(document))

    def advance(self, state: DeliveryState, event: Input) -> Step[DeliveryState]:
        """See Machine. What comes late or twice changes nothing."""
        match event:
            case ActivityDone() if state.calling and event.name == Activity.ATTEMPT_DELIVERY:
                return _answered(state, DeliveryAnswer.from_json(event.result), event.now_s)
            case SignalReceived() if state.calling:
                return _step(replace(state, heard=_louder(state.heard, event.name)))
            case SignalReceived() if state.wake_at_s is not None:
                return _told(state, event.name)
            case DueTime() if state.wake_at_s is not None and event.now_s >= state.wake_at_s - EARLY_S:
                return _call(state)
            case ActivityDone() | SignalReceived() | DueTime():
                return _step(state)
            case _:
                assert_never(event)

    def save(self, state: DeliveryState) -> Json:
        """See Machine."""
        return {"v": STATE_VERSION, **dataclasses.asdict(state)}

    def restore(self, saved: Mapping[str, Any]) -> DeliveryState:
        """See Machine."""
        values = dict(saved)
        try:
            if values.pop("v") != STATE_VERSION:
                raise UnreadableState(DeliveryState.__name__)
            return DeliveryState(**values)
        except (KeyError, TypeError):
            raise UnreadableState(DeliveryState.__name__) from None


def _answered(state: DeliveryState, answer: DeliveryAnswer, now_s: float) -> Step[DeliveryState]:
    heard = state.heard
    state = replace(state, calling=False, now=False, heard=None, attempts=answer.attempts)
    if answer.met is Met.ENDED:
        return _step(replace(state, wake_at_s=None, waits_for=None, result=answer.result or _NO_RESULT))
    at_s = now_s + max(answer.come_again_s, PAUSE_MIN_S)
    waiting = replace(state, wake_at_s=at_s, waits_for=answer.met.value)
    return _step(waiting) if heard is None else _told(waiting, heard)


def _told(state: DeliveryState, signal: str) -> Step[DeliveryState]:
    """Word while it waits. That its turn may have come is of no interest while it waits for something else."""
    if signal == Signal.RETRY_NOW:
        return _call(state, now=True)
    if signal == Signal.PROCEED and state.waits_for == Met.TURN:
        return _call(state)
    return _step(state)


def _louder(heard: str | None, signal: str) -> str | None:
    """Of two signals during one call the one that asks for more; what is no signal of ours counts for nothing."""
    if Signal.RETRY_NOW in (heard, signal):
        return Signal.RETRY_NOW.value
    return Signal.PROCEED.value if signal == Signal.PROCEED else heard


def _call(state: DeliveryState, *, now: bool = False) -> Step[DeliveryState]:
    return _step(replace(state, calling=True, now=now, heard=None, wake_at_s=None, waits_for=None))


def _step(state: DeliveryState) -> Step[DeliveryState]:
    return Step(state, state.effect)


_NO_RESULT: Final = WebhookDeliveryResult(
    success=False, status="failed", status_code=None, attempts=0, delivered_at=None, error_message=None
).to_json()
