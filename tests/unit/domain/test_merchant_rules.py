"""What can be asked of a merchant's account, keys and processor configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, get_args
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from payloops.commands.merchant import (
    ChangePassword,
    ChangeProcessorFlags,
    ChangeProfile,
    ConfigureProcessor,
    CreateApiKey,
    MerchantRequest,
    RegisterMerchant,
    RemoveProcessor,
    RevokeApiKey,
    RevokeTokens,
    RollApiKey,
    decide,
)
from payloops.errors import EmailExists, InvalidStatus, InvalidToken, NotFound, PayloopsError, VersionConflict
from payloops.events import merchant as e
from payloops.events.base import Event, Sealed
from payloops.events.codec import EventMapper
from payloops.events.merchant_state import (
    INITIAL,
    ImpossibleHistory,
    MerchantState,
    Registered,
    RetiredCredentials,
    evolve,
)
from tests.spec import (
    CONFIG_ID,
    KEY_ID,
    NEW_KEY_ID,
    NOW,
    PAST,
    REGISTERED,
    command,
    event,
    given,
    numbered,
    state_after,
)

WITH_KEY: Final = (*REGISTERED, event(e.ApiKeyCreated))
SUCCESSOR: Final = {
    "key_id": NEW_KEY_ID,
    "public_id": "mnopqrstuvwx",
    "prefix": "sk_test_mnop",
    "secret_hash": Sealed("sealed-new-hash"),
}
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

    def test_the_profiles_version_is_that_of_its_last_change(self) -> None:
        history = (*REGISTERED, event(e.ApiKeyCreated), event(e.ProfileChanged), event(e.ApiKeyRevoked))
        assert state_after(*history).profile_version == 3
        given(*history).when(command(ChangeProfile, name="Store", expected_version=3)).then(
            event(e.ProfileChanged, name="Store")
        ).then_state(lambda merchant: merchant.profile_version == 5)
        for other in (-1, 1, 4):
            given(*history).when(command(ChangeProfile, name="Store", expected_version=other)).then_raises(
                VersionConflict, match="at version 3"
            )


class TestTokens:
    def test_another_password_revokes_what_was_issued_before(self) -> None:
        given(*REGISTERED).when(command(ChangePassword)).then(event(e.PasswordChanged)).then_state(
            lambda merchant: (
                (merchant.token_version, merchant.password_hash) == (1, "sealed-new-password-hash")
                and (merchant.profile_version, merchant.updated_at) == (1, PAST)
            )
        )

    def test_signing_out_everywhere_revokes_what_was_issued_before(self) -> None:
        history = (*REGISTERED, event(e.PasswordChanged))
        given(*history).when(command(RevokeTokens, token_version=1)).then(
            event(e.TokensRevoked, token_version=2)
        ).then_state(lambda merchant: merchant.token_version == 2)

    @pytest.mark.parametrize("asked", [ChangePassword, RevokeTokens])
    @pytest.mark.parametrize("version", [0, 2])
    def test_a_token_that_was_revoked_meanwhile_changes_nothing(self, asked: type, version: int) -> None:
        given(*REGISTERED, event(e.TokensRevoked)).when(command(asked, token_version=version)).then_raises(InvalidToken)


class TestRolling:
    def test_the_new_key_is_like_the_old_one_which_ends_at_once(self) -> None:
        given(*WITH_KEY).when(command(RollApiKey)).then(
            event(e.ApiKeyCreated, **SUCCESSOR), event(e.ApiKeyRolled)
        ).then_state(
            lambda merchant: (
                merchant.api_keys[KEY_ID].revoked_at == NOW
                and merchant.api_keys[KEY_ID].successor_id == NEW_KEY_ID
                and merchant.api_keys[NEW_KEY_ID].revoked_at is None
            )
        )

    def test_with_an_overlap_the_old_key_ends_after_it(self) -> None:
        end = NOW + timedelta(seconds=90)
        given(*WITH_KEY).when(command(RollApiKey, overlap_s=90)).then(
            event(e.ApiKeyCreated, **SUCCESSOR), event(e.ApiKeyRolled, expires_at=end)
        ).then_state(
            lambda merchant: (
                merchant.api_keys[KEY_ID].expires_at == end and merchant.api_keys[KEY_ID].revoked_at is None
            )
        )

    def test_an_overlap_never_lengthens_the_old_keys_life_and_the_new_one_has_its_own(self) -> None:
        end = NOW + timedelta(hours=1)
        history = (*REGISTERED, event(e.ApiKeyCreated, live=True, scopes=(), expires_at=end))
        given(*history).when(command(RollApiKey, overlap_s=7200)).then(
            event(e.ApiKeyCreated, **SUCCESSOR, live=True, scopes=(), expires_at=NOW + (end - PAST)),
            event(e.ApiKeyRolled, expires_at=end),
        )

    def test_only_a_key_that_holds_is_rolled_and_once(self) -> None:
        given(*REGISTERED).when(command(RollApiKey)).then_raises(NotFound, match="API key")
        given(*WITH_KEY, event(e.ApiKeyRevoked)).when(command(RollApiKey)).then_raises(InvalidStatus)
        expired = event(e.ApiKeyCreated, expires_at=NOW)
        given(*REGISTERED, expired).when(command(RollApiKey)).then_raises(InvalidStatus)
        again = command(RollApiKey, new_key_id=UUID(int=9), overlap_s=90)
        given(*WITH_KEY).when(command(RollApiKey, overlap_s=90), again).then_raises(InvalidStatus, match="rolled")
        given(*WITH_KEY).when(command(RollApiKey), command(RollApiKey)).then_nothing()


class TestApiKeys:
    def test_a_key_is_made(self) -> None:
        until = datetime(2027, 1, 1, tzinfo=UTC)
        asked = {"live": True, "scopes": (), "expires_at": until}
        given(*REGISTERED).when(command(CreateApiKey, **asked)).then(event(e.ApiKeyCreated, **asked)).then_state(
            lambda merchant: merchant.api_keys[KEY_ID].expires_at == until
        )

    def test_the_same_key_made_again_is_one_key(self) -> None:
        given(*WITH_KEY).when(command(CreateApiKey)).then_nothing()

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
        asked_again = command(ConfigureProcessor, config_id=UUID(int=9), keeps_webhook_secret=True, **asked)
        given(*WITH_STRIPE).when(asked_again).then(
            event(e.ProcessorConfigured, config_id=CONFIG_ID, **asked)
        ).then_state(
            lambda merchant: (
                (merchant.processors["stripe"].created_at, merchant.processors["stripe"].updated_at) == (PAST, NOW)
            )
        )

    @pytest.mark.parametrize(("processor", "hours"), [("stripe", 24), ("razorpay", 72)])
    def test_an_earlier_webhook_secret_holds_for_a_while(self, processor: str, hours: int) -> None:
        before = event(e.ProcessorConfigured, processor=processor, credentials=Sealed("old"))
        asked = command(ConfigureProcessor, processor=processor, credentials=Sealed("new"), webhook_endpoint_id="we_1")
        given(*REGISTERED, before).when(asked).then(
            event(
                e.ProcessorConfigured,
                processor=processor,
                credentials=Sealed("new"),
                webhook_endpoint_id="we_1",
                retired_credentials=(Sealed("old"),),
                retired_until=(NOW + timedelta(hours=hours),),
            )
        )

    def test_several_earlier_webhook_secrets_hold_until_each_ends(self) -> None:
        ends = [NOW + timedelta(hours=1), NOW - timedelta(seconds=1)]
        before = event(
            e.ProcessorConfigured,
            credentials=Sealed("old"),
            retired_credentials=(Sealed("older"), Sealed("oldest")),
            retired_until=tuple(ends),
        )
        outcome = given(*REGISTERED, before).when(command(ConfigureProcessor, credentials=Sealed("new")))
        assert outcome.state.processors["stripe"].retired == (
            RetiredCredentials(Sealed("old"), NOW + timedelta(hours=24)),
            RetiredCredentials(Sealed("older"), ends[0]),
        )

    def test_no_more_earlier_webhook_secrets_are_kept_than_are_looked_at(self) -> None:
        saves = [command(ConfigureProcessor, credentials=Sealed(str(n))) for n in range(9)]
        retired = given(*REGISTERED).when(*saves).state.processors["stripe"].retired
        assert [one.credentials for one in retired] == ["7", "6", "5", "4"]

    def test_a_processor_that_was_removed_leaves_no_secret(self) -> None:
        outcome = given(*WITH_STRIPE).when(command(RemoveProcessor), command(ConfigureProcessor))
        assert outcome.state.processors["stripe"].retired == ()

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
    (command(ChangePassword), row((e.PasswordChanged,))),
    (command(RevokeTokens), row((e.TokensRevoked,))),
    (command(CreateApiKey), row((e.ApiKeyCreated,), with_key=(), with_revoked_key=())),
    (
        command(RollApiKey),
        row(NotFound, with_key=(e.ApiKeyCreated, e.ApiKeyRolled), with_revoked_key=InvalidStatus),
    ),
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
            (REGISTERED, event(e.ApiKeyRolled)),
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
    st.builds(command, st.just(RollApiKey), key_id=keys, new_key_id=keys, overlap_s=st.sampled_from([0, 60])),
    st.builds(command, st.just(ChangePassword), token_version=st.integers(0, 2)),
    st.builds(command, st.just(RevokeTokens), token_version=st.integers(0, 2)),
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
            changing: dict[str, Any] = {"revoked_at": None, "expires_at": None, "successor_id": None}
            assert dataclasses.replace(after.api_keys[key_id], **changing) == dataclasses.replace(key, **changing)
        assert after.token_version - before.token_version in {0, 1}

    def teardown(self) -> None:
        """A replay gives the same state."""
        replayed: MerchantState = INITIAL
        for happened in self.history:
            replayed = evolve(replayed, happened)
        assert replayed == self.state


TestMerchantLife = MerchantLife.TestCase
TestMerchantLife.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
