"""What a delivery's events cause, and how its workflow is found again by name."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest

from payloops.commands import webhook_delivery as c
from payloops.commands.aggregates import webhook_deliveries
from payloops.events.base import Event
from payloops.events.webhook_delivery import delivery_workflow_id
from payloops.events.webhook_delivery_state import WebhookDeliveryState
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow, WebhookDeliveryInput
from payloops.workflows_bridge.deliveries.outbox import DELIVERY_OUTBOX, delivery_of, intents, lane
from tests.spec import MERCHANT_ID, NOW, NOW_META, ORDER_ID
from tests.webhook_specs import DELIVERY_ID, ENDPOINT_ID, EVENT_ID, URL

DELIVERIES = webhook_deliveries(DELIVERY_OUTBOX)
HEAD = (DELIVERY_ID, MERCHANT_ID, NOW, NOW_META)


def run(
    *commands: c.WebhookDeliveryRequest,
) -> tuple[WebhookDeliveryState, list[tuple[Event, list[dict[str, object]]]]]:
    """The state, and what each event causes."""
    state: WebhookDeliveryState = DELIVERIES.initial
    caused = []
    for command in commands:
        for event in DELIVERIES.decide(command, state):
            after = DELIVERIES.evolve(state, event)
            caused.append((event, intents(state, event, after)))  # type: ignore[arg-type]
            state = after
    return state, caused


def scheduled(order_id: UUID | None = ORDER_ID) -> c.ScheduleDelivery:
    return c.ScheduleDelivery(
        *HEAD, ENDPOINT_ID, URL, order_id, EVENT_ID, "payment.captured", 2, delivery_workflow_id(DELIVERY_ID)
    )


def attempted(number: int, verdict: str = "failed") -> c.RecordAttempt:
    return c.RecordAttempt(
        *HEAD,
        attempt=number,
        started_at=NOW,
        duration_ms=1,
        status_code=500,
        error="the receiver answered 500",
        response_body=None,
        verdict=verdict,  # type: ignore[arg-type]
        next_attempt_at=NOW if verdict == "retry" else None,
    )


def test_a_delivery_starts_a_workflow_that_only_names_the_event() -> None:
    _, [(event, [row])] = run(scheduled())
    assert (row["id"], row["key"], row["kind"]) == (uuid5(DELIVERY_ID, "1-start"), f"webhook-{DELIVERY_ID}", "start")
    assert row["lane"] == lane(MERCHANT_ID, ENDPOINT_ID) == f"deliver:{MERCHANT_ID}:{ENDPOINT_ID}"
    assert row["correlation_id"] == event.meta.correlation_id
    start = StartWorkflow.from_json(row["payload"])  # type: ignore[arg-type]
    assert (start.type, start.task_queue, start.workflow_id) == (
        "WebhookDeliveryWorkflow",
        "backend-operations",
        f"webhook-{DELIVERY_ID}",
    )
    assert (start.merchant_id, start.order_id) == (str(MERCHANT_ID), str(ORDER_ID))
    told = WebhookDeliveryInput.from_json(start.input)
    assert (told.delivery_id, told.webhook_event_id, told.webhook_url) == (str(DELIVERY_ID), str(EVENT_ID), URL)
    assert told.payload == {
        "id": str(EVENT_ID),
        "eventType": "payment.captured",
        "type": "payment.captured",
        "sequence": 2,
        "orderId": str(ORDER_ID),
    }


def test_an_event_without_an_order() -> None:
    _, [(_, [row])] = run(scheduled(None))
    assert StartWorkflow.from_json(row["payload"]).order_id is None  # type: ignore[arg-type]


def test_a_retry_of_what_is_under_way_is_a_signal() -> None:
    _, caused = run(scheduled(), attempted(1, "retry"), c.RetryDelivery(*HEAD))
    assert [len(rows) for _, rows in caused] == [1, 0, 1]
    row = caused[-1][1][0]
    assert (row["key"], row["kind"]) == (f"webhook-{DELIVERY_ID}", "signal")
    signal = SignalWorkflow.from_json(row["payload"])  # type: ignore[arg-type]
    assert (signal.signal, signal.workflow_id, signal.attempt) == ("retryNow", f"webhook-{DELIVERY_ID}", 1)


def test_a_retry_of_what_has_ended_starts_another_workflow() -> None:
    _, caused = run(scheduled(), attempted(1), c.RetryDelivery(*HEAD))
    row = caused[-1][1][0]
    assert (row["key"], row["kind"]) == (f"webhook-{DELIVERY_ID}-2", "start")
    assert row["id"] != caused[0][1][0]["id"]


def test_what_is_recorded_causes_nothing() -> None:
    _, caused = run(scheduled(), attempted(1, "retry"), c.GiveUpDelivery(*HEAD, reason="gone"))
    assert [len(rows) for _, rows in caused] == [1, 0, 0]
    assert not any(DELIVERY_OUTBOX.concerns(type(event)) for event, rows in caused if not rows)


@pytest.mark.parametrize(
    ("name", "expected"),
    (
        (f"webhook-{DELIVERY_ID}", DELIVERY_ID),
        (f"webhook-{DELIVERY_ID}-2", DELIVERY_ID),
        (f"webhook-{DELIVERY_ID}-17", DELIVERY_ID),
        (str(DELIVERY_ID), None),
        ("webhook-theirs", None),
        ("webhook-", None),
        ("payment-x", None),
    ),
)
def test_the_delivery_of_a_workflow(name: str, expected: UUID | None) -> None:
    assert delivery_of(name) == expected
