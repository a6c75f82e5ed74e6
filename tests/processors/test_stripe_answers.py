"""Answers that Stripe is documented to give and the simulator does not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from payloops.values import SystemClock, new_id
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    Misconfigured,
    NotFound,
    PaymentRequest,
    RefundRejected,
    Retryable,
    StillProcessing,
    Unknown,
    Voided,
)
from tests.processors.conftest import CANARY, Seen, Start, payment_request, ref_of


def intent(request: PaymentRequest, **changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1", "object": "payment_intent", "amount": request.amount, "amount_capturable": 0,
        "amount_received": 0, "currency": request.currency.lower(), "status": "requires_payment_method",
        "client_secret": f"pi_1_secret_{CANARY}", "created": 1_900_000_000, "last_payment_error": None,
        "next_action": None, "metadata": {"order_id": str(request.order_id), "attempt": str(request.attempt)},
    } | changes  # fmt: skip


def stripe_error(code: str | None, status: int = 400, **changes: Any) -> web.Response:
    error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None} | changes
    return web.json_response({"error": error}, status=status)


def page(members: list[dict[str, Any]], *, has_more: bool = False, kind: str = "list") -> web.Response:
    return web.json_response({"object": kind, "data": members, "has_more": has_more, "url": "/v1/x"})


# ------------------------------------------------------------------------------------- Stripe, without a payment method


@pytest.mark.parametrize(
    ("code", "param"),
    (("payment_intent_unexpected_state", None), ("parameter_missing", "payment_method"), ("parameter_missing", None)),
)
async def test_without_a_payment_method_the_customer_brings_it(stripe_at: Start, code: str, param: str | None) -> None:
    request = payment_request(payment_method_token=None)

    def answer(seen: Seen) -> web.Response:
        if "confirm" in parse_qs(seen.body):
            return stripe_error(code, param=param)
        return web.json_response(intent(request))

    processor, server = await stripe_at(answer)
    outcome = await processor.create_payment(request)
    assert outcome == ActionRequired("pi_1", "pi_1", client_secret=f"pi_1_secret_{CANARY}")
    first, second = server.seen
    key = f"order-{request.order_id}-1-create"
    assert first.headers["Idempotency-Key"] == key
    assert second.headers["Idempotency-Key"] == f"{key}-unconfirmed"
    sent = parse_qs(second.body)
    assert (sent["amount"], sent["metadata[order_id]"]) == (["4999"], [str(request.order_id)])
    assert "return_url" not in sent


async def test_the_intent_that_a_refusal_leaves_behind_is_used(stripe_at: Start) -> None:
    request = payment_request(payment_method_token=None)
    processor, server = await stripe_at(
        lambda _: stripe_error("payment_intent_unexpected_state", payment_intent=intent(request))
    )
    outcome = await processor.create_payment(request)
    assert outcome == ActionRequired("pi_1", "pi_1", client_secret=f"pi_1_secret_{CANARY}")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("token", "code", "param"),
    (("pm_1", "payment_intent_unexpected_state", None), (None, "parameter_missing", "currency"), (None, None, None)),
)
async def test_other_refusals_are_refusals(
    stripe_at: Start, token: str | None, code: str | None, param: str | None
) -> None:
    processor, server = await stripe_at(lambda _: stripe_error(code, param=param))
    outcome = await processor.create_payment(payment_request(payment_method_token=token))
    assert outcome == Declined(None, None, code or "invalid_request_error", None, "No.")
    assert len(server.seen) == 1


@pytest.mark.parametrize("code", ("testmode_charges_only", "livemode_mismatch", "api_key_expired"))
async def test_an_account_that_can_not_take_payments(stripe_at: Start, code: str) -> None:
    processor, _ = await stripe_at(lambda _: stripe_error(code))
    assert await processor.create_payment(payment_request()) == Misconfigured(code, "No.")


# ----------------------------------------------------------------------------------------------------- Stripe, statuses


@pytest.mark.parametrize(
    ("changes", "expected"),
    (
        ({"status": "processing"}, StillProcessing("pi_1", "pi_1")),
        ({"status": "a_new_status"}, StillProcessing("pi_1", "pi_1")),
        ({"status": "canceled"}, Voided("pi_1", "pi_1")),
        ({"status": "requires_capture", "amount_capturable": 70}, Authorized("pi_1", "pi_1", 70)),
        ({"status": "succeeded", "amount_received": 50}, Captured("pi_1", "pi_1", 50)),
        (
            {"last_payment_error": {"code": "card_declined", "decline_code": "fraudulent", "message": "Declined."}},
            Declined("pi_1", "pi_1", "card_declined", "fraudulent", "Declined."),
        ),
        ({"last_payment_error": {}}, Declined("pi_1", "pi_1", "payment_failed", None, "The payment was declined.")),
        (
            {"status": "requires_action", "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}}},
            ActionRequired("pi_1", "pi_1", client_secret=f"pi_1_secret_{CANARY}"),
        ),
    ),
)
async def test_statuses(stripe_at: Start, changes: dict[str, Any], expected: object) -> None:
    request = payment_request()
    processor, _ = await stripe_at(lambda _: web.json_response(intent(request, **changes)))
    assert await processor.get_payment(ref_of(request, Voided("pi_1"))) == expected


async def test_another_currency_needs_a_person(stripe_at: Start) -> None:
    request = payment_request()
    processor, _ = await stripe_at(lambda _: web.json_response(intent(request, currency="eur", status="succeeded")))
    outcome = await processor.get_payment(ref_of(request, Voided("pi_1")))
    assert isinstance(outcome, Misconfigured)
    assert outcome.code == "currency_mismatch"


async def test_a_request_in_flight_is_unknown(stripe_at: Start) -> None:
    processor, _ = await stripe_at(lambda _: stripe_error("idempotency_key_in_use", status=409))
    assert isinstance(await processor.create_payment(payment_request()), Unknown)


async def test_a_lock_timeout_is_surely_not_done(stripe_at: Start) -> None:
    processor, _ = await stripe_at(lambda _: stripe_error("lock_timeout", status=429))
    assert isinstance(await processor.create_payment(payment_request()), Retryable)


async def test_a_capture_that_the_bank_refuses(stripe_at: Start) -> None:
    processor, _ = await stripe_at(lambda _: stripe_error("card_declined", status=402, type="card_error"))
    outcome = await processor.capture_payment(ref_of(payment_request(), Voided("pi_1")), 1)
    assert outcome == Declined(None, None, "card_declined", None, "No.")


async def test_a_question_that_stripe_refuses_needs_a_person(stripe_at: Start) -> None:
    processor, _ = await stripe_at(lambda _: stripe_error("parameter_unknown"))
    ref = ref_of(payment_request(), Voided("pi_1"))
    assert await processor.get_payment(ref) == Misconfigured("parameter_unknown", "No.")
    refund = await processor.get_refund(refund_id=new_id(), processor_refund_id="re_1", ref=ref)
    assert refund == Misconfigured("parameter_unknown", "No.")


@pytest.mark.parametrize(
    ("error", "expected"),
    (
        ({"type": "idempotency_error"}, Unknown),
        ({"code": "charge_disputed"}, RefundRejected),
        ({"code": "card_declined", "type": "card_error", "status": 402}, RefundRejected),
    ),
)
async def test_a_refused_refund_that_was_not_made_before(
    stripe_at: Start, error: dict[str, Any], expected: type[object]
) -> None:
    def answer(seen: Seen) -> web.Response:
        return page([]) if seen.method == "GET" else stripe_error(**{"code": None} | error)

    processor, server = await stripe_at(answer)
    ref = ref_of(payment_request(), Voided("pi_1"))
    outcome = await processor.create_refund(refund_id=new_id(), ref=ref, amount=1, reason=None)
    assert isinstance(outcome, expected)
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


NONSENSE: tuple[dict[str, Any], ...] = (
    {},
    {"id": "pi_1"},
    {"id": 1, "status": "succeeded", "currency": "usd"},
    {"id": "pi_1", "status": "succeeded", "currency": "usd", "amount_received": "4999"},
    {"id": "pi_1", "status": "succeeded", "currency": "usd", "amount_received": True},
    {"id": "pi_1", "status": ["succeeded"], "currency": "usd"},
    {"object": "list", "data": {}},
    {"error": "text"},
    {"error": {"message": 1}},
)


@pytest.mark.parametrize("document", NONSENSE)
async def test_nonsense_from_stripe(stripe_at: Start, document: dict[str, Any]) -> None:
    request = payment_request()
    processor, _ = await stripe_at(lambda _: web.json_response(document))
    ref = ref_of(request, Voided("pi_1"))
    assert isinstance(await processor.create_payment(request), Unknown)
    assert isinstance(await processor.get_payment(ref), Retryable)
    assert isinstance(await processor.get_payment(ref_of(request)), Retryable)
    assert isinstance(await processor.capture_payment(ref, 1), Unknown)
    assert isinstance(await processor.cancel_payment(ref), Unknown)


# ---------------------------------------------------------------------------------------- Stripe, finding by metadata


class BusyAccount:
    """An account with more payments than the adapter looks through, one every ``step_s`` seconds."""

    def __init__(self, request: PaymentRequest, *, step_s: int, searched: list[dict[str, Any]] | None) -> None:
        self._other = replace(request, order_id=new_id())
        self._step_s = step_s
        self._searched = searched
        self._numbers = itertools.count()

    def __call__(self, seen: Seen) -> web.Response:
        if seen.path.endswith("/search"):
            return stripe_error("search_unavailable") if self._searched is None else page(self._searched)
        members = [
            intent(self._other, id=f"pi_{number}", created=1_900_000_000 - number * self._step_s)
            for number in itertools.islice(self._numbers, 100)
        ]
        return page(members, has_more=True)


@pytest.mark.parametrize(("step_s", "expected"), (("60", NotFound), ("1", Retryable)))
async def test_not_found_in_a_busy_account_only_when_the_index_must_know(
    stripe_at: Start, step_s: str, expected: type[object]
) -> None:
    request = payment_request()
    processor, server = await stripe_at(BusyAccount(request, step_s=int(step_s), searched=[]))
    assert isinstance(await processor.get_payment(ref_of(request)), expected)
    assert [seen.path.rsplit("/", 1)[1] for seen in server.seen] == ["payment_intents"] * 3 + ["search"]
    assert [parse_qs(seen.query).get("starting_after") for seen in server.seen[:3]] == [None, ["pi_99"], ["pi_199"]]


async def test_found_by_search_in_a_busy_account(stripe_at: Start) -> None:
    request = payment_request()
    hits = [
        intent(request, id="pi_a", status="requires_payment_method"),
        intent(request, id="pi_b", status="succeeded", amount_received=4999),
        intent(replace(request, attempt=2), id="pi_c", status="succeeded", amount_received=1),
        intent(request, id="pi_d", status="canceled"),
    ]
    processor, _ = await stripe_at(BusyAccount(request, step_s=1, searched=hits))
    assert await processor.get_payment(ref_of(request)) == Captured("pi_b", "pi_b", 4999)


async def test_no_search_in_a_busy_account(stripe_at: Start) -> None:
    request = payment_request()
    processor, _ = await stripe_at(BusyAccount(request, step_s=60, searched=None))
    assert isinstance(await processor.get_payment(ref_of(request)), Retryable)


async def test_the_list_starts_before_the_order_was_made(stripe_at: Start) -> None:
    request = payment_request()
    processor, server = await stripe_at(lambda _: page([]))
    assert await processor.get_payment(ref_of(request)) == NotFound()
    [since] = parse_qs(server.seen[0].query)["created[gte]"]
    age_s = SystemClock().now().timestamp() - int(since)
    assert 300 <= age_s < 360


async def test_refunds_that_can_not_all_be_looked_through(stripe_at: Start) -> None:
    request = payment_request()
    refund = {"id": "re_1", "object": "refund", "amount": 1, "status": "succeeded", "metadata": {}}
    processor, server = await stripe_at(lambda _: page([refund], has_more=True))
    ref = ref_of(request, Voided("pi_1"))
    outcome = await processor.get_refund(refund_id=new_id(), processor_refund_id=None, ref=ref)
    assert isinstance(outcome, Retryable)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    (
        ({"status": "failed", "failure_reason": "lost_or_stolen_card"}, "lost_or_stolen_card"),
        ({"status": "failed"}, "refund_failed"),
        ({"status": "canceled"}, "canceled"),
    ),
)
async def test_refunds_that_failed(stripe_at: Start, changes: dict[str, Any], code: str) -> None:
    refund = {"id": "re_1", "object": "refund", "amount": 1} | changes
    processor, _ = await stripe_at(lambda _: web.json_response(refund))
    ref = ref_of(payment_request(), Voided("pi_1"))
    outcome = await processor.get_refund(refund_id=new_id(), processor_refund_id="re_1", ref=ref)
    assert isinstance(outcome, RefundRejected)
    assert (outcome.processor_refund_id, outcome.code) == ("re_1", code)
