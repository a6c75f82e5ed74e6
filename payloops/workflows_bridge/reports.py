"""What machines record, as commands of the order. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid5

from payloops.commands import order_results as r
from payloops.events.base import Meta, Sealed
from payloops.workflows_bridge.contracts import ContractViolation

Json: TypeAlias = Mapping[str, Any]


def payment_report(told: Json, attempt: int, *, now: datetime, meta: Meta) -> r.OrderReport:
    """The command that a recordPayment asks for. Raises ContractViolation."""
    order_id = UUID(told["orderId"])
    ids = {
        "processor_order_id": told.get("processorOrderId"),
        "processor_transaction_id": told.get("processorTransactionId"),
    }
    match told["report"]:
        case "captured":
            refund_id = surplus_refund_id(order_id, attempt, told.get("processorTransactionId"))
            return r.RecordCaptured(
                order_id, now, meta, attempt, amount=told["amount"], surplus_refund_id=refund_id, **ids
            )
        case "authorized":
            return r.RecordAuthorized(order_id, now, meta, attempt, amount=told["amount"], **ids)
        case "action_required":
            return _action_required(told, order_id, attempt, now=now, meta=meta)
        case "processing":
            return r.RecordProcessing(order_id, now, meta, attempt, **ids)
        case "failed":
            return r.RecordFailed(
                order_id,
                now,
                meta,
                attempt,
                code=told["code"],
                message=told["message"],
                decline_code=told.get("declineCode"),
                ended=told.get("ended", False),
                **ids,
            )
        case "voided":
            return r.RecordVoided(
                order_id, now, meta, attempt, told.get("processorTransactionId"), reason=told.get("reason")
            )
        case "outcome_unknown":
            return r.RecordOutcomeUnknown(order_id, now, meta, attempt, told["operation"], told["reason"])
        case "capture_failed" | "cancel_failed" as report:
            refusal = r.RecordCaptureFailed if report == "capture_failed" else r.RecordCancelFailed
            return refusal(order_id, now, meta, told["code"], told["message"], attempt)
        case _:
            raise ContractViolation("recordPayment: there is no such report")


def refund_report(told: Json, *, now: datetime, meta: Meta) -> r.OrderReport:
    """The command that a recordRefund asks for. Raises ContractViolation."""
    order_id, refund_id = UUID(told["orderId"]), UUID(told["refundId"])
    processor_refund_id = told.get("processorRefundId")
    match told["report"]:
        case "success":
            return r.RecordRefundSucceeded(order_id, now, meta, refund_id, processor_refund_id)
        case "failed":
            return r.RecordRefundFailed(
                order_id, now, meta, refund_id, told["code"], told["message"], processor_refund_id
            )
        case "outcome_unknown":
            return r.RecordRefundUnknown(order_id, now, meta, refund_id, told["reason"])
        case _:
            raise ContractViolation("recordRefund: there is no such report")


def surplus_refund_id(order_id: UUID, attempt: int, transaction_id: str | None) -> UUID:
    """The refund of a payment that turns out to be one too many: the same for ever, whoever reports it."""
    return uuid5(order_id, f"surplus-{attempt}-{transaction_id or ''}")


def _action_required(told: Json, order_id: UUID, attempt: int, *, now: datetime, meta: Meta) -> r.RecordActionRequired:
    address, secret, data = told.get("redirectUrl"), told.get("clientSecret"), told.get("processorData")
    return r.RecordActionRequired(
        order_id,
        now,
        meta,
        attempt,
        processor_order_id=told.get("processorOrderId"),
        processor_transaction_id=told.get("processorTransactionId"),
        redirect_url=None if address is None else Sealed(address),
        client_secret=None if secret is None else Sealed(secret),
        processor_data=None if data is None else dict(data),
    )
