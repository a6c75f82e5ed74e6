"""When the machines ask, wait and give up. One object, so that tests can live through a day in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class DeliverySchedule:
    """Of webhooks, all in seconds. The defaults are the contract's ("Outbound webhooks")."""

    steps_s: tuple[float, ...] = (60, 300, 1800, 7200, 86400)
    """The pauses after the first attempt, the second …; after the last attempt there is none: it failed."""
    jitter: float = 0.2
    """By which part of it a pause is longer or shorter."""
    turn_wait_s: float = 300
    """How long a delivery waits at most for those before it, of the same order and endpoint."""
    room_wait_s: float = 1.0
    """When to come again while this process sends as much to the endpoint as it may."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """All in seconds. The defaults are the contract's ("Order status", "Temporal")."""

    action_timeout_s: float = 15 * 60
    """How long the customer may take."""
    action_asks_s: tuple[float, ...] = (10, 60, 300)
    """When the processor is asked meanwhile, counted from the beginning of the wait: a webhook can be lost."""
    doubt_asks_s: tuple[float, ...] = (5, 30, 300, 3600)
    """The pauses before asking what became of a call, one after the other."""
    daily_s: float = 24 * 3600
    """The pause after those, for ever: an outcome is asked for until it is known, or the order ended otherwise."""
    quick_retries_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    """The pauses before a call that surely was not carried out is made again; a processor may name longer ones."""
    repeat_within_s: float = 23 * 3600
    """How long a call that the processor knows nothing of is made again, with the same idempotency key: Stripe keeps
    keys for a day at least (https://docs.stripe.com/api/idempotent_requests)."""

    delivery: DeliverySchedule = DeliverySchedule()

    def doubt_pause_s(self, asked: int) -> float:
        """The pause before the next ask, when ``asked`` were made."""
        return self.doubt_asks_s[asked] if asked < len(self.doubt_asks_s) else self.daily_s


CONTRACT_SCHEDULE: Final = Schedule()
