"""What all machines have in common: one call or one wait at a time, quick retries, and doubt that is asked away."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Generic, TypeVar

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
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.machines.schedule import Schedule

STATE_VERSION: Final = 1

END: Final = "end"
"""After this record the workflow ends with ``Progress.result``."""
DOUBT: Final = "doubt"
"""After this record the outcome is asked for again, later and later."""

_RECORDS: Final = frozenset({Activity.RECORD_PAYMENT, Activity.RECORD_REFUND})


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a workflow is: it calls ``call``, or waits until ``wake_at_s``, or has ended with ``result``."""

    started_s: float
    call: str | None = None
    payload: Json | None = field(default=None, repr=False)
    wake_at_s: float | None = None
    on_wake: str | None = None
    """The activity that is called at ``wake_at_s``."""
    after_record: str = END
    """What follows the record that is being called."""
    result: Json | None = None
    quick: int = 0
    """Quick retries of the present call so far."""
    asked: int = 0
    """Pauses of doubt so far."""
    doubt: bool = False
    """The call may have been made before, and its answer lost in a crash: a refusal of our key proves nothing."""
    doubt_recorded: bool = False
    account: str | None = None
    """The processor account that the first call went to: of another one nothing can be learnt."""

    @property
    def effect(self) -> Effect:
        """The one thing to do now."""
        if self.call is not None:
            return CallActivity(self.call, self.payload or {})
        if self.wake_at_s is not None:
            return WakeAt(self.wake_at_s)
        return Finish(self.result or {})

    @property
    def waits(self) -> bool:
        """Whether signals and due times can be acted upon now."""
        return self.call is None and self.wake_at_s is not None

    def calling(self, activity: str, payload: Json, **changes: Any) -> Progress:
        """Now calling."""
        return replace(self, call=activity, payload=payload, wake_at_s=None, on_wake=None, **changes)

    def waiting(self, at_s: float, on_wake: str, **changes: Any) -> Progress:
        """Now waiting."""
        return replace(self, call=None, payload=None, wake_at_s=at_s, on_wake=on_wake, **changes)

    def ended(self) -> Progress:
        """Over."""
        return replace(self, call=None, payload=None, wake_at_s=None, on_wake=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a machine's state has at least. ``told`` is the workflow's input, as JSON."""

    told: Json = field(repr=False)
    progress: Progress


S = TypeVar("S", bound=Run)


@dataclass(frozen=True, slots=True)
class SavedForm(Generic[S]):
    """How a kind of state is written as JSON and read again."""

    state_class: type[S]

    def save(self, state: S) -> Json:
        """The state with the version of its form."""
        return {"v": STATE_VERSION, **dataclasses.asdict(state)}

    def restore(self, saved: Mapping[str, Any]) -> S:
        """Raises UnreadableState."""
        values = dict(saved)
        try:
            if values.pop("v") != STATE_VERSION:
                raise UnreadableState(self.state_class.__name__)
            values["progress"] = Progress(**values["progress"])
            return self.state_class(**values)
        except (KeyError, TypeError):
            raise UnreadableState(self.state_class.__name__) from None


class Course(ABC, Generic[S]):
    """A machine's common ground. Subclasses decide what an outcome means for their process."""

    act: ClassVar[Activity]
    """The call that moves money."""
    ask: ClassVar[Activity]
    """The call that asks what became of it."""
    record: ClassVar[Activity]

    def __init__(self, schedule: Schedule, form: SavedForm[S]) -> None:
        self.schedule = schedule
        self._form = form

    def save(self, state: S) -> Json:
        """See Machine."""
        return self._form.save(state)

    def restore(self, saved: Mapping[str, Any]) -> S:
        """See Machine."""
        return self._form.restore(saved)

    @abstractmethod
    def start(self, told: Mapping[str, Any], now_s: float) -> Step[S]:
        """See Machine."""

    @abstractmethod
    def payload(self, state: S, activity: str) -> Json:
        """What an activity that is no record is told."""

    @abstractmethod
    def decide(self, state: S, activity: str, outcome: Outcome, now_s: float) -> Step[S]:
        """What an outcome means; retries that are still quick, and obsolete work, are dealt with before."""

    @abstractmethod
    def recorded(self, state: S, result: Mapping[str, Any], now_s: float) -> Step[S]:
        """What follows a record that was neither the last nor about a doubt."""

    @abstractmethod
    def doubt_report(self, state: S, reason: str) -> Json:
        """The record that the outcome is unknown."""

    def signalled(self, state: S, name: str) -> Step[S]:  # noqa: ARG002 - most machines take no signals
        """What a signal changes."""
        return self.step(state)

    def remember(self, state: S, outcome: Outcome) -> S:  # noqa: ARG002 - not all have something to remember
        """The state with the ids that an outcome told."""
        return state

    # ----------------------------------------------------------------------------------------------------------- inputs

    def advance(self, state: S, event: Input) -> Step[S]:
        """See Machine. What comes late or twice changes nothing: the effect is then the present one again."""
        progress = state.progress
        match event:
            case ActivityDone() if event.name == progress.call and event.name in _RECORDS:
                return self._after_record(state, event.result, event.now_s)
            case ActivityDone() if event.name == progress.call:
                return self._after_call(state, event.name, Outcome.from_json(event.result), event.now_s)
            case SignalReceived() if progress.call is not None or progress.waits:
                return self.signalled(state, event.name)
            case DueTime() if progress.wake_at_s is not None and event.now_s >= progress.wake_at_s - EARLY_S:
                return self.call(state, progress.on_wake or self.ask)
            case _:
                return self.step(state)

    def _after_call(self, state: S, activity: str, outcome: Outcome, now_s: float) -> Step[S]:
        state = self.remember(state, outcome)
        progress = state.progress
        if progress.account is None and activity == self.act:
            progress = replace(progress, account=outcome.account)
        if outcome.repeated:
            progress = replace(progress, doubt=True)
        pauses = self.schedule.quick_retries_s
        if outcome.told is Told.RETRYABLE and progress.quick < len(pauses):
            pause_s = max(pauses[progress.quick], outcome.retry_after_s or 0)
            progress = progress.waiting(now_s + pause_s, activity, quick=progress.quick + 1)
            return self.step(replace(state, progress=progress))
        state = replace(state, progress=replace(progress, quick=0))
        if outcome.told is Told.OBSOLETE:
            return self.finish(state, {"success": False, "status": outcome.code or "obsolete"})
        return self.decide(state, activity, outcome, now_s)

    def _after_record(self, state: S, result: Mapping[str, Any], now_s: float) -> Step[S]:
        progress = state.progress
        if progress.after_record == DOUBT:
            return self.wait_in_doubt(state, now_s)
        refused = result.get("refused")
        if refused is not None:
            # What the processor told does not fit the order (an amount): a person must look at it.
            return self.unsettled(state, str(refused), now_s)
        return self.finish(state) if progress.after_record == END else self.recorded(state, result, now_s)

    # ------------------------------------------------------------------------------------------------------------ steps

    def step(self, state: S) -> Step[S]:
        """The state with its present effect."""
        return Step(state, state.progress.effect)

    def call(self, state: S, activity: str) -> Step[S]:
        """Call an activity that is no record."""
        payload = self.payload(state, activity)
        return self.step(replace(state, progress=state.progress.calling(activity, payload)))

    def call_record(self, state: S, report: Json, then: str, **changes: Any) -> Step[S]:
        """Record a report; ``changes`` are of the progress."""
        progress = state.progress.calling(self.record, report, after_record=then, **changes)
        return self.step(replace(state, progress=progress))

    def end(self, state: S, report: Json, result: Json) -> Step[S]:
        """Record the last report, then finish."""
        return self.call_record(state, report, END, result=result)

    def finish(self, state: S, result: Json | None = None) -> Step[S]:
        """The end."""
        progress = state.progress if result is None else replace(state.progress, result=result)
        return self.step(replace(state, progress=progress.ended()))

    def unsettled(self, state: S, reason: str, now_s: float) -> Step[S]:
        """It is not known what became of the call: record that once, and ask later."""
        if state.progress.doubt_recorded:
            return self.wait_in_doubt(state, now_s)
        return self.call_record(state, self.doubt_report(state, reason), DOUBT, doubt_recorded=True)

    def wait_in_doubt(self, state: S, now_s: float) -> Step[S]:
        """Ask after the next pause: 5 s, 30 s, 5 min, 1 h, then daily."""
        progress = state.progress
        at_s = now_s + self.schedule.doubt_pause_s(progress.asked)
        return self.step(replace(state, progress=progress.waiting(at_s, self.ask, asked=progress.asked + 1)))

    def certain(self, state: S) -> S:
        """The processor said that nothing was done: the next answer decides."""
        return replace(state, progress=replace(state.progress, doubt=False))

    def may_repeat(self, state: S, outcome: Outcome, now_s: float) -> bool | None:
        """Whether a call that the processor knows nothing of may be made again.

        True: with the same idempotency key it has the effect of one. False: it is too old for that, and surely did
        nothing. None: another account was asked than the first, which can't know.
        """
        progress = state.progress
        if None not in (progress.account, outcome.account) and progress.account != outcome.account:
            return None
        return bool(now_s - progress.started_s < self.schedule.repeat_within_s)
