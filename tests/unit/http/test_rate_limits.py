"""The limit of an API key in one process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.errors import RateLimited
from payloops.http.errors import error_headers
from payloops.http.rate_limits import WINDOW_S, KeyBucket


def taken(bucket: KeyBucket, now_s: float, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            bucket.take(now_s)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_burst_then_as_many_as_time_brings() -> None:
    bucket = KeyBucket(60, 100.0)
    assert taken(bucket, 100.0, 100) == 60
    assert taken(bucket, 100.9, 10) == 0
    assert taken(bucket, 103.0, 10) == 3
    assert taken(bucket, 1000.0, 100) == 60


def test_a_refusal_says_when_to_come_again() -> None:
    bucket = KeyBucket(6, 0.0)
    assert taken(bucket, 0.0, 6) == 6
    with pytest.raises(RateLimited) as refused:
        bucket.take(1.0)
    assert refused.value.retry_after_s == 9
    assert error_headers(refused.value, "") == (
        b'RateLimit-Policy: "api-key";q=6;w=60\r\nRateLimit: "api-key";r=0;t=9\r\nRetry-After: 9\r\n'
    )
    bucket.take(10.0)


@given(st.integers(1, 50), st.lists(st.floats(-1, 5), max_size=60))
def test_never_more_than_a_burst_and_what_time_brought(limit: int, steps: list[float]) -> None:
    bucket, now_s, latest_s, count = KeyBucket(limit, 0.0), 0.0, 0.0, 0
    for step in steps:
        # Requests may be counted in another order than they came in.
        now_s += step
        latest_s = max(latest_s, now_s)
        count += taken(bucket, now_s, 3)
        assert count <= limit + latest_s * limit / WINDOW_S + 1e-6
