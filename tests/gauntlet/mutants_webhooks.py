"""Planted bugs of webhooks, in both directions; mutants.py runs them."""

from __future__ import annotations

from typing import Final

from tests.gauntlet.planted import Mutant

_DELIVERIES: Final = "payloops/workflows_bridge/deliveries"
_PROCESSING: Final = "payloops/workflows_bridge/inbox/processing.py"
_RECEIVE: Final = "payloops/http/webhooks/receive.py"
_INGESTION: Final = "tests/inbox/test_ingestion.py"
_ROWS: Final = "tests/faults/test_rows.py"

WEBHOOK_MUTANTS: Final = (
    Mutant(
        "a processor's signature is not checked",
        _RECEIVE,
        "if not _holds(services, processor, signature, request.body, secrets) or merchant_id is None:",
        "if merchant_id is None:",
        (f"{_INGESTION}::test_what_does_not_hold_is_refused_without_a_trace",),
    ),
    Mutant(
        "the same, seen from outside",
        _RECEIVE,
        "if not _holds(services, processor, signature, request.body, secrets) or merchant_id is None:",
        "if merchant_id is None:",
        (f"{_ROWS}::test_row[W1]",),
    ),
    Mutant(
        "an old signature holds for ever",
        "payloops/crypto/processor_signatures.py",
        "return matches and timely",
        "return matches and bool(seconds)",
        ("tests/inbox/test_signatures.py",),
    ),
    Mutant(
        "an event moves another merchant's order",
        _PROCESSING,
        "return None if isinstance(state, Absent) or state.facts.merchant_id != case.merchant_id else state",
        "return None if isinstance(state, Absent) else state",
        (f"{_ROWS}::test_row[W2]",),
    ),
    Mutant(
        "a processor's event is taken in as often as it comes",
        _RECEIVE,
        "stream_id = processor_event_id(merchant_id, processor, their_id)",
        "stream_id = new_id()",
        (f"{_INGESTION}::test_repeats_at_the_same_moment_are_one",),
    ),
    Mutant(
        "a Razorpay body under another id is another event",
        _RECEIVE,
        'natural_id}" if processor == "razorpay" else None,',
        'natural_id}" if processor == "nobody" else None,',
        (f"{_ROWS}::test_row[W4]",),
    ),
    Mutant(
        "whatever amount was paid is the order's",
        "payloops/commands/order_money_results.py",
        "if not 0 < amount <= facts.amount or (exactly and amount != facts.amount):",
        "if False:",
        ("tests/unit/domain/test_order_reports.py",),
    ),
    Mutant(
        "whatever currency it is in",
        "payloops/workflows_bridge/inbox/reports.py",
        "if currency != state.facts.currency:",
        "if False:",
        ("tests/inbox/test_processing.py::test_another_currency_is_quarantined_whatever_is_told",),
    ),
    Mutant(
        "an event that comes too early is given up",
        _PROCESSING,
        "            await self._wait(case, str(early))",
        '            await self._judge(case, "ignored", str(early))',
        (f"{_ROWS}::test_row[W3]",),
    ),
    Mutant(
        "an attempt that is recorded twice counts twice",
        "payloops/commands/webhook_delivery.py",
        "    if command.attempt <= attempts:\n        return ()\n    if command.attempt != attempts + 1:",
        "    if command.attempt > attempts + 1:",
        ("tests/unit/domain/test_webhook_delivery_rules.py",),
    ),
    Mutant(
        "a dead endpoint is tried by all its deliveries",
        f"{_DELIVERIES}/deliverer.py",
        "        if receiver.circuit_broken:",
        "        if False:",
        ("tests/deliveries/test_health.py::test_while_the_circuit_is_open_nothing_is_sent_and_no_attempt_counted",),
    ),
    Mutant(
        "an endpoint that is gone is tried on",
        f"{_DELIVERIES}/deliverer.py",
        "if not (judgement.gone or failing):",
        "if not failing:",
        (f"{_ROWS}::test_row[O3]",),
    ),
    Mutant(
        "a reply is unpacked",
        f"{_DELIVERIES}/sender.py",
        "auto_decompress=False",
        "auto_decompress=True",
        ("tests/deliveries/test_sender.py::test_a_gzip_bomb_is_not_unpacked",),
    ),
    Mutant(
        "the turn is not passed on",
        "payloops/migrations/0006_webhooks.sql",
        "    IF cardinality(v_ended) = 0 THEN",
        "    IF true THEN",
        ("tests/deliveries/test_delivering.py::test_an_orders_events_come_in_order_even_under_failure",),
    ),
    Mutant(
        "a workflow of an earlier round goes on",
        f"{_DELIVERIES}/deliverer.py",
        "if has_ended(state) or facts.workflow_id != caller.workflow_id:",
        "if has_ended(state):",
        ("tests/deliveries/test_retries.py::test_a_workflow_of_an_earlier_round_does_nothing",),
    ),
    Mutant(
        "a public event is lost on its way to the outbox",
        "payloops/migrations/0005_public_events.sql",
        "    FROM told t\n    WHERE EXISTS (",
        "    FROM told t\n    WHERE t.sequence <> 2 AND EXISTS (",
        (f"{_ROWS}::test_row[K11]",),
    ),
    Mutant(
        "what is sent is made anew for each attempt",
        f"{_DELIVERIES}/deliverer.py",
        "        return event.body",
        '        return event.body.replace(b"{", b\'{"sentAt":"\' + str(new_id()).encode() + b\'",\', 1)',
        (f"{_ROWS}::test_row[K11]",),
    ),
    Mutant(
        "notes of a customer are shown",
        "payloops/http/webhooks/masking.py",
        "if name in OUR_LABELS else MASK",
        "if True else MASK",
        ("tests/inbox/test_masking.py",),
    ),
    Mutant(
        "a removal that is replayed takes what came after it",
        "payloops/http/dashboard/processors.py",
        "if done.response is not None and not done.response.replayed:",
        "if done.response is not None:",
        ("tests/inbox/test_setup.py::test_a_replayed_removal_leaves_alone_what_came_after_it",),
    ),
    Mutant(
        "a new key of the account makes another endpoint",
        "payloops/http/dashboard/processor_webhooks.py",
        "_register(services, url, credentials, _held(before, earlier), same_account=same_account)",
        "_register(services, url, credentials, None, same_account=same_account)",
        ("tests/inbox/test_setup.py::test_a_new_key_of_the_same_account_keeps_the_endpoint",),
    ),
    Mutant(
        "every order is looked at at every start",
        "payloops/projections/public_events_backfill.py",
        "before, after, count = _first_id_at(made_at[0][0]), UUID(int=0), 0",
        "before, after, count = UUID(int=2**128 - 1), UUID(int=0), 0",
        ("tests/integration/projections/test_public_events.py",),
    ),
    Mutant(
        "an old secret signs for ever",
        f"{_DELIVERIES}/receivers.sql",
        "    CASE WHEN e.previous_expires_at > now() THEN e.previous_secret END,\n    coalesce",
        "    e.previous_secret,\n    coalesce",
        ("tests/deliveries/test_delivering.py::test_after_the_overlap_the_new_secret_signs_alone",),
    ),
)
