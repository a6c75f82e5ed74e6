"""Inputs, effects and steps of a machine. Times are Unix seconds of the engine's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

Json: TypeAlias = dict[str, Any]

EARLY_S = 0.005
"""How much too early a timer may go off: clocks are compared in floats."""

# --------------------------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True)
class ActivityDone:
    """The activity that the last step called has answered."""

    name: str
    result: Mapping[str, Any] = field(repr=False)
    now_s: float


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """Somebody tells the workflow something."""

    name: str
    payload: Mapping[str, Any]
    now_s: float


@dataclass(frozen=True, slots=True)
class DueTime:
    """A time that a step asked to be woken at has come, perhaps long ago."""

    now_s: float


Input: TypeAlias = ActivityDone | SignalReceived | DueTime

# -------------------------------------------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class CallActivity:
    """Call it and give me its result. It is idempotent: an engine that crashes calls it again."""

    name: str
    payload: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing to do before this time, unless a signal comes."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The end; ``result`` is the workflow's."""

    result: Json


Effect: TypeAlias = CallActivity | WakeAt | Finish

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """The state after an input, and the one thing to do now."""

    state: S
    effect: Effect


class Machine(Protocol[S]):
    """One kind of workflow. All methods are pure."""

    def start(self, told: Mapping[str, Any], now_s: float) -> Step[S]:
        """The first step. Raises ContractViolation for an input that is none."""
        ...

    def advance(self, state: S, event: Input) -> Step[S]:
        """The step after ``event``."""
        ...

    def save(self, state: S) -> Json:
        """The state as JSON, with the version of its form."""
        ...

    def restore(self, saved: Mapping[str, Any]) -> S:
        """What ``save`` made, in this or an earlier version. Raises UnreadableState."""
        ...


class UnreadableState(Exception):
    """A saved state that this version of the machine can't go on from. Names the workflow's kind, not its contents."""
