"""P7: from ``POST /v1/orders/:id/pay`` to its answer ``captured``, embedded engine, sandbox, one payment at a time.

API, relay and sandbox are processes of their own. The baseline is the sandbox alone: the one request that such a
payment makes of it, a PaymentIntent that is created and confirmed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final
from urllib.parse import urlencode

from bench.harness import Bench, Goal, Result
from bench.http_requests import call, render
from bench.load import ID, NUMBER, Load, Step
from bench.sample_order import AMOUNT, CURRENCY, DESCRIPTION, EXTERNAL_ID, HTTP_BODY
from bench.samples import P50
from bench.service import Api, service

WHAT: Final = "pay to captured over HTTP with the sandbox, against the sandbox alone"
EXTRA_MS: Final = 20.0
GOAL: Final = Goal(
    f"≤ 3× + {EXTRA_MS:g} ms",
    lambda comparison: comparison.value <= 3 * comparison.baseline + EXTRA_MS,
)
_PAYMENT: Final = {
    "amount": str(AMOUNT),
    "currency": CURRENCY.lower(),
    "capture_method": "automatic",
    "automatic_payment_methods[enabled]": "true",
    "automatic_payment_methods[allow_redirects]": "never",
    "description": DESCRIPTION,
    "metadata[order_id]": "01980000-0000-7000-8000-000000000000",
    "metadata[merchant_id]": "01980000-0000-7000-8000-000000000001",
    "metadata[attempt]": "1",
    "metadata[external_id]": EXTERNAL_ID,
    "confirm": "true",
    "payment_method": "pm_card_visa",
}


def run(bench: Bench) -> list[Result]:
    with ExitStack() as stack:
        ours = stack.enter_context(service(bench, stack.enter_context(bench.postgres.database())))
        sandbox_port = stack.enter_context(ours.sandbox())
        api = stack.enter_context(ours.api())
        stack.enter_context(ours.relay())
        loads = {"payloops": pay_load(api), "sandbox": _sandbox_load(sandbox_port)}
        sides = {name: stack.enter_context(bench.worker("bench.load", load.to_json())) for name, load in loads.items()}
        rounds = bench.interleave({name: worker.measure for name, worker in sides.items()})
    return [Result.of("P7", "pay to captured, p50", "ms", rounds.compare("payloops", "sandbox", P50), GOAL)]


def pay_load(api: Api, *, connections: int = 1, wait: bool = False) -> Load:
    """Orders that are created and paid; the time of the second counts. ``wait`` asks for the outcome in the answer."""
    merchant = api.register()
    bearer = {"Authorization": f"Bearer {merchant.token}"}
    stripe = {"credentials": {"secretKey": "sk_test_benchpayloops"}}
    call(api.port, "POST", "/api/processors/stripe", bearer, stripe, status=200)
    key = {"X-API-Key": merchant.api_key}
    payment = {"processor": "stripe", "paymentMethod": {"type": "card", "token": "pm_card_visa"}}
    create = Step([render("POST", "/v1/orders", key, HTTP_BODY)], status=201)
    paying = {**key, "Prefer": "wait=30"} if wait else key
    pay = Step([render("POST", f"/v1/orders/{ID}/pay", paying, payment)], status=200, contains='"captured"')
    return Load(api.port, connections=connections, steps=[create, pay], timed_from=1)


def _sandbox_load(port: int) -> Load:
    headers = {
        "Authorization": "Bearer sk_test_benchsandbox",
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": f"bench-{NUMBER}",
    }
    request = render("POST", "/v1/payment_intents", headers, urlencode(_PAYMENT))
    return Load(port, connections=1, steps=[Step([request], status=200, contains="succeeded")])
