"""Interprets a machine inside a workflow: calls what it wants called, waits when it waits, ends with its result.

Deterministic: time is the workflow's, waits are timers, and a machine's step follows from its inputs alone. So what a
released machine decides may change only behind a patch (``workflow.patched``), or together with a worker deployment
version (WORKER_DEPLOYMENT, WORKER_BUILD_ID); see docs/temporal.md, "Versions". Histories are short for that reason
too: a workflow that asks day by day continues as a new run, which carries the machine's saved state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final, assert_never

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    # Pure modules: they need not be loaded anew for each workflow.
    from payloops.workflows_bridge.contracts import ContractViolation, Json, WorkflowType
    from payloops.workflows_bridge.machines.base import (
        ActivityDone,
        CallActivity,
        DueTime,
        Finish,
        Input,
        Machine,
        SignalReceived,
        Step,
        WakeAt,
    )
    from payloops.workflows_bridge.machines.registry import machines
    from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, Schedule
    from payloops.workflows_bridge.temporal.calls import NEVER_AGAIN, rules_of
    from payloops.workflows_bridge.temporal.causes import Cause

STATE_QUERY: Final = "state"
"""What every workflow of ours answers to people and to ``wakes.py``."""
CALLS_MAX: Final = 32
"""Activities between two waits; a machine that wants more is going round in circles."""
SIGNALS_MAX: Final = 1_000
"""Signals that wait for a call to end; a signal is a reason to look, so more of them say nothing more."""
HISTORY_EVENTS_MAX: Final = 400
"""A run that waits with a longer history continues as a new one. A day of asking is about eleven events."""


class MachineWorkflow:
    """A workflow that a machine decides. Subclasses name the workflow and its signals."""

    kind: ClassVar[WorkflowType]
    schedule: ClassVar[Schedule] = CONTRACT_SCHEDULE
    history_events_max: ClassVar[int] = HISTORY_EVENTS_MAX
    no_result: ClassVar[Json] = {}
    """All fields of the workflow's result; a machine may end with some of them."""

    def __init__(self) -> None:
        self._machine: Machine[Any] = machines(self.schedule)[self.kind]
        self._signals: deque[SignalReceived] = deque()
        self._step: Step[Any] | None = None

    async def drive(self, told: Any, carried: Any) -> Json:
        """From the first step to the last. ``carried`` is what a run before this one had come to (``_carry_on``)."""
        self._step = step = self._first_step(told, carried)
        calls = 0
        while True:
            match step.effect:
                case CallActivity(name, payload):
                    calls += 1
                    if calls > CALLS_MAX:
                        raise ApplicationError(
                            f"{self.kind} called {CALLS_MAX} activities without a wait", non_retryable=True
                        )
                    result = await self._call(name, payload)
                    step = self._heard(step)
                    step = self._machine.advance(step.state, ActivityDone(name, result, _now_s()))
                case WakeAt(at_s):
                    calls = 0
                    step = self._machine.advance(step.state, await self._wait(step, at_s, told))
                case Finish(result):
                    return {**self.no_result, **result}
                case _:
                    assert_never(step.effect)
            self._step = step

    def told(self, name: str, payload: Any) -> None:
        """A signal came: it is taken when the machine waits, or when the call under way has ended."""
        if len(self._signals) < SIGNALS_MAX:
            document = payload if isinstance(payload, Mapping) else {}
            self._signals.append(SignalReceived(name, document, _now_s()))

    @workflow.query(name=STATE_QUERY)
    def state(self) -> Json:
        """What the workflow is doing, and the machine's state without the input that the history begins with."""
        document: Json = {"workflow": self.kind.value, "doing": "starting", "activity": None, "wakeAt": None}
        step = self._step
        if step is None:
            return document
        match step.effect:
            case CallActivity(name, _):
                document |= {"doing": "calling", "activity": name}
            case WakeAt(at_s):
                document |= {"doing": "waiting", "wakeAt": at_s}
            case Finish():
                document["doing"] = "ended"
            case _:
                assert_never(step.effect)
        saved = self._machine.save(step.state)
        return {**document, "machine": {name: value for name, value in saved.items() if name != "told"}}

    # ------------------------------------------------------------------------------------------------------------ parts

    def _first_step(self, told: Any, carried: Any) -> Step[Any]:
        if carried is not None:
            state = self._machine.restore(carried["state"])
            # A due time of long ago changes nothing: the effect is the present one.
            return self._machine.advance(state, DueTime(0.0))
        if not isinstance(told, Mapping):
            raise _unusable(f"{self.kind}: the input is no object")
        try:
            return self._machine.start(told, _now_s())
        except ContractViolation as problem:
            raise _unusable(str(problem)) from None

    def _heard(self, step: Step[Any]) -> Step[Any]:
        """The step after what was signalled during a call: a machine takes note of it, and goes on calling."""
        while self._signals:
            step = self._machine.advance(step.state, self._signals.popleft())
        return step

    async def _call(self, name: str, payload: Json) -> Mapping[str, Any]:
        rules = rules_of(name)
        result: Mapping[str, Any] = await workflow.execute_activity(
            name,
            args=[payload, _cause().to_json()],
            start_to_close_timeout=timedelta(seconds=rules.attempt_s),
            heartbeat_timeout=timedelta(seconds=rules.heartbeat_s),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=rules.first_pause_s),
                maximum_interval=timedelta(seconds=rules.pause_max_s),
                non_retryable_error_types=NEVER_AGAIN,
            ),
        )
        return result

    async def _wait(self, step: Step[Any], at_s: float, told: Any) -> Input:
        """The signal that comes first, or the time."""
        if not self._signals:
            delay_s = at_s - _now_s()
            if delay_s <= 0:
                return DueTime(_now_s())
            self._carry_on(step, told)
            try:
                await workflow.wait_condition(
                    lambda: bool(self._signals),
                    timeout=timedelta(seconds=delay_s),
                    timeout_summary=f"{self.kind} wakes",
                )
            except TimeoutError:
                return DueTime(_now_s())
        return self._signals.popleft()

    def _carry_on(self, step: Step[Any], told: Any) -> None:
        """Go on in a new run when the history of this one has grown. It keeps id, memo and search attributes."""
        info = workflow.info()
        if info.get_current_history_length() >= self.history_events_max or info.is_continue_as_new_suggested():
            workflow.continue_as_new(args=[told, {"state": self._machine.save(step.state)}])


def _cause() -> Cause:
    return Cause.from_json(workflow.memo())


def _now_s() -> float:
    return workflow.now().timestamp()


def _unusable(problem: str) -> ApplicationError:
    return ApplicationError(problem, type="ContractViolation", non_retryable=True)
