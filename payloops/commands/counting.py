"""What the metrics learn from committed events. Whoever records an outcome counts it: no other code need remember to.

An event is counted once, by the process that appended it. What all processes did, since the beginning, is in the read
tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from payloops.events import order as o
from payloops.events.order_state import Existing, attempt_numbered
from payloops.events.processor_event import ProcessorEventJudged
from payloops.events.processor_event_state import Judged
from payloops.events.webhook_delivery import DELIVERED, DeliveryAttempted
from payloops.events.webhook_delivery_state import Existing as ExistingDelivery
from payloops.telemetry.metrics import METRICS

Counted = Callable[[Any, Any], None]
"""Given the event and its aggregate's state after the command."""


def _outcome(status: str) -> Counted:
    def count(event: o.PaymentCaptured | o.PaymentAuthorized | o.PaymentFailed, state: Existing) -> None:
        attempt = attempt_numbered(state, event.attempt)
        if attempt is None:
            return
        METRICS.payment_attempts.add((attempt.processor, status, state.facts.currency))
        if attempt.started_at is not None:
            duration_s = (event.timestamp - attempt.started_at).total_seconds()
            METRICS.payment_latency_s.observe(max(0.0, duration_s), (attempt.processor, status))
        if isinstance(event, o.PaymentCaptured):
            METRICS.payment_amount.add((attempt.processor, state.facts.currency), event.amount)

    return count


def _delivery_attempt(event: DeliveryAttempted, state: ExistingDelivery) -> None:
    facts = state.facts
    METRICS.webhook_deliveries.add((facts.event_type, event.verdict))
    if event.verdict == DELIVERED:
        arrived_at = event.started_at + timedelta(milliseconds=event.duration_ms)
        METRICS.webhook_latency_s.observe(
            max(0.0, (arrived_at - facts.created_at).total_seconds()), (facts.event_type,)
        )


def _processor_event(event: ProcessorEventJudged, state: Judged) -> None:
    METRICS.processor_events.add((state.facts.processor, event.verdict))


COUNTED: Final[Mapping[type[Any], Counted]] = {
    o.PaymentCaptured: _outcome("captured"),
    o.PaymentAuthorized: _outcome("authorized"),
    o.PaymentFailed: _outcome("failed"),
    DeliveryAttempted: _delivery_attempt,
    ProcessorEventJudged: _processor_event,
}
"""By event; of others there is nothing to count."""
