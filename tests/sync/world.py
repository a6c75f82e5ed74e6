"""What tests of syncs do and look at, on the world of the inbox's tests."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from payloops.events.order_state import Absent, Existing, OrderState, Processing
from payloops.workflows_bridge.inbox.processing import Patience
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE
from payloops.workflows_bridge.relay import Relay
from tests.clock import CLOCK
from tests.inbox.world import WAIT_S, Inbox, stripe_account
from tests.integration.http.world import Answer, Merchant
from tests.workflows.world import eventually

PASSIVE = replace(CONTRACT_SCHEDULE, action_asks_s=(600,), doubt_asks_s=(600,), action_timeout_s=3600)
"""The engine asks nothing by itself while a test lasts: what was learnt was learnt by a sync."""
WAIT = {"Prefer": "wait=25"}
TIMEOUT_S = 8.0
"""A processor's: longer than a call takes on a machine that others use, too."""


class MovableClock:
    """The API's clock. An answer is shared for a second: that is over when the clock is moved on."""

    def __init__(self) -> None:
        self._true = CLOCK
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return self._true.now() + timedelta(seconds=self.ahead_s)


def relaying(inbox: Inbox) -> AbstractAsyncContextManager[Relay]:
    """A relay that finds out nothing by itself, and has patience with events that come before their time."""
    return inbox.relaying(Patience(), PASSIVE, timeout_s=TIMEOUT_S)


async def paid(inbox: Inbox, merchant: Merchant, token: str, **fields: Any) -> Any:
    """An order of whose payment the processor's first word is known."""
    order = await inbox.pay(merchant, token, wait_s=25, **fields)
    assert order["paid"]["status"] != "processing"
    return order


async def sync(inbox: Inbox, merchant: Merchant, order: Any, **headers: str) -> Answer:
    path = f"/api/orders/{order['id']}/sync"
    return await inbox.api.call("POST", path, {}, token=merchant.token, headers={**WAIT, **headers})


async def synced(inbox: Inbox, merchant: Merchant, order: Any) -> Any:
    """What a sync of its own, which shares no earlier answer, came to."""
    clock = inbox.api.services.clock
    assert isinstance(clock, MovableClock)
    clock.ahead_s += 2
    body = (await sync(inbox, merchant, order)).must(200)
    assert body["finished"], body
    return body


async def until(inbox: Inbox, order: Any, reached: Any) -> Existing:
    """The order's state once that holds."""

    def there(state: OrderState) -> bool:
        return not isinstance(state, Absent) and bool(reached(state))

    services = inbox.api.services
    state = await services.handler.wait_for(services.orders, UUID(order["id"]), there, timeout_s=WAIT_S)
    assert not isinstance(state, Absent)
    assert there(state), state
    return state


async def quiet(inbox: Inbox) -> None:
    """Nothing is due or in hand: what the relay was to do is done, and workflows wait."""

    async def is_quiet() -> bool:
        return not inbox.rows(
            "SELECT seq FROM outbox WHERE parked_at IS NULL"
            " AND (kind <> 'wake' OR due_at <= now() OR lease_until > now())"
        )

    await eventually(is_quiet, "the outbox is quiet")


async def in_doubt(inbox: Inbox, merchant: Merchant, mode: str) -> Any:
    """An order of whose charge nobody knows what became."""
    await fault(inbox, merchant, "payment.create", mode)
    order = await inbox.pay(merchant, "pm_card_visa", wait_s=0)
    await until(inbox, order, lambda state: isinstance(state, Processing) and state.outcome_unknown)
    await quiet(inbox)
    return order


async def history(inbox: Inbox, order: Any) -> list[str]:
    """The order's events, by class."""
    events = await inbox.api.services.handler._store.load(UUID(order["id"]))
    return [type(event).__name__ for event in events]


# ------------------------------------------------------------------------------------------------------- the processor


async def fault(inbox: Inbox, merchant: Merchant, operation: str, mode: str, times: int = 1) -> None:
    body = {"account": stripe_account(merchant), "operation": operation, "mode": mode, "times": times}
    await inbox.control("POST", "/faults", body)


async def ledger(inbox: Inbox, merchant: Merchant) -> Any:
    return await inbox.control("GET", f"/ledger?account={stripe_account(merchant)}")


async def payment_of(inbox: Inbox, merchant: Merchant, order: Any) -> Any:
    """The one payment that Stripe has of the order."""
    payments = (await ledger(inbox, merchant))["payments"]
    (payment,) = [payment for payment in payments if payment["metadata"]["order_id"] == order["id"]]
    return payment


async def at_stripe(inbox: Inbox, merchant: Merchant, path: str, **form: str) -> None:
    """What the merchant does at Stripe itself, with its own key."""
    url, key = f"{inbox.sandbox.stripe_url}/v1/{path}", stripe_account(merchant)
    async with inbox.http.post(url, data=form, headers={"Authorization": f"Bearer {key}"}) as reply:
        assert reply.status == 200, await reply.text()
