"""Specifications of deciders: ``given(*events).when(command).then(*events)``.

``event`` and ``command`` build with fixed defaults, so that a specification names only what it is about. Versions,
times and causes are filled in: events of the past are numbered in order, expected ones continue them and carry the
command's own time and cause. Nothing here does I/O.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from types import ModuleType
from typing import Any, Final, Generic, NoReturn, Self, TypeVar
from uuid import UUID

import pytest

from payloops.commands import checkout_session as checkout_commands
from payloops.commands import merchant as merchant_commands
from payloops.commands import order as order_commands
from payloops.commands import order_reports as reports
from payloops.commands import order_results
from payloops.commands import webhook_delivery as delivery_commands
from payloops.commands import webhook_endpoint as endpoint_commands
from payloops.errors import PayloopsError
from payloops.events import (
    checkout_session,
    checkout_session_state,
    merchant_state,
    order_state,
    webhook_delivery,
    webhook_delivery_state,
    webhook_endpoint,
    webhook_endpoint_state,
)
from payloops.events import merchant as m
from payloops.events import order as o
from payloops.events.base import Event
from tests import checkout_specs, webhook_specs
from tests.spec_defaults import (
    AMOUNT,
    BOTH_PROCESSORS,
    COMMAND_DEFAULTS,
    CONFIG_ID,
    DISPUTE_ID,
    EVENT_DEFAULTS,
    KEY_ID,
    MERCHANT_ID,
    NEW_KEY_ID,
    NOW,
    NOW_META,
    ORDER_ID,
    PAST,
    PAST_META,
    REFUND_ID,
    SURPLUS_REFUND_ID,
    TARGETS,
)

__all__ = [
    "AMOUNT",
    "AUTHORIZED",
    "BOTH_PROCESSORS",
    "CANCELLED",
    "CAPTURED",
    "COMMAND_DEFAULTS",
    "CONFIG_ID",
    "DISPUTE_ID",
    "EVENT_DEFAULTS",
    "FAILED",
    "KEY_ID",
    "KINDS",
    "LATER",
    "MANUAL",
    "MERCHANT_ID",
    "NEW_KEY_ID",
    "NOW",
    "NOW_META",
    "ORDERS",
    "ORDER_ID",
    "PAST",
    "PAST_META",
    "PENDING",
    "PROCESSING",
    "REFUND_ID",
    "REGISTERED",
    "REQUIRES_ACTION",
    "SURPLUS_REFUND_ID",
    "Given",
    "Kind",
    "Outcome",
    "command",
    "decide",
    "event",
    "evolve",
    "given",
    "initial_for",
    "kind_of_command",
    "kind_of_event",
    "numbered",
    "state_after",
]

E = TypeVar("E", bound=Event)
C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a specification must know of a kind of aggregate: its streams, events, states and commands."""

    stream_id: UUID
    events: ModuleType
    states: ModuleType
    command_class: type
    decide: Callable[[Any, Any], Sequence[Any]]


def _decide_order(asked: Any, state: Any) -> Sequence[Any]:
    if isinstance(asked, reports.Report):
        return order_results.decide(asked, state)  # type: ignore[arg-type]
    return order_commands.decide(asked, state)


ORDERS: Final = Kind(ORDER_ID, o, order_state, object, _decide_order)
KINDS: Final = (
    Kind(MERCHANT_ID, m, merchant_state, merchant_commands.MerchantCommand, merchant_commands.decide),
    Kind(
        checkout_specs.SESSION_ID,
        checkout_session,
        checkout_session_state,
        checkout_commands.CheckoutCommand,
        checkout_commands.decide,
    ),
    Kind(
        webhook_specs.ENDPOINT_ID,
        webhook_endpoint,
        webhook_endpoint_state,
        endpoint_commands.WebhookEndpointCommand,
        endpoint_commands.decide,
    ),
    Kind(
        webhook_specs.DELIVERY_ID,
        webhook_delivery,
        webhook_delivery_state,
        delivery_commands.WebhookDeliveryCommand,
        delivery_commands.decide,
    ),
)
"""All but orders, which is what is none of these."""


def kind_of_event(event_class: type) -> Kind:
    return next((kind for kind in KINDS if kind.events.__name__ == event_class.__module__), ORDERS)


def kind_of_command(asked: Any) -> Kind:
    return next((kind for kind in KINDS if isinstance(asked, kind.command_class)), ORDERS)


def event(event_class: type[E], **fields: Any) -> E:
    """An event with defaults for all that is not given."""
    stream_id = kind_of_event(event_class).stream_id
    envelope = {"originator_id": stream_id, "originator_version": 1, "timestamp": PAST, "meta": PAST_META}
    return event_class(**{**envelope, **EVENT_DEFAULTS[event_class], **fields})


def command(command_class: type[C], **fields: Any) -> C:
    """A command with defaults for all that is not given."""
    named = {field.name for field in dataclasses.fields(command_class)}  # type: ignore[arg-type]
    targets = {name: target for name, target in TARGETS.items() if name in named}
    head: dict[str, Any] = {**targets, "now": NOW, "meta": NOW_META}
    return command_class(**{**head, **COMMAND_DEFAULTS.get(command_class, {}), **fields})


def numbered(events: Sequence[E], after: int = 0) -> list[E]:
    """The events with consecutive versions."""
    return [dataclasses.replace(one, originator_version=version) for version, one in enumerate(events, after + 1)]


def decide(asked: Any, state: Any) -> tuple[Any, ...]:
    """The decision of the aggregate that the command is for."""
    return tuple(kind_of_command(asked).decide(asked, state))


def evolve(state: Any, happened: Any) -> Any:
    """The state of the aggregate that the event is of, after it."""
    return kind_of_event(type(happened)).states.evolve(state, happened)


def initial_for(asked: Any) -> Any:
    """The state of a stream with nothing in it, of the aggregate that the command is for."""
    return kind_of_command(asked).states.INITIAL


def state_after(*history: Event) -> Any:
    """The state that the history ends in."""
    state: Any = kind_of_event(type(history[0])).states.INITIAL if history else order_state.INITIAL
    for happened in numbered(history):
        state = evolve(state, happened)
    return state


def given(*history: Event) -> Given:
    """What has happened before."""
    return Given(history)


class Given:
    """A stream with a past."""

    def __init__(self, history: Sequence[Event]) -> None:
        self._history = history

    def when(self, *commands: Any) -> Outcome[Any]:
        """The last command's outcome, after the others have had their effect."""
        state = state_after(*self._history) if self._history else initial_for(commands[0])
        version = len(self._history)
        for asked in commands[:-1]:
            events = decide(asked, state)
            for happened in events:
                state = evolve(state, happened)
            version += len(events)
        try:
            return Outcome(commands[-1], state, version, decide(commands[-1], state), None)
        except PayloopsError as error:
            return Outcome(commands[-1], state, version, (), error)


class Outcome(Generic[C]):
    """What a command did: its events, or the error that it raised."""

    def __init__(
        self, asked: C, before: Any, version: int, events: tuple[Any, ...], error: PayloopsError | None
    ) -> None:
        self._asked: Any = asked
        self._before = before
        self._version = version
        self._error = error
        self.events = events

    @property
    def state(self) -> Any:
        """The state after the command."""
        state = self._before
        for happened in self.events:
            state = evolve(state, happened)
        return state

    def then(self, *expected: Event) -> Self:
        """Exactly these events, in this order, with the command's time and cause."""
        self._require_no_error()
        want = [
            dataclasses.replace(one, timestamp=self._asked.now, meta=self._asked.meta)
            for one in numbered(expected, self._version)
        ]
        if list(self.events) != want:
            _fail(_difference(want, self.events))
        return self

    def then_nothing(self) -> Self:
        """No event: it was so already, or says nothing that counts."""
        return self.then()

    def then_raises(self, error_class: type[PayloopsError], *, match: str = "", param: str | None = None) -> Self:
        """Exactly this class of error; ``match`` is searched in its sentence."""
        if self._error is None:
            _fail(f"{error_class.__name__} was expected, but it was decided:\n" + "\n".join(_lines(self.events)))
        if type(self._error) is not error_class:
            _fail(f"{error_class.__name__} was expected, not {self._error!r}")
        if re.search(match, self._error.message) is None:
            _fail(f"{match!r} is not in {self._error.message!r}")
        if param is not None and self._error.param != param:
            _fail(f"the error is about {self._error.param!r}, not {param!r}")
        return self

    def then_state(self, expected: type | Callable[[Any], bool]) -> Self:
        """A state of that class, or one of which the predicate holds."""
        self._require_no_error()
        state = self.state
        holds = isinstance(state, expected) if isinstance(expected, type) else expected(state)
        if not holds:
            _fail(f"not the state that was expected:\n{state}")
        return self

    def _require_no_error(self) -> None:
        if self._error is not None:
            _fail(f"it raised {self._error!r}")


def _difference(want: Sequence[Event], got: Sequence[Event]) -> str:
    lines = difflib.ndiff(list(_lines(want)), list(_lines(got)))
    return "expected (-) is not what was decided (+):\n" + "\n".join(line for line in lines if line[0] != "?")


def _lines(events: Sequence[Event]) -> Iterator[str]:
    if not events:
        yield "(nothing)"
    for one in events:
        yield type(one).__name__
        for field in dataclasses.fields(one):
            yield f"    {field.name} = {getattr(one, field.name)!r}"


def _fail(message: str) -> NoReturn:
    __tracebackhide__ = True
    pytest.fail(message, pytrace=False)


LATER: Final = NOW + timedelta(minutes=1)
"""A time after ``NOW``, for a command that comes later."""


# Histories of an order, up to a state.
PENDING: Final[tuple[Event, ...]] = (event(o.OrderCreated),)
MANUAL: Final[tuple[Event, ...]] = (event(o.OrderCreated, capture_method="manual"),)
PROCESSING: Final = (*PENDING, event(o.PaymentStarted))
REQUIRES_ACTION: Final = (*PROCESSING, event(o.PaymentActionRequired))
AUTHORIZED: Final = (*MANUAL, event(o.PaymentStarted), event(o.PaymentAuthorized))
CAPTURED: Final = (*PROCESSING, event(o.PaymentCaptured))
FAILED: Final = (*PROCESSING, event(o.PaymentFailed))
CANCELLED: Final = (*PENDING, event(o.OrderCancelled))
REGISTERED: Final[tuple[Event, ...]] = (event(m.MerchantRegistered),)
