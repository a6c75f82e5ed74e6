"""Reports of one payment in every order, each once to three times: one final state, whoever began the payment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from types import MappingProxyType
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payloops.commands import order_reports as reports
from payloops.errors import InvalidStatus
from payloops.events.base import Event
from payloops.projections import orders
from tests.spec import MANUAL, PENDING, PROCESSING, REQUIRES_ACTION, command, decide, evolve, state_after

_NAMED: Final = {"processor": "stripe"}
_RAZORPAY: Final = {
    "processor": "razorpay",
    "processor_order_id": "order_1",
    "processor_transaction_id": "pay_1",
}

TAKEN: Final = (
    command(reports.RecordProcessing, processor_order_id="pi_1", processor_transaction_id="pi_1"),
    command(reports.RecordActionRequired),
    command(reports.RecordAuthorized, **_NAMED),
    command(reports.RecordCaptured, **_NAMED),
    command(reports.RecordFailed, **_NAMED),
)
RELEASED: Final = (
    command(reports.RecordProcessing, processor_order_id="pi_1", processor_transaction_id="pi_1"),
    command(reports.RecordActionRequired),
    command(reports.RecordAuthorized, **_NAMED),
    command(reports.RecordFailed, **_NAMED),
    command(reports.RecordVoided, **_NAMED),
)
TAKEN_AND_RELEASED: Final = (
    command(reports.RecordAuthorized, **_NAMED),
    command(reports.RecordCaptured, **_NAMED),
    command(reports.RecordVoided, **_NAMED),
    command(reports.RecordFailed, **_NAMED),
    command(reports.RecordFailed, ended=True, **_NAMED),
)
PAID_AT_RAZORPAY: Final = (
    command(
        reports.RecordFailed,
        processor="razorpay",
        processor_order_id="order_1",
        processor_transaction_id="pay_0",
    ),
    command(reports.RecordActionRequired, processor_order_id="order_1", processor_transaction_id=None),
    command(reports.RecordAuthorized, **_RAZORPAY),
    command(reports.RecordCaptured, **_RAZORPAY),
    # order.paid tells the same payment again, after or before payment.captured.
    command(reports.RecordCaptured, **_RAZORPAY, currency="USD"),
)
"""The customer's first try in Razorpay's checkout failed, the second paid: both are one attempt of ours."""

FIVES: Final[Mapping[str, tuple[tuple[Any, ...], str]]] = MappingProxyType(
    {
        "taken": (TAKEN, "captured"),
        "released": (RELEASED, "cancelled"),
        "taken_and_released": (TAKEN_AND_RELEASED, "captured"),
        "paid_at_razorpay": (PAID_AT_RAZORPAY, "captured"),
    }
)
BEGINNINGS: Final[Mapping[str, tuple[Event, ...]]] = MappingProxyType(
    {
        "before_the_apis_own_answer": PROCESSING,
        "after_it": REQUIRES_ACTION,
        "not_begun_here": PENDING,
        "not_begun_here_manual": MANUAL,
    }
)


def heard(history: Sequence[Event], told: Iterable[Any]) -> Any:
    """The state after the reports; one that must wait comes again at the end, as the inbox does it."""
    state = state_after(*history)
    waiting = list(told)
    for _ in range(2):
        queue, waiting = waiting, []
        for report in queue:
            try:
                events = decide(report, state)
            except InvalidStatus:
                waiting.append(report)
                continue
            for happened in events:
                state = evolve(state, happened)
    assert waiting == []
    return state


def require_final(state: Any, expected: str, five: tuple[Any, ...]) -> None:
    row = orders.row(state)
    taken = expected == "captured"
    assert (row["status"], row["amount_captured"]) == (expected, state.facts.amount if taken else 0)
    if taken:
        assert row["processor_transaction_id"] == five[-1].processor_transaction_id
    else:
        assert state.ended_transaction_id == five[-1].processor_transaction_id
    assert state.facts.surplus == ()
    assert state.facts.other_attempts == ()
    assert row["next_action"] is None
    assert row["failure"] is None


CASES: Final = [
    (name, beginning)
    for name in FIVES
    for beginning in BEGINNINGS
    # A payment of ours at the one processor is not told of by the other.
    if name != "paid_at_razorpay" or beginning.startswith("not_begun_here")
]


@pytest.mark.parametrize(("name", "beginning"), CASES)
@pytest.mark.parametrize("times", [1, 3])
def test_every_order_ends_the_same(name: str, beginning: str, times: int) -> None:
    five, expected = FIVES[name]
    for order in permutations(five):
        # Each at once again, and all of them again in the same order.
        require_final(heard(BEGINNINGS[beginning], [one for one in order for _ in range(times)]), expected, five)
        require_final(heard(BEGINNINGS[beginning], order * times), expected, five)


@settings(deadline=None, max_examples=300)
@given(case=st.sampled_from(CASES), data=st.data())
def test_any_number_of_each_in_any_order_ends_the_same(case: tuple[str, str], data: st.DataObject) -> None:
    five, expected = FIVES[case[0]]
    several = [one for one in five for _ in range(data.draw(st.integers(1, 3)))]
    told = data.draw(st.permutations(several))
    require_final(heard(BEGINNINGS[case[1]], told), expected, five)
