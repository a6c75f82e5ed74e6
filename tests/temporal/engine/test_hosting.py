"""The activities as the server calls them, without a server: errors in our words, heartbeats, who asks, how often."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from payloops.errors import AmountMismatch, InvalidInput, InvalidStatus, NotFound, Unavailable, VersionConflict
from payloops.telemetry import correlation_id
from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.temporal.calls import NEVER_AGAIN
from payloops.workflows_bridge.temporal.hosting import Causes, for_others, own

TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
CAUSE = {"correlationId": "c-1", "traceContext": TRACEPARENT}

Behaviour = Callable[[Any, Caller], Awaitable[Any]]


class Acting:
    """Activities of one name that do as they are told."""

    names = ("chargePayment",)

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave

    async def call(self, _name: str, told: Any, caller: Caller) -> Any:
        return await self._behave(told, caller)


def hosted(behave: Behaviour) -> Callable[..., Awaitable[Any]]:
    (activity,) = own(cast("Activities", Acting(behave)))
    return activity


def environment(**changes: Any) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.info = dataclasses.replace(made.info, workflow_id="payment-1", workflow_run_id="run-1", **changes)
    return made


async def test_an_activity_is_told_what_it_works_for() -> None:
    async def behave(told: Any, caller: Caller) -> Any:
        return {"told": told, "caller": caller, "logged": correlation_id.get()}

    answer = await environment(attempt=1).run(hosted(behave), {"x": 1}, CAUSE)
    assert answer["told"] == {"x": 1}
    assert answer["caller"] == Caller("payment-1", "c-1", TRACEPARENT, repeated=False)
    assert answer["logged"] == "c-1"


@pytest.mark.parametrize(("attempt", "repeated"), ((1, False), (2, True), (7, True)))
async def test_a_call_that_is_tried_again_may_have_been_made_before(attempt: int, repeated: bool) -> None:
    async def behave(_told: Any, caller: Caller) -> Any:
        return caller.repeated

    assert await environment(attempt=attempt).run(hosted(behave), {}, CAUSE) is repeated


@pytest.mark.parametrize(
    ("problem", "kind", "never_again"),
    (
        (ContractViolation("orderId is missing"), "ContractViolation", True),
        (NotFound("No such order."), "NotFound", True),
        (InvalidInput("no", param="status"), "InvalidInput", True),
        (InvalidStatus("no"), "RuleViolation", True),
        (AmountMismatch("no"), "RuleViolation", True),
        (Unavailable("later"), "Unavailable", False),
        (VersionConflict("later"), "VersionConflict", False),
        (KeyError("x"), "KeyError", False),
    ),
)
async def test_an_error_says_whether_it_is_worth_another_try(problem: Exception, kind: str, never_again: bool) -> None:
    async def behave(_told: Any, _caller: Caller) -> Any:
        raise problem

    with pytest.raises(ApplicationError) as failed:
        await environment().run(hosted(behave), {}, CAUSE)
    assert (failed.value.type, failed.value.non_retryable) == (kind, never_again)
    assert (kind in NEVER_AGAIN) is never_again
    assert failed.value.__cause__ is None
    passing = isinstance(problem, Unavailable | VersionConflict)
    assert (failed.value.category is ApplicationErrorCategory.BENIGN) is passing


async def test_history_gets_no_words_of_others() -> None:
    async def behave(_told: Any, _caller: Caller) -> Any:
        raise RuntimeError("DETAIL: Failing row contains (jane@shop.example, whsec_canary)")

    with pytest.raises(ApplicationError) as failed:
        await environment().run(hosted(behave), {}, CAUSE)
    assert str(failed.value) == "RuntimeError: chargePayment: RuntimeError"


@pytest.mark.parametrize("told", (None, "x", 7, ["x"]))
async def test_input_that_is_no_object_is_refused(told: Any) -> None:
    async def behave(_told: Any, _caller: Caller) -> Any:
        raise AssertionError

    with pytest.raises(ApplicationError, match="the input must be an object") as failed:
        await environment().run(hosted(behave), told, CAUSE)
    assert failed.value.non_retryable


async def test_a_long_call_beats_and_stops_beating_with_its_end() -> None:
    beats: list[float] = []
    running = environment(heartbeat_timeout=timedelta(seconds=0.06))
    running.on_heartbeat = lambda *_: beats.append(asyncio.get_running_loop().time())

    async def behave(_told: Any, _caller: Caller) -> Any:
        while len(beats) < 4:
            await asyncio.sleep(0.001)

    await asyncio.wait_for(running.run(hosted(behave), {}, CAUSE), 60)
    before = len(beats)
    await asyncio.sleep(0.1)
    assert len(beats) == before


async def test_a_call_that_is_broken_off_is_broken_off() -> None:
    running, began = environment(heartbeat_timeout=timedelta(seconds=5)), asyncio.Event()

    async def behave(_told: Any, _caller: Caller) -> Any:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(running.run(hosted(behave), {}, CAUSE))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Described:
    """A client whose workflows have this memo, or can't be described."""

    def __init__(self, memo: Any) -> None:
        self._memo = memo
        self.asked = 0

    def get_workflow_handle(self, _workflow_id: str, **_run: Any) -> Described:
        return self

    async def describe(self, **_: Any) -> Described:
        self.asked += 1
        if isinstance(self._memo, RPCError):
            raise self._memo
        return self

    async def memo(self) -> Any:
        return self._memo


@pytest.mark.parametrize(
    ("memo", "correlation", "asked"),
    (
        (CAUSE, "c-1", 1),
        ({}, "payment-1", 1),
        ({"correlationId": 7, "traceContext": {}}, "payment-1", 1),
        (RPCError("gone", RPCStatusCode.NOT_FOUND, b""), "payment-1", 2),
    ),
)
async def test_workflows_of_others_are_asked_once_what_they_work_for(memo: Any, correlation: str, asked: int) -> None:
    async def behave(_told: Any, caller: Caller) -> Any:
        return caller.correlation_id

    client = Described(memo)
    (activity,) = for_others({"getOrder": behave}, Causes(cast("Client", client)))
    for _ in range(2):
        assert await environment().run(activity, {}) == correlation
    assert client.asked == asked
