"""Workers of others, in two languages, take our payments: they know the wire contract, we know that they hold to it.

Our service runs as in the field, without a worker of its own for Stripe; everything is asked over HTTP.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from payloops.temporal_server import TemporalServer
from tests.gauntlet import service, shop
from tests.gauntlet.checker import check
from tests.gauntlet.client import Answer
from tests.gauntlet.shop import Shop
from tests.gauntlet.waiting import until_order
from tests.temporal import external, servers

pytestmark = [pytest.mark.temporal, pytest.mark.slow]

OUTCOME_WITHIN_S = 60.0


@pytest.fixture(params=["typescript", "python"])
async def market(request: pytest.FixtureRequest, temporal_server: TemporalServer) -> AsyncIterator[Shop]:
    """A shop of a service whose Stripe payments are somebody else's work."""
    language: str = request.param
    external.command_of(language)  # built before the service starts, or the test is skipped
    settings = {
        "TEMPORAL_ADDRESS": temporal_server.address,
        "TEMPORAL_NAMESPACE": servers.NAMESPACE,
        "WORKER_QUEUES": "backend-operations",
        "PAY_WAIT_S": "20",
    }
    with service.prepared(disk=None, **settings) as running:
        for name in ("sandbox", "api", "relay", "worker"):
            running.part(name).start()
        running.wait_for_ports()
        await running.ready()
        environ = {
            "TEMPORAL_ADDRESS": temporal_server.address,
            "TEMPORAL_NAMESPACE": servers.NAMESPACE,
            "STRIPE_API_BASE": running.sandbox_url,
        }
        with external.running(language, running.directory / "external.log", environ):
            async with shop.opened(running) as opened:
                yield opened


async def test_a_worker_of_others_takes_payments_and_refunds(market: Shop, temporal_client: Client) -> None:
    rng = random.Random(5)
    paid, declined, held, acted, cancelled = await asyncio.gather(
        pay_and_refund(market, rng),
        decline_and_pay(market, rng),
        hold(market, rng),
        authenticate(market, rng),
        cancel(market, rng),
    )

    async def result(workflow_id: str) -> Any:
        return await temporal_client.get_workflow_handle(workflow_id).result()

    taken = await result(f"payment-{paid['id']}")
    assert taken == {
        "success": True,
        "status": "captured",
        "processorOrderId": paid["processorOrderId"],
        "processorTransactionId": paid["processorOrderId"],
        "errorCode": None,
        "errorMessage": None,
    }
    refused = await result(f"payment-{declined['id']}")
    # Its status is the order's when it ended: the second attempt may have begun by then.
    assert (refused["success"], refused["errorCode"]) == (False, "card_declined")
    assert (await result(f"payment-{declined['id']}-2"))["status"] == "captured"
    assert (await result(f"payment-{held['id']}"))["status"] == "authorized"
    assert (await result(f"payment-{acted['id']}"))["status"] == "captured"
    assert (await result(f"payment-{cancelled['id']}"))["status"] == "cancelled"

    (refund,) = (await market.api.ask("GET", f"/v1/orders/{paid['id']}/refunds")).body
    given_back = await result(f"refund-{refund['refundId']}")
    assert (given_back["success"], given_back["status"]) == (True, "success")
    await found_by_correlation_id(market, temporal_client, paid["id"])
    await check(market)


async def pay_and_refund(market: Shop, rng: random.Random) -> dict[str, Any]:
    order = await market.order(rng, amount=2599)
    answer = await market.pay(order["id"], rng=rng)
    assert answer.status == 200
    captured = await until_order(market, order["id"], lambda now: now["status"] == "captured")
    assert captured["amountCaptured"] == 2599
    refunded = await market.write(order["id"], "refund", {"amount": 1000, "reason": "one came back"}, rng=rng)
    assert refunded.status == 201
    return await until_order(market, order["id"], lambda now: now["status"] == "partially_refunded")


async def decline_and_pay(market: Shop, rng: random.Random) -> dict[str, Any]:
    order = await market.order(rng)
    await market.pay(order["id"], "pm_card_visa_chargeDeclined", rng=rng)
    failed = await until_order(market, order["id"], lambda now: now["status"] == "failed")
    assert failed["failure"]["code"] == "card_declined"
    assert failed["failure"]["message"]
    await market.pay(order["id"], rng=rng)
    return await until_order(market, order["id"], lambda now: now["status"] == "captured")


async def hold(market: Shop, rng: random.Random) -> dict[str, Any]:
    """Authorized, and left so: captures and voids are no work of this worker."""
    order = await market.order(rng, captureMethod="manual")
    await market.pay(order["id"], rng=rng)
    return await until_order(market, order["id"], lambda now: now["status"] == "authorized")


async def authenticate(market: Shop, rng: random.Random) -> dict[str, Any]:
    """The customer answers the bank; Stripe's event becomes the signal completePayment."""
    order = await market.order(rng, returnUrl="https://shop.example/thanks")
    await market.pay(order["id"], "pm_card_authenticationRequired", rng=rng)
    waiting = await until_order(market, order["id"], lambda now: now["status"] == "requires_action")
    await market.act(waiting["processorOrderId"], "authenticate", {"result": "succeed"})
    return await until_order(market, order["id"], lambda now: now["status"] == "captured")


async def cancel(market: Shop, rng: random.Random) -> dict[str, Any]:
    """The merchant does not wait for the customer: the signal cancelPayment."""
    order = await market.order(rng, returnUrl="https://shop.example/thanks")
    await market.pay(order["id"], "pm_card_authenticationRequired", rng=rng)
    await until_order(market, order["id"], lambda now: now["status"] == "requires_action")
    answer: Answer = await market.write(order["id"], "cancel", {"reason": "out of stock"}, rng=rng)
    assert answer.status == 200
    return await until_order(market, order["id"], lambda now: now["status"] == "cancelled")


async def found_by_correlation_id(market: Shop, client: Client, order_id: str) -> None:
    trail = (await market.api.ask("GET", f"/v1/orders/{order_id}/events?limit=50")).body["data"]
    started = next(entry for entry in trail if entry["type"] == "order.payment_started")
    query = f"CorrelationId = '{started['correlationId']}'"
    assert [each.id for each in await servers.listed(client, query)] == [f"payment-{order_id}"]
