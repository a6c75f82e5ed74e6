"""The delivery schedules of endpoints with bad manners, and the reading of forms."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.sandbox.manners import Manners
from payloops.sandbox.parameters import MalformedBodyError, parse_form, parse_json

EVENTS = [f"evt_{n}" for n in range(5)]


@given(st.integers(0, 5), st.integers(0, 1000), st.booleans(), st.integers())
def test_every_event_leaves_once_and_each_copy_too(extra: int, delay_ms: int, shuffle: bool, seed: int) -> None:
    manners = Manners(duplicate=extra, delay_ms=delay_ms, shuffle=shuffle)
    schedule = manners.schedule(EVENTS, random.Random(seed))
    assert Counter(event for event, _ in schedule) == Counter(EVENTS * (1 + extra))
    assert all(due_ms >= delay_ms for _, due_ms in schedule)
    if shuffle:
        left = [event for event, _ in sorted(schedule, key=lambda item: item[1])]
        assert left != [event for event in EVENTS for _ in range(1 + extra)]


def test_the_same_seed_gives_the_same_faults() -> None:
    manners = Manners(duplicate=0.5, shuffle=True, drop=0.3)
    assert manners.schedule(EVENTS, random.Random(7)) == manners.schedule(EVENTS, random.Random(7))


def test_shares_are_shares() -> None:
    chance = random.Random(1)
    many = [f"evt_{n}" for n in range(2000)]
    assert 500 < len(Manners(drop=0.7).schedule(many, chance)) < 700
    assert 2900 < len(Manners(duplicate=0.5).schedule(many, chance)) < 3100
    assert Manners(drop=1).schedule(many, chance) == []


def test_manners_are_kept_as_they_are() -> None:
    manners = Manners(duplicate=2, delay_ms=5, shuffle=True, drop=0.5)
    assert Manners.from_document(manners.as_document()) == manners


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a[b]=1&a[c][d]=2", {"a": {"b": "1", "c": {"d": "2"}}}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[1]=x", {"a": {"1": "x"}}),
        ("a[0][b]=x&a[1][b]=y", {"a": [{"b": "x"}, {"b": "y"}]}),
        ("metadata%5Border_id%5D=o%201", {"metadata": {"order_id": "o 1"}}),
        ("a=1&a=2", {"a": "2"}),
    ],
)
def test_forms(text: str, expected: Any) -> None:
    assert parse_form(text) == expected


@given(st.text())
def test_any_text_is_a_form_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedBodyError):
        assert isinstance(parse_form(text), dict)


@given(st.binary())
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with contextlib.suppress(MalformedBodyError):
        assert isinstance(parse_json(body), dict)
