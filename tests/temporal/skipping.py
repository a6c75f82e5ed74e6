"""The service over a server that skips time: days pass in a second, by the schedule of the wire contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from temporalio import activity
from temporalio.api.testservice.v1 import LockTimeSkippingRequest, UnlockTimeSkippingRequest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.common import TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment

from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.conversion import CONVERTER
from payloops.workflows_bridge.temporal.preparation import Preparation
from tests.temporal.engine.world import TemporalWorld

RESULT_WITHIN_S: Final = 110.0


def plain_client(environment: WorkflowEnvironment) -> Client:
    """Its client, with the values of ours."""
    config = environment.client.config()
    config["data_converter"] = CONVERTER
    return Client(**config)


@asynccontextmanager
async def time_flies(client: Client) -> AsyncIterator[None]:
    """Within the block time jumps whenever no activity runs. The SDK does so for workflows that it started itself."""
    await client.test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
    try:
        yield
    finally:
        await client.test_service.lock_time_skipping(LockTimeSkippingRequest())


async def result_of(client: Client, workflow_id: str) -> tuple[Any, Timeline]:
    """A workflow's result, as soon as time has jumped over its waits; and what it did when."""
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(workflow_id)
    run_id = (await handle.describe()).run_id
    async with time_flies(client):
        result = await asyncio.wait_for(handle.result(), RESULT_WITHIN_S)
    return result, await timeline(client, workflow_id, run_id)


class Ready(Preparation):
    """Of a server that has no search attributes."""

    def __init__(self, client: Client) -> None:
        super().__init__(Connection(ServerAddress(address="nowhere", namespace=client.namespace), part="test"))
        self._ready = client

    async def client(self) -> Client:
        return self._ready

    def attributes(self, values: dict[str, str | None]) -> TypedSearchAttributes:  # noqa: ARG002 - there are none
        return TypedSearchAttributes.empty


@dataclass
class SkippingWorld(TemporalWorld):
    """A TemporalWorld over ``client``'s server."""

    def preparation(self) -> Preparation:
        return Ready(self.client)


class ServersClock:
    """Inside an activity the server's time, which skips; the machine's elsewhere."""

    def now(self) -> datetime:
        if activity.in_activity():
            return activity.info().started_time
        return datetime.now(UTC)


@dataclass(frozen=True)
class Timeline:
    """When a workflow called what, in seconds since it began, through all its runs."""

    calls: tuple[tuple[str, float], ...]
    runs: tuple[WorkflowHistory, ...]

    def of(self, name: str) -> list[float]:
        return [at_s for called, at_s in self.calls if called == name]


async def timeline(client: Client, workflow_id: str, run_id: str | None) -> Timeline:
    """Of all runs, from that one on."""
    runs: list[WorkflowHistory] = []
    while run_id:
        handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(workflow_id, run_id=run_id)
        history = await handle.fetch_history()
        runs.append(history)
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    began_s = runs[0].events[0].event_time.ToDatetime().timestamp()
    return Timeline(tuple(_calls(runs, began_s)), tuple(runs))


def _calls(runs: Sequence[WorkflowHistory], began_s: float) -> list[tuple[str, float]]:
    return [
        (
            event.activity_task_scheduled_event_attributes.activity_type.name,
            event.event_time.ToDatetime().timestamp() - began_s,
        )
        for run in runs
        for event in run.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
