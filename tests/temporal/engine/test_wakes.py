"""When a processor is asked next, read from workflows that wait on a real Temporal server, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from payloops.db import Database
from payloops.events.order_state import Captured, Existing
from payloops.sandbox.app import Sandbox
from payloops.temporal_server import TemporalServer
from payloops.values import iso
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.wakes import QUERIES_MAX, WORKFLOWS_MAX, Wakes
from tests.databases import TestDatabase
from tests.inbox.world import Inbox, open_inbox
from tests.integration.http.world import Merchant
from tests.replay import assert_replay_equals_tables
from tests.sync.world import fault, in_doubt, until
from tests.temporal import servers
from tests.temporal.engine.test_inbox import serving
from tests.workflows.world import eventually

pytestmark = pytest.mark.temporal

LONG_S = 30.0
"""For a machine that others use, too."""


@pytest.fixture
async def inbox(
    test_database: TestDatabase, database: Database, sandbox: Sandbox, temporal_server: TemporalServer
) -> AsyncIterator[Inbox]:
    where = {"TEMPORAL_ADDRESS": temporal_server.address, "TEMPORAL_NAMESPACE": servers.NAMESPACE}
    async with open_inbox(test_database, sandbox, **where) as opened:
        yield opened
    await assert_replay_equals_tables(database)


async def next_ask(inbox: Inbox, merchant: Merchant, order: Any) -> Any:
    path = f"/api/orders/{order['id']}"
    return (await inbox.api.call("GET", path, token=merchant.token)).must(200)["nextAsk"]


async def until_it_is_when(workflow_id: str, inbox: Inbox, client: Client, merchant: Merchant, order: Any) -> None:
    """The route's word is the workflow's; the route may be too late for the bound, or before the next pause."""

    async def told_alike() -> bool:
        told = await next_ask(inbox, merchant, order)
        state = await client.get_workflow_handle(workflow_id).query("state")
        wake_s = state["wakeAt"]
        return wake_s is not None and bool(told == iso(datetime.fromtimestamp(wake_s, UTC)))

    await eventually(told_alike, "nextAsk is when the workflow wakes")


@pytest.mark.slow
class TestOfAnOrder:
    async def test_a_payment_in_doubt(self, inbox: Inbox, temporal_client: Client) -> None:
        merchant = await inbox.merchant("stripe")
        workflow_id = ""
        async with serving(inbox.settings):
            await fault(inbox, merchant, "payment.get", "reset_before", times=100)
            order = await in_doubt(inbox, merchant, "reset_after")
            workflow_id = f"payment-{order['id']}"
            await until_it_is_when(workflow_id, inbox, temporal_client, merchant, order)
        # Its worker has gone, so nobody says; the order is shown all the same.
        assert await next_ask(inbox, merchant, order) is None
        await temporal_client.get_workflow_handle(workflow_id).terminate()

    async def test_a_refund_in_doubt(self, inbox: Inbox, temporal_client: Client) -> None:
        def refund_in_doubt(state: Existing) -> bool:
            return isinstance(state, Captured) and any(one.outcome_unknown for one in state.refunds.values())

        merchant = await inbox.merchant("stripe")
        async with serving(inbox.settings):
            order = await inbox.pay(merchant, "pm_card_visa", wait_s=0)
            await inbox.reach(order["id"], "captured")
            assert await next_ask(inbox, merchant, order) is None
            await fault(inbox, merchant, "refund.get", "reset_before", times=100)
            await fault(inbox, merchant, "refund.create", "reset_before")
            path = f"/v1/orders/{order['id']}/refund"
            made = (await inbox.api.call("POST", path, {"amount": 400}, key=merchant.api_key)).must(201)
            await until(inbox, order, refund_in_doubt)
            workflow_id = f"refund-{made['refundId']}"
            await until_it_is_when(workflow_id, inbox, temporal_client, merchant, order)
            await temporal_client.get_workflow_handle(workflow_id).terminate()
            # Nobody asks any more by itself.
            assert await next_ask(inbox, merchant, order) is None


# ---------------------------------------------------------------------------------------------- workflows by themselves


@workflow.defn(name="Waiting")
class Waiting:
    """Answers as it was told to."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query(name="state")
    def state(self) -> Any:
        return workflow.memo_value("answer")


@workflow.defn(name="Silent")
class Silent:
    """Somebody else's, which knows no such query."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


class Workflows:
    """Begins workflows that give certain answers."""

    def __init__(self, client: Client, queue: str) -> None:
        self._client = client
        self._queue = queue

    async def answering(self, answer: Any) -> str:
        return await self._begin("Waiting", {"answer": answer})

    async def ended(self) -> str:
        workflow_id = await self.answering({"doing": "waiting", "wakeAt": 1.0})
        await self._client.get_workflow_handle(workflow_id).terminate()
        return workflow_id

    async def silent(self) -> str:
        return await self._begin("Silent", {})

    async def _begin(self, name: str, memo: dict[str, Any]) -> str:
        workflow_id = f"wakes-{uuid4().hex}"
        await self._client.start_workflow(name, id=workflow_id, task_queue=self._queue, memo=memo)
        return workflow_id


@pytest.fixture
async def workflows(temporal_client: Client) -> AsyncIterator[Workflows]:
    queue = f"wakes-{uuid4().hex}"
    runner = UnsandboxedWorkflowRunner()
    worker = Worker(
        temporal_client, task_queue=queue, workflows=[Waiting, Silent], workflow_runner=runner, build_id="test"
    )
    async with worker:
        yield Workflows(temporal_client, queue)


@pytest.fixture
def connection(temporal_server: TemporalServer) -> Connection:
    return Connection(ServerAddress(address=temporal_server.address, namespace=servers.NAMESPACE), part="test")


@pytest.fixture
def wakes(connection: Connection) -> Wakes:
    return Wakes(connection, within_s=LONG_S)


def waits_until(moment: datetime) -> dict[str, Any]:
    return {"workflow": "PaymentWorkflow", "doing": "waiting", "activity": None, "wakeAt": moment.timestamp()}


SOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = SOON + timedelta(hours=1)
CALLING = {"workflow": "PaymentWorkflow", "doing": "calling", "activity": "askPayment", "wakeAt": None}


async def test_the_first_counts(wakes: Wakes, workflows: Workflows) -> None:
    asked = [await workflows.answering(waits_until(moment)) for moment in (LATER, SOON)]
    assert await wakes.first(asked) == SOON
    assert await wakes.first(asked[:1]) == LATER


async def test_what_works_has_ended_or_was_not_begun_waits_for_nothing(wakes: Wakes, workflows: Workflows) -> None:
    idle = [await workflows.answering(CALLING), await workflows.ended(), f"wakes-{uuid4().hex}"]
    assert await wakes.first(idle) is None
    assert await wakes.first([*idle, await workflows.answering(waits_until(LATER))]) == LATER


async def test_one_that_does_not_say_may_be_the_first(wakes: Wakes, workflows: Workflows) -> None:
    waiting = await workflows.answering(waits_until(LATER))
    assert await wakes.first([waiting, await workflows.silent()]) is None


@pytest.mark.parametrize(
    "answer",
    [
        "waiting",
        {},
        {"doing": "dreaming", "wakeAt": 1.0},
        {"doing": "waiting"},
        {"doing": "waiting", "wakeAt": "soon"},
        {"doing": "waiting", "wakeAt": 1e300},
        {"doing": "waiting", "wakeAt": -1e300},
    ],
    ids=str,
)
async def test_somebody_elses_answer_under_the_same_name_is_none(
    wakes: Wakes, workflows: Workflows, answer: Any
) -> None:
    assert await wakes.first([await workflows.answering(answer)]) is None


async def test_more_than_anybody_looks_at_are_not_asked(wakes: Wakes, workflows: Workflows) -> None:
    waiting = [await workflows.answering(waits_until(SOON)) for _ in range(WORKFLOWS_MAX + 1)]
    assert await wakes.first(waiting[1:]) == SOON
    assert await wakes.first(waiting) is None
    assert await wakes.first([]) is None


async def test_a_missing_namespace_is_no_word_about_the_workflow(temporal_server: TemporalServer) -> None:
    missing = Connection(ServerAddress(address=temporal_server.address, namespace="nobodys"), part="test")
    assert await Wakes(missing, within_s=LONG_S).first(["payment-1"]) is None


# ---------------------------------------------------------------------------------------------------------- not at once


class Unanswering:
    """A server that takes calls and says nothing. It counts who waits."""

    server = ServerAddress(address="127.0.0.1:1", namespace="loop")
    namespace = "loop"

    def __init__(self, *, connects: bool) -> None:
        self._connects = connects
        self.waiting = 0
        self.most = 0

    async def client(self) -> Any:
        return self if self._connects else await self.query()

    def get_workflow_handle(self, _workflow_id: str) -> Any:
        return self

    async def query(self, *_: object, **__: object) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1


@pytest.mark.parametrize("connects", [True, False])
async def test_an_answer_that_does_not_come_at_once_is_none(*, connects: bool) -> None:
    server = Unanswering(connects=connects)
    async with asyncio.timeout(LONG_S):
        assert await Wakes(cast("Connection", server)).first(["payment-1"]) is None
    assert (server.most, server.waiting) == (1, 0)


async def test_no_more_than_so_many_are_asked_at_a_time() -> None:
    server = Unanswering(connects=True)
    wakes = Wakes(cast("Connection", server))
    asked = ["payment-1"] * WORKFLOWS_MAX
    assert await asyncio.gather(*(wakes.first(asked) for _ in range(QUERIES_MAX))) == [None] * QUERIES_MAX
    assert (server.most, server.waiting) == (QUERIES_MAX, 0)


async def test_a_server_that_is_away() -> None:
    away = Connection(ServerAddress(address="127.0.0.1:1", namespace="loop"), part="test")
    for _ in range(2):  # the second time it is not tried, for it was a moment ago
        assert await Wakes(away, within_s=LONG_S).first(["payment-1"]) is None
