"""Specifications of deciders: ``given(*events).when(command).then(*events)``.

``event`` and ``command`` build with fixed defaults, so that a specification names only what it is about. Versions,
times and causes are filled in: events of the past are numbered in order, expected ones continue them and carry the
command's own time and cause. Nothing here does I/O.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Generic, NoReturn, Self, TypeVar
from uuid import UUID

import pytest

from payloops.commands import merchant as merchant_commands
from payloops.commands import order as order_commands
from payloops.commands import order_reports as reports
from payloops.commands import order_results
from payloops.errors import PayloopsError
from payloops.events import merchant as m
from payloops.events import merchant_state, order_state
from payloops.events import order as o
from payloops.events.base import Actor, Event, Meta, Sealed

ORDER_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000a")
MERCHANT_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000b")
REFUND_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000c")
SURPLUS_REFUND_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000d")
KEY_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000e")
CONFIG_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000f")
AMOUNT: Final = 1000

PAST: Final = datetime(2026, 1, 2, 3, 0, 0, 0, tzinfo=UTC)
NOW: Final = datetime(2026, 1, 2, 4, 0, 0, 123_000, tzinfo=UTC)

PAST_META: Final = Meta(UUID(int=1), Actor("system", "past"), "past")
NOW_META: Final = Meta(UUID(int=2), Actor("api_key", "now"), "now", causation_id="cause", traceparent=None)

BOTH_PROCESSORS: Final = (
    order_commands.ProcessorOption("stripe", enabled=True, priority=1),
    order_commands.ProcessorOption("razorpay", enabled=True, priority=1),
)

E = TypeVar("E", bound=Event)
C = TypeVar("C")

_IDS: Final = {"processor_order_id": "pi_1", "processor_transaction_id": "pi_1"}
_REFUSED: Final = {"code": "card_declined", "message": "The card was declined."}
_FLAGS: Final = {"enabled": True, "priority": 1, "test_mode": True}
_KEY: Final = {
    "key_id": KEY_ID,
    "public_id": "abcdefghijkl",
    "prefix": "sk_test_abcd",
    "name": "server",
    "secret_hash": Sealed("sealed-hash"),
    "live": False,
    "scopes": ("orders:read",),
    "expires_at": None,
}
_ACCOUNT: Final = {
    "name": "Shop",
    "email": Sealed("sealed-email"),
    "email_digest": "digest",
    "password_hash": Sealed("sealed-password-hash"),
}
_TERMS: Final = {
    "merchant_id": MERCHANT_ID,
    "test_mode": True,
    "amount": AMOUNT,
    "currency": "USD",
    "external_id": "cart-1",
    "capture_method": "automatic",
}

EVENT_DEFAULTS: Final[Mapping[type[Event], Mapping[str, Any]]] = MappingProxyType(
    {
        o.OrderCreated: _TERMS
        | {
            "customer_id": None,
            "customer_email": None,
            "description": None,
            "metadata": {},
            "return_url": None,
            "cancel_url": None,
        },
        o.PaymentStarted: {
            "attempt": 1,
            "processor": "stripe",
            "workflow_id": f"payment-{ORDER_ID}",
            "payment_method_type": "card",
            "payment_method_token": "pm_card_visa",
        },
        o.PaymentDiscovered: {"attempt": 1, "processor": "stripe", **_IDS},
        o.PaymentIdentified: {"attempt": 1, **_IDS},
        o.PaymentProcessing: {"attempt": 1},
        o.PaymentActionRequired: {
            "attempt": 1,
            **_IDS,
            "redirect_url": Sealed("sealed-redirect-url"),
            "client_secret": Sealed("sealed-client-secret"),
            "processor_data": None,
        },
        o.PaymentAuthorized: {"attempt": 1, **_IDS, "amount": AMOUNT},
        o.PaymentCaptured: {"attempt": 1, **_IDS, "amount": AMOUNT},
        o.PaymentFailed: {"attempt": 1, **_REFUSED, "decline_code": "generic_decline", **_IDS, "ended": False},
        o.PaymentOutcomeUnknown: {"attempt": 1, "operation": "payment", "reason": "timeout"},
        o.SurplusPaymentAuthorized: {
            "attempt": 2,
            "processor": "stripe",
            "processor_order_id": "pi_2",
            "processor_transaction_id": "pi_2",
            "amount": AMOUNT,
            "workflow_id": f"void-{ORDER_ID}",
        },
        o.SurplusPaymentCaptured: {
            "attempt": 2,
            "refund_id": SURPLUS_REFUND_ID,
            "processor": "stripe",
            "processor_order_id": "pi_2",
            "processor_transaction_id": "pi_2",
            "amount": AMOUNT,
        },
        o.CaptureRequested: {"amount": AMOUNT, "workflow_id": f"capture-{ORDER_ID}"},
        o.CaptureFailed: _REFUSED,
        o.CancelRequested: {"reason": None, "workflow_id": f"void-{ORDER_ID}"},
        o.CancelFailed: _REFUSED,
        o.OrderCancelled: {"reason": None, "released": 0, "processor_transaction_id": None},
        o.RefundRequested: {
            "refund_id": REFUND_ID,
            "amount": AMOUNT,
            "reason": None,
            "workflow_id": f"refund-{REFUND_ID}",
        },
        o.RefundDiscovered: {"refund_id": REFUND_ID, "amount": AMOUNT, "reason": None, "processor_refund_id": "re_1"},
        o.RefundIdentified: {"refund_id": REFUND_ID, "processor_refund_id": "re_1"},
        o.RefundSucceeded: {"refund_id": REFUND_ID, "processor_refund_id": "re_1"},
        o.RefundFailed: {"refund_id": REFUND_ID, **_REFUSED, "processor_refund_id": "re_1"},
        o.RefundOutcomeUnknown: {"refund_id": REFUND_ID, "reason": "timeout"},
        m.MerchantRegistered: _ACCOUNT,
        m.ProfileChanged: {"name": "Shop", "webhook_url": "https://shop.example/hook"},
        m.ApiKeyCreated: _KEY,
        m.ApiKeyRevoked: {"key_id": KEY_ID},
        m.ProcessorConfigured: {
            "config_id": CONFIG_ID,
            "processor": "stripe",
            "credentials": Sealed("sealed-credentials"),
            **_FLAGS,
        },
        m.ProcessorFlagsChanged: {"processor": "stripe", **_FLAGS},
        m.ProcessorRemoved: {"processor": "stripe"},
    }
)

COMMAND_DEFAULTS: Final[Mapping[type, Mapping[str, Any]]] = MappingProxyType(
    {
        order_commands.CreateOrder: _TERMS,
        order_commands.StartPayment: {"options": BOTH_PROCESSORS, "payment_method_type": "card"},
        order_commands.RefundPayment: {"refund_id": REFUND_ID},
        reports.RecordProcessing: {"attempt": 1},
        reports.RecordActionRequired: {"attempt": 1, **_IDS, "redirect_url": Sealed("sealed-redirect-url")},
        reports.RecordAuthorized: {"attempt": 1, "amount": AMOUNT, **_IDS},
        reports.RecordCaptured: {"attempt": 1, "amount": AMOUNT, "surplus_refund_id": SURPLUS_REFUND_ID, **_IDS},
        reports.RecordFailed: {"attempt": 1, **_REFUSED, "decline_code": "generic_decline", **_IDS},
        reports.RecordVoided: {"attempt": 1, "processor_transaction_id": "pi_1"},
        reports.RecordOutcomeUnknown: {"attempt": 1, "operation": "payment", "reason": "timeout"},
        reports.RecordCaptureFailed: _REFUSED,
        reports.RecordCancelFailed: _REFUSED,
        reports.RecordRefundSucceeded: {"refund_id": REFUND_ID, "processor_refund_id": "re_1"},
        reports.RecordRefundFailed: {"refund_id": REFUND_ID, **_REFUSED, "processor_refund_id": "re_1"},
        reports.RecordRefundUnknown: {"refund_id": REFUND_ID, "reason": "timeout"},
        reports.RecordDiscoveredRefund: {
            "processor_refund_id": "re_9",
            "amount": 100,
            "status": "success",
        },
        reports.RecordStatus: {"surplus_refund_id": SURPLUS_REFUND_ID},
        merchant_commands.RegisterMerchant: _ACCOUNT,
        merchant_commands.CreateApiKey: _KEY,
        merchant_commands.RevokeApiKey: {"key_id": KEY_ID},
        merchant_commands.ConfigureProcessor: {
            "config_id": CONFIG_ID,
            "processor": "stripe",
            "credentials": Sealed("sealed-credentials"),
            **_FLAGS,
        },
        merchant_commands.ChangeProcessorFlags: {"processor": "stripe"},
        merchant_commands.RemoveProcessor: {"processor": "stripe"},
    }
)


def event(event_class: type[E], **fields: Any) -> E:
    """An event with defaults for all that is not given."""
    stream = MERCHANT_ID if event_class.__module__ == m.__name__ else ORDER_ID
    envelope = {"originator_id": stream, "originator_version": 1, "timestamp": PAST, "meta": PAST_META}
    return event_class(**{**envelope, **EVENT_DEFAULTS[event_class], **fields})


def command(command_class: type[C], **fields: Any) -> C:
    """A command with defaults for all that is not given."""
    named = {field.name for field in dataclasses.fields(command_class)}  # type: ignore[arg-type]
    target = {"order_id": ORDER_ID} if "order_id" in named else {"merchant_id": MERCHANT_ID}
    head: dict[str, Any] = {**target, "now": NOW, "meta": NOW_META}
    return command_class(**{**head, **COMMAND_DEFAULTS.get(command_class, {}), **fields})


def numbered(events: Sequence[E], after: int = 0) -> list[E]:
    """The events with consecutive versions."""
    return [dataclasses.replace(one, originator_version=version) for version, one in enumerate(events, after + 1)]


def decide(asked: Any, state: Any) -> tuple[Any, ...]:
    """The decision of the aggregate that the command is for."""
    if isinstance(asked, merchant_commands.MerchantCommand):
        return merchant_commands.decide(asked, state)  # type: ignore[arg-type]
    if isinstance(asked, reports.Report):
        return order_results.decide(asked, state)  # type: ignore[arg-type]
    return order_commands.decide(asked, state)


def evolve(state: Any, happened: Any) -> Any:
    """The state of the aggregate that the event is of, after it."""
    if type(happened).__module__ == m.__name__:
        return merchant_state.evolve(state, happened)
    return order_state.evolve(state, happened)


def initial_for(asked: Any) -> Any:
    """The state of a stream with nothing in it, of the aggregate that the command is for."""
    of_merchant = isinstance(asked, merchant_commands.MerchantCommand)
    return merchant_state.INITIAL if of_merchant else order_state.INITIAL


def state_after(*history: Event) -> Any:
    """The state that the history ends in."""
    state: Any = merchant_state.INITIAL if _is_of_merchant(history) else order_state.INITIAL
    for happened in numbered(history):
        state = evolve(state, happened)
    return state


def _is_of_merchant(history: Sequence[Event]) -> bool:
    return bool(history) and type(history[0]).__module__ == m.__name__


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
