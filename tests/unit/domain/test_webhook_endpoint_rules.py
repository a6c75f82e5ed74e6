"""What can be asked of a webhook endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, get_args
from uuid import UUID

import pytest

from payloops.commands.webhook_endpoint import (
    ENDPOINTS_MAX,
    ChangeEndpoint,
    CreateEndpoint,
    DisableEndpoint,
    RemoveEndpoint,
    RotateSecret,
    WebhookEndpointRequest,
)
from payloops.errors import InvalidStatus, NotFound, PayloopsError, RuleViolation
from payloops.events import webhook_endpoint as e
from payloops.events.base import Event, Sealed
from payloops.events.webhook_endpoint_state import INITIAL, Active, ImpossibleHistory, Removed, evolve, owner
from payloops.events.webhook_event_types import EVENT_GROUPS, EVENT_TYPES, wants
from tests.spec import LATER, MERCHANT_ID, NOW, PAST, command, event, given, numbered, state_after
from tests.webhook_specs import NEXT_AT, URL

OTHER: Final = "https://other.example/hook"
ACTIVE: Final[tuple[Event, ...]] = (event(e.EndpointCreated),)
DEFAULT: Final[tuple[Event, ...]] = (event(e.EndpointCreated, is_default=True),)
DISABLED: Final = (*ACTIVE, event(e.EndpointChanged, enabled=False))
GONE: Final = (*ACTIVE, event(e.EndpointDisabled))
REMOVED: Final = (*ACTIVE, event(e.EndpointRemoved))
DEFAULT_REMOVED: Final = (*DEFAULT, event(e.EndpointRemoved))


class TestCreating:
    def test_an_endpoint_is_enabled_from_the_beginning(self) -> None:
        given().when(command(CreateEndpoint, event_types=("refund.*",))).then(
            event(e.EndpointCreated, event_types=("refund.*",))
        ).then_state(lambda made: made.enabled and made.created_at == NOW and owner(made) == MERCHANT_ID)

    def test_made_again_by_the_same_request_it_is_one(self) -> None:
        given(*ACTIVE).when(command(CreateEndpoint)).then_nothing()
        given(*ACTIVE).when(command(CreateEndpoint, secret=Sealed("of another"))).then_raises(InvalidStatus)

    def test_one_that_was_removed_does_not_come_back(self) -> None:
        given(*REMOVED).when(command(CreateEndpoint)).then_raises(InvalidStatus, match="removed")
        given(*REMOVED).when(command(CreateEndpoint, is_default=True)).then_raises(InvalidStatus)

    def test_one_can_be_made_disabled(self) -> None:
        given().when(command(CreateEndpoint, enabled=False)).then(event(e.EndpointCreated, enabled=False)).then_state(
            lambda made: not made.enabled and made.disabled_reason is None
        )

    def test_endpoints_are_bounded_but_the_default_one_always_fits(self) -> None:
        given().when(command(CreateEndpoint, endpoint_count=ENDPOINTS_MAX - 1)).then(event(e.EndpointCreated))
        given().when(command(CreateEndpoint, endpoint_count=ENDPOINTS_MAX)).then_raises(RuleViolation, match="20")
        given().when(command(CreateEndpoint, endpoint_count=ENDPOINTS_MAX, is_default=True)).then(
            event(e.EndpointCreated, is_default=True)
        )


class TestDefault:
    def test_set_to_another_address_it_keeps_its_types_and_secret(self) -> None:
        types = ("payment.captured",)
        history = (event(e.EndpointCreated, is_default=True, event_types=types),)
        given(*history).when(
            command(CreateEndpoint, is_default=True, url=OTHER, secret=Sealed("newer"), event_types=())
        ).then(event(e.EndpointChanged, url=OTHER, event_types=types)).then_state(
            lambda found: (found.secret, found.event_types) == ("sealed-secret", types)
        )

    def test_set_to_the_address_that_it_has_it_stays_as_it_is(self) -> None:
        asked = command(CreateEndpoint, is_default=True, secret=Sealed("newer"))
        given(*DEFAULT).when(asked).then_nothing()
        given(*DEFAULT, event(e.EndpointChanged, enabled=False)).when(asked).then_nothing()
        given(*DEFAULT, event(e.EndpointDisabled)).when(asked).then_nothing()

    def test_at_another_address_what_was_wrong_with_the_last_one_holds_no_more(self) -> None:
        asked = command(CreateEndpoint, is_default=True, url=OTHER)
        given(*DEFAULT, event(e.EndpointDisabled)).when(asked).then_state(
            lambda found: found.enabled and found.disabled_reason is None
        )

    def test_one_that_its_merchant_disabled_stays_so_at_another_address(self) -> None:
        asked = command(CreateEndpoint, is_default=True, url=OTHER)
        given(*DEFAULT, event(e.EndpointChanged, enabled=False)).when(asked).then(
            event(e.EndpointChanged, url=OTHER, enabled=False)
        )

    def test_removed_and_set_again_it_has_the_secret_that_it_had(self) -> None:
        given(*DEFAULT_REMOVED).when(command(CreateEndpoint, is_default=True, url=OTHER, secret=Sealed("newer"))).then(
            event(e.EndpointRestored, url=OTHER)
        ).then_state(lambda back: back.secret == "sealed-secret" and back.enabled and back.url == OTHER)

    def test_the_default_can_be_cleared_whether_it_is_there_or_not(self) -> None:
        asked = command(RemoveEndpoint, if_there=True)
        given().when(asked).then_nothing()
        given(*DEFAULT_REMOVED).when(asked).then_nothing()
        given(*DEFAULT).when(asked).then(event(e.EndpointRemoved))


class TestChanging:
    @pytest.mark.parametrize("change", [{"url": OTHER}, {"event_types": ("refund.*",)}, {"enabled": False}])
    def test_what_is_not_given_stays(self, change: dict[str, Any]) -> None:
        given(*ACTIVE).when(command(ChangeEndpoint, **change)).then(event(e.EndpointChanged, **change)).then_state(
            lambda found: (found.created_at, found.updated_at) == (PAST, NOW)
        )

    def test_what_is_so_already_is_no_change(self) -> None:
        given(*ACTIVE).when(command(ChangeEndpoint, url=URL, enabled=True, event_types=())).then_nothing()

    def test_enabling_takes_the_reason_away_and_nothing_else_does(self) -> None:
        given(*GONE).when(command(ChangeEndpoint, enabled=True)).then_state(
            lambda found: found.enabled and found.disabled_reason is None
        )
        given(*GONE).when(command(ChangeEndpoint, url=OTHER)).then_state(
            lambda found: (found.enabled, found.disabled_reason, found.url) == (False, "gone", OTHER)
        )
        given(*DISABLED).when(command(ChangeEndpoint, url=OTHER)).then_state(
            lambda found: (found.enabled, found.disabled_reason) == (False, None)
        )


class TestSecrets:
    def test_the_last_secret_signs_beside_the_new_one_for_a_while(self) -> None:
        given(*ACTIVE).when(command(RotateSecret)).then(event(e.EndpointSecretRotated)).then_state(
            lambda found: (
                (found.secret, found.previous_secret, found.previous_expires_at)
                == ("sealed-newer-secret", "sealed-secret", NEXT_AT)
            )
        )

    def test_of_several_rotations_only_the_last_secret_is_kept(self) -> None:
        newest = command(RotateSecret, secret=Sealed("newest"), previous_expires_at=LATER)
        given(*ACTIVE).when(command(RotateSecret), newest).then_state(
            lambda found: (found.secret, found.previous_secret) == ("newest", "sealed-newer-secret")
        )

    def test_the_same_secret_again_is_one_rotation(self) -> None:
        given(*ACTIVE).when(command(RotateSecret), command(RotateSecret)).then_nothing()


class TestDisabling:
    @pytest.mark.parametrize("reason", ["gone", "failing"])
    def test_the_system_disables_and_says_why(self, reason: str) -> None:
        given(*ACTIVE).when(command(DisableEndpoint, reason=reason)).then(
            event(e.EndpointDisabled, reason=reason)
        ).then_state(lambda found: (found.enabled, found.disabled_reason) == (False, reason))


Cell = type[PayloopsError] | tuple[type[Event], ...]
STATES: Final[Mapping[str, tuple[Event, ...]]] = MappingProxyType(
    {"absent": (), "active": ACTIVE, "disabled": DISABLED, "gone": GONE, "removed": REMOVED}
)
TABLE: Final[tuple[tuple[Any, Mapping[str, Cell]], ...]] = (
    (
        command(CreateEndpoint),
        {"absent": (e.EndpointCreated,), "active": (), "disabled": (), "gone": (), "removed": InvalidStatus},
    ),
    (
        command(ChangeEndpoint, enabled=True, url=OTHER),
        {"absent": NotFound, "removed": NotFound} | dict.fromkeys(("active", "disabled", "gone"), (e.EndpointChanged,)),
    ),
    (
        command(RemoveEndpoint),
        {"absent": NotFound, "removed": NotFound} | dict.fromkeys(("active", "disabled", "gone"), (e.EndpointRemoved,)),
    ),
    (
        command(RotateSecret),
        {"absent": NotFound, "removed": NotFound}
        | dict.fromkeys(("active", "disabled", "gone"), (e.EndpointSecretRotated,)),
    ),
    (
        command(DisableEndpoint),
        {"absent": NotFound, "removed": (), "active": (e.EndpointDisabled,), "disabled": (), "gone": ()},
    ),
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
    assert {type(what) for what, _ in TABLE} == set(get_args(WebhookEndpointRequest))


class TestHistory:
    def test_a_stream_begins_with_the_creation(self) -> None:
        with pytest.raises(ImpossibleHistory, match="begins a stream"):
            evolve(INITIAL, event(e.EndpointChanged))

    @pytest.mark.parametrize("version", [1, 3])
    def test_versions_are_consecutive(self, version: int) -> None:
        with pytest.raises(ImpossibleHistory, match="follows version 1"):
            evolve(state_after(*ACTIVE), event(e.EndpointRemoved, originator_version=version))

    @pytest.mark.parametrize(
        ("history", "happened"),
        [
            (ACTIVE, event(e.EndpointCreated)),
            (ACTIVE, event(e.EndpointRestored)),
            (REMOVED, event(e.EndpointChanged)),
            (REMOVED, event(e.EndpointRemoved)),
        ],
    )
    def test_an_event_that_does_not_fit_is_refused(self, history: tuple[Event, ...], happened: Event) -> None:
        (last,) = numbered([happened], after=len(history))
        with pytest.raises(ImpossibleHistory):
            evolve(state_after(*history), last)  # type: ignore[arg-type]

    def test_a_removed_endpoint_keeps_its_place_in_the_stream(self) -> None:
        removed = state_after(*REMOVED)
        assert isinstance(removed, Removed)
        assert (removed.last.version, removed.removed_at) == (2, PAST)
        back = state_after(*DEFAULT_REMOVED, event(e.EndpointRestored))
        assert isinstance(back, Active)
        assert (back.version, back.created_at) == (3, PAST)


class TestWanted:
    def test_no_types_mean_all(self) -> None:
        assert all(wants((), name) for name in EVENT_TYPES)

    def test_names_and_groups(self) -> None:
        types = ("payment.captured", "refund.*")
        assert [name for name in EVENT_TYPES if wants(types, name)] == [
            "payment.captured",
            "refund.pending",
            "refund.processed",
            "refund.failed",
        ]
        assert EVENT_GROUPS == ("payment.*", "refund.*", "checkout.*", "dispute.*")


def test_the_default_endpoint_is_the_same_for_ever() -> None:
    merchant_id = UUID("0190a5b0-0000-7000-8000-00000000000b")
    assert str(e.default_endpoint_id(merchant_id)) == "0385c5a8-9bda-5d72-bbce-5e092659420d"
