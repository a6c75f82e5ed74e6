"""Whatever two processes are asked for at the same time, the tables say what the log says and the money adds up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payloops.commands import order as orders
from payloops.commands import order_results as results
from payloops.commands.handlers import Guard
from payloops.commands.idempotency import Response
from payloops.db import Database
from payloops.errors import PayloopsError
from payloops.values import new_id
from tests.integration.handlers.world import STRIPE, Process, key, respond, said_by
from tests.replay import assert_replay_equals_tables

ORDERS = 2
AMOUNT = 1000
REFUND_IDS = [UUID(int=number) for number in range(1, 4)]

Make = Callable[[UUID, list[UUID]], Any]


def _pay(token: str) -> Make:
    return lambda order_id, _: orders.StartPayment(order_id, options=STRIPE, payment_method_token=token, **said_by())


def _refund(which: int, amount: int | None) -> Make:
    return lambda order_id, refunds: orders.RefundPayment(
        order_id, refund_id=refunds[which], amount=amount, **said_by()
    )


def _report(kind: Any, **fields: Any) -> Make:
    return lambda order_id, _: kind(order_id, **fields, **said_by())


def _captured(attempt: int, transaction: str, amount: int) -> Make:
    return lambda order_id, _: results.RecordCaptured(
        order_id,
        attempt=attempt,
        amount=amount,
        surplus_refund_id=new_id(),
        processor_transaction_id=transaction,
        **said_by(),
    )


def _refund_report(kind: Any, which: int, **fields: Any) -> Make:
    return lambda order_id, refunds: kind(order_id, refund_id=refunds[which], **fields, **said_by())


attempts = st.integers(1, 2)
transactions = st.sampled_from(["pi_1", "pi_2"])
whiches = st.integers(0, 2)
makes: st.SearchStrategy[Make] = st.one_of(
    st.builds(_pay, st.sampled_from(["pm_a", "pm_b"])),
    st.just(_report(orders.CancelOrder)),
    st.builds(lambda amount: _report(orders.CapturePayment, amount=amount), st.sampled_from([None, 400])),
    st.builds(_refund, whiches, st.sampled_from([None, 300, 700])),
    st.builds(_captured, attempts, transactions, st.sampled_from([AMOUNT, 600])),
    st.builds(
        lambda attempt, transaction: _report(
            results.RecordAuthorized, attempt=attempt, amount=AMOUNT, processor_transaction_id=transaction
        ),
        attempts,
        transactions,
    ),
    st.builds(
        lambda attempt: _report(results.RecordFailed, attempt=attempt, code="card_declined", message="declined"),
        attempts,
    ),
    st.builds(lambda attempt: _report(results.RecordActionRequired, attempt=attempt), attempts),
    st.builds(lambda attempt: _report(results.RecordVoided, attempt=attempt), attempts),
    st.builds(
        lambda attempt: _report(results.RecordOutcomeUnknown, attempt=attempt, operation="payment", reason="timeout"),
        attempts,
    ),
    st.builds(lambda which: _refund_report(results.RecordRefundSucceeded, which, processor_refund_id="re_1"), whiches),
    st.builds(lambda which: _refund_report(results.RecordRefundFailed, which, code="no", message="no"), whiches),
    st.builds(lambda which: _refund_report(results.RecordRefundUnknown, which, reason="timeout"), whiches),
)
requests = st.tuples(st.integers(0, ORDERS - 1), makes, st.booleans(), st.sampled_from([None, None, "one", "two"]))
"""Which order, what, on which process, under which idempotency key."""
rounds = st.lists(st.lists(requests, min_size=1, max_size=5), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=rounds, methods=st.lists(st.sampled_from(["automatic", "manual"]), min_size=ORDERS, max_size=ORDERS))
async def test_any_interleaving_leaves_tables_that_replay(
    here: Process, there: Process, database: Database, plan: list[list[tuple[Any, ...]]], methods: list[str]
) -> None:
    shop = await here.merchant()
    order_ids = [await here.order(shop, AMOUNT, capture_method=method) for method in methods]
    refunds = [[new_id() for _ in REFUND_IDS] for _ in order_ids]
    answers: dict[tuple[int, str], set[bytes]] = {}

    async def ask(request: tuple[Any, ...]) -> None:
        which, make, is_here, name = request
        command = make(order_ids[which], refunds[which])
        using = None if name is None else key(shop.merchant_id, f"{which} {name}", flight_s=None)
        try:
            done = await (here if is_here else there).do(
                order_ids[which], command, guard=_guard(command, shop), respond=respond, idempotency=using
            )
        except PayloopsError:
            return
        if name is not None:
            answers.setdefault((which, name), set()).add(_body(done.response))

    for at_once in plan:
        await asyncio.gather(*(ask(request) for request in at_once))
    assert all(len(bodies) == 1 for bodies in answers.values())
    await assert_replay_equals_tables(database)


def _body(response: Response | None) -> bytes:
    assert response is not None
    return response.body


def _guard(command: Any, shop: Guard) -> Guard:
    """Merchants ask with their key, processors without one."""
    is_merchant_s = isinstance(command, orders.StartPayment | orders.RefundPayment | orders.CancelOrder)
    return shop if is_merchant_s else Guard(shop.merchant_id)
