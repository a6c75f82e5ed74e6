"""What goes out, and what must not show up in a log."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web
from stripe import _util as sdk_util

from payloops.workflows_bridge.processors.base import (
    Captured,
)
from tests.processors.conftest import CANARY, Start, payment_request, ref_of
from tests.processors.test_stripe_answers import intent, stripe_error


async def test_only_what_stripe_needs_is_sent(stripe_at: Start) -> None:
    request = payment_request()
    notice = {"Stripe-Notice": "written into your log", "Request-Id": "req_1"}
    processor, server = await stripe_at(
        lambda _: web.json_response(intent(request, status="succeeded", amount_received=4999), headers=notice)
    )
    for _ in range(2):
        assert isinstance(await processor.create_payment(request), Captured)
    for seen in server.seen:
        assert set(seen.headers) == {
            "Host", "Accept", "Accept-Encoding", "User-Agent", "Content-Length",
            "Authorization", "Idempotency-Key", "Content-Type", "Stripe-Version",
        }  # fmt: skip
        assert seen.headers["User-Agent"] == "payloops"


async def test_nothing_secret_is_logged(
    stripe_at: Start, razorpay_at: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sdk_util, "STRIPE_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    request = payment_request(payment_method_token=f"pm_{CANARY}", description=CANARY)
    for start in (stripe_at, razorpay_at):
        for answer in (
            lambda _: web.json_response(intent(request)),
            lambda _: stripe_error("card_declined", status=402, type="card_error", payment_intent=intent(request)),
            lambda _: web.json_response({"error": {"message": CANARY}}, status=500),
            lambda _: web.json_response({"error": {"message": f"Invalid key {CANARY}"}}, status=401),
        ):
            processor, _ = await start(answer)
            outcome = await processor.create_payment(request)
            await processor.get_payment(ref_of(request))
            assert CANARY not in f"{processor!r} {outcome!r} {request!r} {vars(processor)!r}"
    captured = capfd.readouterr()
    assert CANARY not in caplog.text + captured.out + captured.err
