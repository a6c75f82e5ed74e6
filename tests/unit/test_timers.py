"""When a relay wakes for its own rows."""

from __future__ import annotations

import math
import time

from hypothesis import given
from hypothesis import strategies as st

from payloops.workflows_bridge.timers import TIMER_HORIZON_S, TIMER_SLACK_S, TIMERS_MAX, Timers


def test_the_first_of_them_counts() -> None:
    timers = Timers()
    assert timers.next_in_s() == math.inf
    assert timers.remember(30.0)
    assert not timers.remember(40.0)
    assert timers.remember(20.0)
    assert 15.0 < timers.next_in_s() <= 20.0 + TIMER_SLACK_S


def test_what_is_due_much_later_is_left_to_the_poll() -> None:
    timers = Timers()
    assert not timers.remember(TIMER_HORIZON_S)
    assert timers.next_in_s() == math.inf


def test_they_are_bounded() -> None:
    timers = Timers()
    for _ in range(TIMERS_MAX):
        timers.remember(50.0)
    assert not timers.remember(1.0)
    assert timers.next_in_s() > 10.0


@given(st.lists(st.floats(-5.0, 59.0), max_size=20))
def test_one_that_went_off_is_forgotten_and_no_other(delays_s: list[float]) -> None:
    timers = Timers()
    for delay_s in delays_s:
        timers.remember(delay_s)
    began_s = time.monotonic()
    timers.forget_gone()
    spent_s = time.monotonic() - began_s
    left = [delay_s for delay_s in delays_s if delay_s + TIMER_SLACK_S > 0]
    assert (timers.next_in_s() == math.inf) or (timers.next_in_s() <= min(left) + TIMER_SLACK_S)
    assert timers.next_in_s() > -1.0 - spent_s
