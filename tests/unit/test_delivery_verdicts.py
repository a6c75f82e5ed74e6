"""What an answer means, and when the next attempt is made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.workflows_bridge.deliveries.bounds import Bounds
from payloops.workflows_bridge.deliveries.verdicts import Judgement, judge
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, DeliverySchedule

SCHEDULE = CONTRACT_SCHEDULE.delivery
STEPS_S = (60, 5 * 60, 30 * 60, 2 * 3600, 24 * 3600)
"""The wire contract: at once, 1 min, 5 min, 30 min, 2 h, 24 h."""


def judged(
    status: int | None, *, earlier: int = 0, retry_after_s: float | None = None, chance: float = 0.5
) -> Judgement:
    return judge(status, retry_after_s, earlier=earlier, schedule=SCHEDULE, chance=chance)


@pytest.mark.parametrize("status", (200, 201, 202, 204, 226, 299))
def test_2xx_is_success(status: int) -> None:
    assert judged(status) == Judgement("delivered")


@pytest.mark.parametrize("status", (None, 100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 429, 500, 503, 599))
def test_all_else_is_failure(status: int | None) -> None:
    assert judged(status) == Judgement("retry", 60)


def test_410_is_the_end_of_it() -> None:
    assert judged(410) == judged(410, earlier=5) == Judgement("failed", gone=True)


@pytest.mark.parametrize(("earlier", "step_s"), tuple(enumerate(STEPS_S)))
def test_the_steps_and_their_jitter(earlier: int, step_s: float) -> None:
    assert judged(500, earlier=earlier).delay_s == step_s
    assert judged(500, earlier=earlier, chance=0.0).delay_s == pytest.approx(step_s * 0.8)
    assert judged(500, earlier=earlier, chance=1.0).delay_s == pytest.approx(step_s * 1.2)


@pytest.mark.parametrize("earlier", (5, 6, 100))
def test_after_the_last_attempt(earlier: int) -> None:
    assert judged(500, earlier=earlier) == Judgement("failed")
    assert judged(429, earlier=earlier, retry_after_s=1) == Judgement("failed")
    assert judged(200, earlier=earlier) == Judgement("delivered")


@pytest.mark.parametrize(
    ("status", "earlier", "told_s", "expected_s"),
    (
        (429, 0, 100, 100),
        (503, 0, 100, 100),
        (429, 0, 120, 120),
        (429, 0, 3600, 120),
        (429, 0, 3, 3),
        (429, 1, 500, 500),
        (429, 1, 86400, 600),
        (429, 1, 3, 240),
        (429, 4, 10 * 86400, 2 * 86400),
        (500, 0, 100, 48),
        (None, 0, 100, 48),
        (404, 0, 1, 48),
    ),
)
def test_retry_after_up_to_twice_the_step(status: int | None, earlier: int, told_s: float, expected_s: float) -> None:
    """At the least chance. Only 429 and 503 ask for time."""
    delay_s = judged(status, earlier=earlier, retry_after_s=told_s, chance=0.0).delay_s
    assert delay_s == pytest.approx(expected_s)


@given(
    st.one_of(st.none(), st.integers(100, 599)),
    st.integers(0, 10),
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.floats(0, 1),
)
def test_never_longer_than_twice_the_step_and_never_endless(
    status: int | None, earlier: int, told_s: float | None, chance: float
) -> None:
    judgement = judged(status, earlier=earlier, retry_after_s=told_s, chance=chance)
    assert (judgement.verdict == "retry") == (judgement.delay_s is not None)
    if judgement.delay_s is not None:
        assert 0 <= judgement.delay_s <= 2 * STEPS_S[earlier]
        assert earlier < len(STEPS_S)


def test_a_receiver_that_always_says_soon_still_gets_a_day() -> None:
    total_s = sum(judged(429, earlier=n, retry_after_s=0).delay_s or 0 for n in range(5))
    assert total_s > 20 * 3600


def test_other_schedules() -> None:
    short = DeliverySchedule(steps_s=(1.0,), jitter=0)
    assert judge(500, None, earlier=0, schedule=short, chance=0.9) == Judgement("retry", 1.0)
    assert judge(500, None, earlier=1, schedule=short, chance=0.9) == Judgement("failed")


def test_bounds() -> None:
    bounds = Bounds(per_endpoint_max=2, per_host_max=3, total_max=4)
    with bounds.room("a", "h") as first, bounds.room("a", "h") as second, bounds.room("a", "h") as third:
        assert (first, second, third) == (True, True, False)
        with bounds.room("b", "h") as fourth, bounds.room("c", "h") as fifth, bounds.room("c", "i") as sixth:
            assert (fourth, fifth, sixth) == (True, False, True)
            with bounds.room("d", "j") as seventh:
                assert not seventh
    with bounds.room("a", "h") as again:
        assert again
    assert bounds == Bounds(per_endpoint_max=2, per_host_max=3, total_max=4)
