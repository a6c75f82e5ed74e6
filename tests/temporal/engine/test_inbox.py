"""Signed events of the processor, from its own HTTP request through the inbox to a payment's workflow, or past it.

API, relay and worker are those that the program runs; the simulator signs and sends the events itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from payloops.bootstrap.relaying import relay
from payloops.bootstrap.working import temporal_workers
from payloops.config import Settings
from payloops.db import Database
from payloops.events.order_state import Captured
from payloops.sandbox.app import Sandbox
from payloops.temporal_server import TemporalServer
from tests.databases import TestDatabase
from tests.inbox.world import SECRET, Inbox, open_inbox, stripe_account
from tests.integration.http.world import Merchant
from tests.replay import assert_replay_equals_tables
from tests.temporal import servers

pytestmark = [pytest.mark.temporal, pytest.mark.slow]

SECURE = "pm_card_authenticationRequired"


@pytest.fixture
async def inbox(
    test_database: TestDatabase, database: Database, sandbox: Sandbox, temporal_server: TemporalServer
) -> AsyncIterator[Inbox]:
    where = {"TEMPORAL_ADDRESS": temporal_server.address, "TEMPORAL_NAMESPACE": servers.NAMESPACE}
    async with open_inbox(test_database, sandbox, **where) as opened:
        yield opened
    await assert_replay_equals_tables(database)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[None]:
    """A relay and a worker."""
    stopping, ready = asyncio.Event(), asyncio.Event()
    async with relay(settings), temporal_workers(settings) as workers:
        task = asyncio.create_task(workers.run(stopping, ready=ready))
        try:
            await asyncio.wait_for(ready.wait(), 60)
            yield
        finally:
            stopping.set()
            await task


async def asked_to_act(inbox: Inbox, client: Client) -> tuple[Merchant, str, str, WorkflowHandle[Any, Any]]:
    """An order whose customer must authenticate: merchant, order, payment at the processor, workflow."""
    merchant = await inbox.merchant("stripe")
    account = stripe_account(merchant)
    url = f"{inbox.settings.public_url}/webhooks/stripe/{merchant.id}"
    await inbox.control("POST", "/webhook-endpoints", {"account": account, "url": url, "secret": SECRET})
    order_id = (await inbox.pay(merchant, SECURE))["id"]
    await inbox.reach(order_id, "requires_action")
    (payment,) = (await inbox.control("GET", f"/ledger?account={account}"))["payments"]
    return merchant, order_id, payment["id"], client.get_workflow_handle(f"payment-{order_id}")


async def test_an_event_is_signalled_to_the_workflow_that_waits(inbox: Inbox, temporal_client: Client) -> None:
    async with serving(inbox.settings):
        merchant, order_id, payment_id, workflow = await asked_to_act(inbox, temporal_client)
        await inbox.control("POST", f"/payments/{payment_id}/authenticate", {"result": "succeed"})
        state = await inbox.reach(order_id, "captured")
        result = await asyncio.wait_for(workflow.result(), 60)
    assert isinstance(state, Captured)
    # The event moved the order; the workflow, woken, found nothing left to do and says how the order is.
    assert (result["success"], result["status"]) == (False, "captured")
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in (await workflow.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    ]
    assert signals == ["completePayment"] * len(signals)
    assert signals
    (captured,) = [each for each in await inbox.events(merchant) if each["type"] == "payment_intent.succeeded"]
    assert (captured["status"], captured["orderId"]) == ("processed", order_id)


async def test_an_event_moves_the_order_when_no_workflow_takes_it(inbox: Inbox, temporal_client: Client) -> None:
    async with serving(inbox.settings):
        merchant, order_id, payment_id, workflow = await asked_to_act(inbox, temporal_client)
        await workflow.terminate("an operator's mistake")
        await inbox.control("POST", f"/payments/{payment_id}/authenticate", {"result": "succeed"})
        state = await inbox.reach(order_id, "captured")
    assert isinstance(state, Captured)
    assert state.attempt.processor_transaction_id == payment_id
    assert (await workflow.describe()).status is WorkflowExecutionStatus.TERMINATED
    last = (await inbox.api.services.handler._store.load(state.facts.order_id))[-1]
    assert (last.meta.actor.type, last.meta.actor.id) == ("processor", "stripe")
    events = {each["type"]: each["status"] for each in await inbox.events(merchant)}
    assert events["payment_intent.succeeded"] == "processed"
