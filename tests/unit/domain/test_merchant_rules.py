"""What can be asked of a merchant's account, keys and processor configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, get_args
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from payloops.commands.merchant import (
    API_KEYS_MAX,
    ChangeProcessorFlags,
    ChangeProfile,
    ConfigureProcessor,
    CreateApiKey,
    MerchantRequest,
    RegisterMerchant,
    RemoveProcessor,
    RevokeApiKey,
    decide,
)
from payloops.errors import EmailExists, InvalidStatus, NotFound, PayloopsError
from payloops.events import merchant as e
from payloops.events.base import Event, Sealed
from payloops.events.codec import EventMapper
from payloops.events.merchant_state import INITIAL, ImpossibleHistory, MerchantState, Registered, evolve
from tests.spec import CONFIG_ID, KEY_ID, NOW, PAST, REGISTERED, command, event, given, numbered, state_after

WITH_KEY: Final = (*REGISTERED, event(e.ApiKeyCreated))
WITH_STRIPE: Final = (*REGISTERED, event(e.ProcessorConfigured))


class TestAccount:
    def test_an_account_is_opened(self) -> None:
        given().when(command(RegisterMerchant)).then(event(e.MerchantRegistered)).then_state(
            lambda merchant: merchant.name == "Shop" and merchant.version == 1 and merchant.created_at == NOW
        )

    def test_an_account_is_opened_once(self) -> None:
        given(*REGISTERED).when(command(RegisterMerchant)).then_raises(EmailExists)

    def test_what_is_not_given_stays(self) -> None:
        given(*REGISTERED).when(command(ChangeProfile, webhook_url="https://shop.example/hook")).then(
            event(e.ProfileChanged)
        )
        given(*REGISTERED, event(e.ProfileChanged)).when(command(ChangeProfile, name="Store")).then(
            event(e.ProfileChanged, name="Store")
        ).then_state(lambda merchant: merchant.updated_at == NOW and merchant.created_at == PAST)

    def test_the_webhook_address_can_be_taken_away(self) -> None:
        given(*REGISTERED, event(e.ProfileChanged)).when(command(ChangeProfile, clear_webhook_url=True)).then(
            event(e.ProfileChanged, webhook_url=None)
        )

    def test_a_profile_that_is_so_already_is_no_change(self) -> None:
        given(*REGISTERED).when(command(ChangeProfile, name="Shop")).then_nothing()
        given(*REGISTERED).when(command(ChangeProfile, clear_webhook_url=True)).then_nothing()


class TestApiKeys:
    def test_a_key_is_made(self) -> None:
        until = datetime(2027, 1, 1, tzinfo=UTC)
        asked = {"live": True, "scopes": (), "expires_at": until}
        given(*REGISTERED).when(command(CreateApiKey, **asked)).then(event(e.ApiKeyCreated, **asked)).then_state(
            lambda merchant: merchant.api_keys[KEY_ID].expires_at == until
        )

    def test_the_same_key_made_again_is_one_key(self) -> None:
        given(*WITH_KEY).when(command(CreateApiKey)).then_nothing()

    def test_keys_are_bounded_revoked_ones_too(self) -> None:
        history: list[Event] = [*REGISTERED]
        for number in range(API_KEYS_MAX // 2):
            history += [
                event(e.ApiKeyCreated, key_id=UUID(int=number)),
                event(e.ApiKeyRevoked, key_id=UUID(int=number)),
            ]
        history += [event(e.ApiKeyCreated, key_id=UUID(int=n)) for n in range(API_KEYS_MAX // 2, API_KEYS_MAX)]
        given(*history).when(command(CreateApiKey)).then_raises(InvalidStatus, match=f"{API_KEYS_MAX} API keys")

    def test_a_revoked_key_stays_known_with_its_time(self) -> None:
        given(*WITH_KEY).when(command(RevokeApiKey)).then(event(e.ApiKeyRevoked)).then_state(
            lambda merchant: merchant.api_keys[KEY_ID].revoked_at == NOW
        )

    def test_revoked_twice_is_once(self) -> None:
        given(*WITH_KEY).when(command(RevokeApiKey), command(RevokeApiKey)).then_nothing()

    def test_a_key_that_is_not_there_is_not_found(self) -> None:
        given(*REGISTERED).when(command(RevokeApiKey)).then_raises(NotFound, match="API key")


class TestProcessors:
    def test_a_processor_is_configured(self) -> None:
        given(*REGISTERED).when(command(ConfigureProcessor)).then(event(e.ProcessorConfigured)).then_state(
            lambda merchant: merchant.processors["stripe"].created_at == NOW
        )

    def test_configured_again_it_keeps_its_id_and_age_and_has_the_new_credentials(self) -> None:
        asked: dict[str, Any] = {"credentials": Sealed("newer"), "enabled": False, "priority": 7, "test_mode": False}
        given(*WITH_STRIPE).when(command(ConfigureProcessor, config_id=UUID(int=9), **asked)).then(
            event(e.ProcessorConfigured, config_id=CONFIG_ID, **asked)
        ).then_state(
            lambda merchant: (
                (merchant.processors["stripe"].created_at, merchant.processors["stripe"].updated_at) == (PAST, NOW)
            )
        )

    def test_two_processors_stand_side_by_side(self) -> None:
        given(*WITH_STRIPE).when(command(ConfigureProcessor, processor="razorpay", config_id=UUID(int=9))).then_state(
            lambda merchant: sorted(merchant.processors) == ["razorpay", "stripe"]
        )

    @pytest.mark.parametrize("change", [{"enabled": False}, {"priority": 2}, {"test_mode": False}])
    def test_flags_that_are_not_given_stay(self, change: dict[str, Any]) -> None:
        given(*WITH_STRIPE).when(command(ChangeProcessorFlags, **change)).then(
            event(e.ProcessorFlagsChanged, **change)
        ).then_state(lambda merchant: merchant.processors["stripe"].credentials == "sealed-credentials")

    def test_flags_that_are_so_already_are_no_change(self) -> None:
        given(*WITH_STRIPE).when(command(ChangeProcessorFlags, enabled=True, priority=1)).then_nothing()

    def test_a_removed_processor_is_gone_and_can_come_back_as_a_new_one(self) -> None:
        given(*WITH_STRIPE).when(command(RemoveProcessor)).then(event(e.ProcessorRemoved)).then_state(
            lambda merchant: merchant.processors == {}
        )
        given(*WITH_STRIPE).when(command(RemoveProcessor), command(ConfigureProcessor, config_id=UUID(int=9))).then(
            event(e.ProcessorConfigured, config_id=UUID(int=9))
        )


Cell = type[PayloopsError] | tuple[type[Event], ...]
STATES: Final[Mapping[str, tuple[Event, ...]]] = MappingProxyType(
    {
        "absent": (),
        "registered": REGISTERED,
        "with_key": WITH_KEY,
        "with_revoked_key": (*WITH_KEY, event(e.ApiKeyRevoked)),
        "with_processor": WITH_STRIPE,
        "with_removed_processor": (*WITH_STRIPE, event(e.ProcessorRemoved)),
    }
)


def row(others: Cell, **cells: Cell) -> Mapping[str, Cell]:
    return dict.fromkeys(STATES, others) | {"absent": NotFound} | cells


TABLE: Final[tuple[tuple[Any, Mapping[str, Cell]], ...]] = (
    (command(RegisterMerchant), row(EmailExists, absent=(e.MerchantRegistered,))),
    (command(ChangeProfile, name="Store"), row((e.ProfileChanged,))),
    (command(CreateApiKey), row((e.ApiKeyCreated,), with_key=(), with_revoked_key=())),
    (command(RevokeApiKey), row(NotFound, with_key=(e.ApiKeyRevoked,), with_revoked_key=())),
    (command(ConfigureProcessor), row((e.ProcessorConfigured,))),
    (command(ChangeProcessorFlags, priority=2), row(NotFound, with_processor=(e.ProcessorFlagsChanged,))),
    (command(RemoveProcessor), row(NotFound, with_processor=(e.ProcessorRemoved,))),
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("line", TABLE, ids=[type(what).__name__ for what, _ in TABLE])
def test_cell(line: tuple[Any, Mapping[str, Cell]], state: str) -> None:
    what, expected = line[0], line[1][state]
    outcome = given(*STATES[state]).when(what)
    if isinstance(expected, tuple):
        assert tuple(type(happened) for happened in outcome.then_state(lambda _: True).events) == expected
    else:
        outcome.then_raises(expected)


def test_the_table_has_every_command() -> None:
    assert {type(what) for what, _ in TABLE} == set(get_args(MerchantRequest))


class TestHistory:
    @pytest.mark.parametrize("first", [event(e.ApiKeyCreated), event(e.MerchantRegistered, originator_version=2)])
    def test_a_stream_begins_with_the_registration(self, first: e.MerchantEvent) -> None:
        with pytest.raises(ImpossibleHistory, match="begins a stream"):
            evolve(INITIAL, first)

    @pytest.mark.parametrize("version", [1, 3])
    def test_versions_are_consecutive(self, version: int) -> None:
        with pytest.raises(ImpossibleHistory, match="follows version 1"):
            evolve(state_after(*REGISTERED), event(e.ProfileChanged, originator_version=version))

    @pytest.mark.parametrize(
        ("history", "happened"),
        [
            (REGISTERED, event(e.MerchantRegistered)),
            (WITH_KEY, event(e.ApiKeyCreated)),
            (REGISTERED, event(e.ApiKeyRevoked)),
            (REGISTERED, event(e.ProcessorFlagsChanged)),
            (REGISTERED, event(e.ProcessorRemoved)),
        ],
    )
    def test_an_event_that_does_not_fit_is_refused(self, history: tuple[Event, ...], happened: Event) -> None:
        (last,) = numbered([happened], after=len(history))
        with pytest.raises(ImpossibleHistory, match="there already, or not at all"):
            evolve(state_after(*history), last)  # type: ignore[arg-type]


MAPPER: Final = EventMapper()
keys = st.integers(1, 3).map(lambda number: UUID(int=number))
names = st.sampled_from(["stripe", "razorpay"])
flags = st.none() | st.booleans()
requests = st.one_of(
    st.builds(
        command,
        st.just(ChangeProfile),
        name=st.sampled_from([None, "A", "B"]),
        webhook_url=st.sampled_from([None, "https://a.example"]),
        clear_webhook_url=st.booleans(),
    ),
    st.builds(command, st.just(CreateApiKey), key_id=keys, expires_at=st.sampled_from([None, NOW])),
    st.builds(command, st.just(RevokeApiKey), key_id=keys),
    st.builds(command, st.just(ConfigureProcessor), processor=names, config_id=keys, priority=st.integers(1, 3)),
    st.builds(command, st.just(ChangeProcessorFlags), processor=names, enabled=flags, test_mode=flags),
    st.builds(command, st.just(RemoveProcessor), processor=names),
)


class MerchantLife(RuleBasedStateMachine):
    """One merchant, asked whatever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[e.MerchantEvent] = []
        self.state: MerchantState = INITIAL

    @initialize()
    def register(self) -> None:
        self.ask(command(RegisterMerchant))

    @rule(asked=requests)
    def ask(self, asked: Any) -> None:
        try:
            decided = decide(asked, self.state)
        except PayloopsError:
            return
        for happened in decided:
            assert MAPPER.to_event(MAPPER.to_stored_event(happened)) == happened
            assert happened.originator_version == len(self.history) + 1
            before, self.state = self.state, evolve(self.state, happened)
            self.history.append(happened)
            if isinstance(before, Registered) and isinstance(self.state, Registered):
                self.require_keys_stay_revoked(before, self.state)

    @staticmethod
    def require_keys_stay_revoked(before: Registered, after: Registered) -> None:
        for key_id, key in before.api_keys.items():
            assert key_id in after.api_keys
            assert key.revoked_at is None or after.api_keys[key_id] == key
            assert dataclasses.replace(after.api_keys[key_id], revoked_at=None) == dataclasses.replace(
                key, revoked_at=None
            )

    def teardown(self) -> None:
        """A replay gives the same state."""
        replayed: MerchantState = INITIAL
        for happened in self.history:
            replayed = evolve(replayed, happened)
        assert replayed == self.state


TestMerchantLife = MerchantLife.TestCase
TestMerchantLife.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
