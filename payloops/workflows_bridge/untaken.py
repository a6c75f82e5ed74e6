"""Signals that no workflow takes: the order, or the delivery, is moved directly, if it still needs to be.

That a payment's workflow is gone while its order waits is rare: its start was parked, or an external worker ended it.
"""

from __future__ import annotations

from typing import Any, Final

from payloops.events.order_state import Processing, RequiresAction, attempt_numbered
from payloops.workflows_bridge import duty
from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.contracts import REASONS_TO_ASK, Signal, SignalWorkflow
from payloops.workflows_bridge.deliveries.outbox import delivery_of
from payloops.workflows_bridge.engines.base import Work
from payloops.workflows_bridge.machines.delivery import DeliveryAnswer, Met
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.relay import TryLater

ASK_AGAIN_S: Final = 30.0
"""An order without a workflow is asked about as long as nothing is known, at this pace."""


class DirectMoves:
    """What is done in a workflow's stead."""

    def __init__(self, activities: Activities) -> None:
        self._activities = activities

    async def __call__(self, signal: SignalWorkflow, work: Work) -> None:
        """Ask the processor, or have it end the payment, and record what is true.

        Raises TryLater when the processor did not answer, or the receiver did not take it; Unavailable.
        """
        if signal.signal in (Signal.PROCEED, Signal.RETRY_NOW):
            await self._deliver(signal, work)
            return
        state = await self._activities.order({"orderId": signal.order_id})
        attempt = attempt_numbered(state, signal.attempt)
        if attempt is None or duty.is_settled(state, signal.attempt):
            return
        if not isinstance(state, Processing | RequiresAction) or state.attempt.number != signal.attempt:
            return
        cancels = signal.signal == Signal.CANCEL_PAYMENT and state.cancel is not None
        if not cancels and signal.signal not in REASONS_TO_ASK:
            return
        told = {
            "orderId": signal.order_id,
            "merchantId": signal.merchant_id,
            "processor": attempt.processor,
            "attempt": signal.attempt,
            "processorOrderId": None,
            "processorTransactionId": None,
        }
        caller = Caller(signal.workflow_id, work.correlation_id, work.traceparent, repeated=work.repeated)
        work.require_lease()
        activity = Activity.CANCEL if cancels else Activity.ASK
        outcome = Outcome.from_json(await self._activities.call(activity, told, caller))
        report = _report(outcome, cancels=cancels)
        if report is not None:
            await self._activities.call(Activity.RECORD_PAYMENT, {**told, **report}, caller)

    async def _deliver(self, signal: SignalWorkflow, work: Work) -> None:
        """Attempts of a webhook delivery in its workflow's stead, for as long as the delivery has not ended."""
        delivery_id = delivery_of(signal.workflow_id)
        if delivery_id is None:
            return
        told = {
            "deliveryId": str(delivery_id),
            "merchantId": signal.merchant_id,
            "attempts": signal.attempt,
            "now": signal.signal == Signal.RETRY_NOW,
        }
        caller = Caller(signal.workflow_id, work.correlation_id, work.traceparent, repeated=work.repeated)
        work.require_lease()
        answer = DeliveryAnswer.from_json(await self._activities.call(Activity.ATTEMPT_DELIVERY, told, caller))
        if answer.met is not Met.ENDED:
            raise TryLater(answer.come_again_s)


def _report(outcome: Outcome, *, cancels: bool) -> dict[str, Any] | None:
    """What to record; None for nothing. Raises TryLater."""
    ids = {
        "processorOrderId": outcome.processor_order_id,
        "processorTransactionId": outcome.processor_transaction_id,
    }
    match outcome.told:
        case Told.CAPTURED | Told.AUTHORIZED:
            return {"report": outcome.told.value, "amount": outcome.amount, **ids}
        case Told.VOIDED:
            return {"report": "voided", **ids}
        case Told.DECLINED if not cancels:
            words = {"code": outcome.code, "declineCode": outcome.decline_code, "message": outcome.message}
            return {"report": "failed", **words, **ids}
        case Told.MISCONFIGURED if outcome.repeated:
            raise TryLater(ASK_AGAIN_S)
        case Told.UNKNOWN | Told.RETRYABLE:
            raise TryLater(max(ASK_AGAIN_S, outcome.retry_after_s or 0))
        case _ if cancels and outcome.told is not Told.OBSOLETE:
            code = outcome.code or "payment_not_cancelable"
            return {"report": "cancel_failed", "code": code, "message": outcome.message or "It can't be cancelled."}
        case _:
            return None
