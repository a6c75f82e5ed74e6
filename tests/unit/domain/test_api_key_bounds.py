"""How many API keys an account may have, and how many it may make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from payloops.commands.merchant import (
    API_KEYS_MADE_MAX,
    API_KEYS_MADE_WITHIN,
    API_KEYS_MAX,
    CreateApiKey,
    RollApiKey,
)
from payloops.errors import InvalidStatus
from payloops.events import merchant as e
from payloops.events.base import Event
from payloops.events.merchant_state import ENDED_KEYS_KEPT, MerchantState, Registered
from tests.spec import NEW_KEY_ID, NOW, REGISTERED, command, decide, event, evolve, given, numbered, state_after

LONG_AGO: Final = NOW - timedelta(days=10_000)
A_SECOND: Final = timedelta(seconds=1)


def made(count: int, at: datetime, **fields: Any) -> tuple[Event, ...]:
    return tuple(event(e.ApiKeyCreated, key_id=UUID(int=n), timestamp=at, **fields) for n in range(count))


def made_and_revoked(numbers: Iterable[int], at: datetime) -> Iterator[Event]:
    for number in numbers:
        yield event(e.ApiKeyCreated, key_id=UUID(int=number), timestamp=at)
        yield event(e.ApiKeyRevoked, key_id=UUID(int=number), timestamp=at)


FULL: Final = (*REGISTERED, *made(API_KEYS_MAX, LONG_AGO))


def test_keys_that_hold_are_bounded() -> None:
    given(*FULL).when(command(CreateApiKey)).then_raises(InvalidStatus, match=f"has {API_KEYS_MAX} API keys")
    given(*FULL[:-1]).when(command(CreateApiKey)).then(event(e.ApiKeyCreated))


def test_a_key_that_ended_leaves_its_place() -> None:
    revoked = event(e.ApiKeyRevoked, key_id=UUID(int=5))
    given(*FULL, revoked).when(command(CreateApiKey)).then(event(e.ApiKeyCreated))
    expire_later = (*REGISTERED, *made(API_KEYS_MAX, LONG_AGO, expires_at=NOW + A_SECOND))
    given(*expire_later).when(command(CreateApiKey)).then_raises(InvalidStatus, match="revoke some")
    expired = (*REGISTERED, *made(API_KEYS_MAX, LONG_AGO, expires_at=NOW))
    given(*expired).when(command(CreateApiKey)).then(event(e.ApiKeyCreated))


def test_a_full_account_rolls_at_once_but_not_with_an_overlap() -> None:
    roll = {"key_id": UUID(int=1), "new_key_id": NEW_KEY_ID}
    given(*FULL).when(command(RollApiKey, **roll, overlap_s=90)).then_raises(InvalidStatus, match="which is the most")
    state = state_after(*FULL)
    for found in decide(command(RollApiKey, **roll), state):
        state = evolve(state, found)
    assert sum(key.holds(NOW) for key in state.api_keys.values()) == API_KEYS_MAX


def test_who_rolls_a_key_for_years_is_never_full_and_does_not_grow() -> None:
    state: MerchantState = state_after(*REGISTERED)
    weeks, at = ENDED_KEYS_KEPT + 200, LONG_AGO
    for week in range(weeks):
        at += timedelta(weeks=1)
        if week:
            asked: object = command(RollApiKey, key_id=UUID(int=week - 1), new_key_id=UUID(int=week), now=at)
        else:
            asked = command(CreateApiKey, key_id=UUID(int=0), now=at)
        for found in decide(asked, state):
            state = evolve(state, found)
    assert isinstance(state, Registered)
    assert len(state.api_keys) == ENDED_KEYS_KEPT + 1
    assert [key.key_id for key in state.api_keys.values() if key.holds(at)] == [UUID(int=weeks - 1)]


def test_keys_made_in_a_month_are_bounded_whatever_became_of_them() -> None:
    month_ago = NOW - API_KEYS_MADE_WITHIN
    # Those of before don't count, and some of them are forgotten; none of the month may be missed for that.
    history = [
        *made_and_revoked(range(1, 301), month_ago),
        *made_and_revoked(range(301, 300 + API_KEYS_MADE_MAX), month_ago + A_SECOND),
    ]
    state: MerchantState = state_after(*REGISTERED)
    for found in numbered(history, after=1):
        state = evolve(state, found)
    (last,) = decide(command(CreateApiKey, key_id=UUID(int=9000)), state)
    state = evolve(state, last)
    for asked in (
        command(CreateApiKey, key_id=UUID(int=9001)),
        command(RollApiKey, key_id=UUID(int=9000), new_key_id=UUID(int=9001)),
    ):
        with pytest.raises(InvalidStatus, match="in 30 days"):
            decide(asked, state)
    assert decide(command(CreateApiKey, key_id=UUID(int=9001), now=NOW + API_KEYS_MADE_WITHIN), state)


def test_a_key_that_was_forgotten_is_a_key_that_never_was() -> None:
    state: MerchantState = state_after(*REGISTERED)
    for found in numbered(list(made_and_revoked(range(ENDED_KEYS_KEPT + 5), LONG_AGO)), after=1):
        state = evolve(state, found)
    assert isinstance(state, Registered)
    assert sorted(state.api_keys) == [UUID(int=n) for n in range(5, ENDED_KEYS_KEPT + 5)]
