"""P10: signed Stripe events taken in, 32 connections, one API process, against P2 on the same process.

Each event is another one and is signed as it is sent; it is kept and answered, and what it says is not processed: no
relay runs, on neither side.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any, Final

from bench.harness import Bench, Result, at_least
from bench.http_requests import call
from bench.load import NUMBER, NUMBER_DIGITS, SIGNATURE, Load, Step
from bench.sample_order import AMOUNT, CURRENCY
from bench.samples import RATE
from bench.service import CONNECTIONS, Api, Merchant, order_load, service

WHAT: Final = "signed webhooks taken in, 32 connections, against POST /v1/orders on the same process"
SECRET: Final = "whsec_bench_ingestion_of_events"


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        api = stack.enter_context(ours.api())
        merchant = api.register()
        loads = {"webhooks": event_load(api, merchant), "orders": order_load(api.port, merchant.api_key)}
        sides = {name: stack.enter_context(bench.worker("bench.load", load.to_json())) for name, load in loads.items()}
        rounds = bench.interleave({name: worker.measure for name, worker in sides.items()})
    comparison = rounds.compare("webhooks", "orders", RATE)
    return [Result.of("P10", "signed webhooks taken in", "1/s", comparison, at_least(0.8))]


def event_load(api: Api, merchant: Merchant) -> Load:
    """Events of a merchant whose webhook secret was saved by hand."""
    bearer = {"Authorization": f"Bearer {merchant.token}"}
    stripe = {"credentials": {"secretKey": "sk_test_benchingestion", "webhookSecret": SECRET}}
    call(api.port, "POST", "/api/processors/stripe", bearer, stripe, status=200)
    (order_id,) = api.create_orders(1, merchant)
    body = json.dumps(_event(order_id, merchant.id), separators=(",", ":"))
    length = len(body.encode()) + body.count(NUMBER) * (NUMBER_DIGITS - len(NUMBER))
    request = (
        f"POST /webhooks/stripe/{merchant.id} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: {SIGNATURE}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    return Load(api.port, CONNECTIONS, [Step([request], status=200, contains="received", stripe_secret=SECRET)])


def _event(order_id: str, merchant_id: str) -> dict[str, Any]:
    labels = {"order_id": order_id, "merchant_id": merchant_id, "attempt": "1", "external_id": "shop-2026-000417"}
    intent = {
        "id": "pi_3OqBench0000000000000001",
        "object": "payment_intent",
        "amount": AMOUNT,
        "amount_capturable": 0,
        "amount_received": AMOUNT,
        "capture_method": "automatic",
        "client_secret": "pi_3OqBench0000000000000001_secret_0000000000000000000000001",
        "confirmation_method": "automatic",
        "created": 1_767_225_600,
        "currency": CURRENCY.lower(),
        "description": "2 items",
        "latest_charge": "ch_3OqBench0000000000000001",
        "livemode": False,
        "metadata": labels,
        "payment_method": "pm_1OqBench0000000000000001",
        "payment_method_types": ["card"],
        "status": "succeeded",
    }
    return {
        "id": f"evt_{NUMBER}",
        "object": "event",
        "api_version": "2025-01-27.acacia",
        "created": 1_767_225_601,
        "data": {"object": intent},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_Bench00000000001", "idempotency_key": None},
        "type": "payment_intent.succeeded",
    }
