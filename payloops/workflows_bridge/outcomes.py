"""What a processor's adapter answers, as activities tell it to machines."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from payloops.workflows_bridge.machines.results import Outcome, Told
from payloops.workflows_bridge.processors import base as p


def outcome_of_payment(answer: p.PaymentOutcome) -> Outcome:
    """The payment's. The client secret is still open: seal it before it goes anywhere."""
    match answer:
        case p.Captured() | p.Authorized():
            told = Told.CAPTURED if isinstance(answer, p.Captured) else Told.AUTHORIZED
            return replace(_with_ids(told, answer), amount=answer.amount)
        case p.ActionRequired():
            data = answer.processor_data
            return replace(
                _with_ids(Told.ACTION_REQUIRED, answer),
                redirect_url=answer.redirect_url,
                client_secret=answer.client_secret,
                processor_data=None if data is None else dict(data),
            )
        case p.StillProcessing():
            return _with_ids(Told.PROCESSING, answer)
        case p.Voided():
            return _with_ids(Told.VOIDED, answer)
        case p.Declined():
            return replace(
                _with_ids(Told.DECLINED, answer),
                code=answer.code,
                decline_code=answer.decline_code,
                message=answer.message,
            )
        case p.NotFound():
            return Outcome(Told.NOT_FOUND)
        case p.Unknown() | p.Retryable() | p.Misconfigured():
            return _of_trouble(answer)
        case _:
            assert_never(answer)


def outcome_of_refund(answer: p.RefundOutcome) -> Outcome:
    """The refund's."""
    match answer:
        case p.RefundSucceeded():
            return Outcome(Told.REFUNDED, processor_refund_id=answer.processor_refund_id, amount=answer.amount)
        case p.RefundPending():
            return Outcome(Told.REFUND_PENDING, processor_refund_id=answer.processor_refund_id)
        case p.RefundRejected():
            return Outcome(
                Told.REFUND_REJECTED,
                processor_refund_id=answer.processor_refund_id,
                code=answer.code,
                message=answer.message,
            )
        case p.RefundNotFound():
            return Outcome(Told.NOT_FOUND)
        case p.Unknown() | p.Retryable() | p.Misconfigured():
            return _of_trouble(answer)
        case _:
            assert_never(answer)


def _of_trouble(answer: p.Trouble) -> Outcome:
    match answer:
        case p.Unknown():
            return Outcome(Told.UNKNOWN, reason=answer.reason)
        case p.Retryable():
            return Outcome(Told.RETRYABLE, reason=answer.reason, retry_after_s=answer.retry_after_s)
        case p.Misconfigured():
            return Outcome(Told.MISCONFIGURED, code=answer.code, message=answer.message)
        case _:
            assert_never(answer)


def _with_ids(
    told: Told,
    answer: p.Captured | p.Authorized | p.ActionRequired | p.StillProcessing | p.Declined | p.Voided,
) -> Outcome:
    return Outcome(
        told,
        processor_order_id=answer.processor_order_id,
        processor_transaction_id=answer.processor_transaction_id,
    )
