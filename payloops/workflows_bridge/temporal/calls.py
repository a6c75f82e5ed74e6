"""How long each activity may take and when it is tried again: one table, for all workflows. Pure.

What a processor answered is never repeated from here: that is for the machine to decide. Tried again is what broke off,
by a crash, a lost worker, or a database that was away, without an end to the tries: money that moved must be recorded.
An activity that finds its own input unusable says so and ends its workflow (NEVER_AGAIN).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from payloops.workflows_bridge.machines.results import Activity

NEVER_AGAIN: Final = ("ContractViolation", "InvalidInput", "NotFound", "RuleViolation")
"""Types of errors (hosting.py) that the same input would meet for ever."""


@dataclass(frozen=True, slots=True)
class CallRules:
    """Of one activity, in seconds. ``heartbeat_s`` is how soon the loss of its worker is noticed."""

    attempt_s: float
    heartbeat_s: float
    first_pause_s: float
    pause_max_s: float


ASKS_PROCESSOR: Final = CallRules(attempt_s=60, heartbeat_s=10, first_pause_s=0.5, pause_max_s=30)
"""One ask takes at most 30 s (the wire contract, "Order status"); the rest is for the database before it."""
RECORDS: Final = CallRules(attempt_s=30, heartbeat_s=10, first_pause_s=0.2, pause_max_s=15)
"""A command over the log."""
DELIVERS: Final = CallRules(attempt_s=60, heartbeat_s=10, first_pause_s=1, pause_max_s=60)
"""An HTTP request of at most 15 s to a merchant, and its record."""

_RULES: Final[dict[str, CallRules]] = {
    Activity.RECORD_PAYMENT: RECORDS,
    Activity.RECORD_REFUND: RECORDS,
    Activity.ATTEMPT_DELIVERY: DELIVERS,
}


def rules_of(activity: str) -> CallRules:
    """The rules of that activity; whatever is not named asks a processor."""
    return _RULES.get(activity, ASKS_PROCESSOR)
