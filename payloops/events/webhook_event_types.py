"""The types of public events, and which of them an endpoint wants (the wire contract, "Outbound webhooks")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

EVENT_TYPES: Final = (
    "payment.processing",
    "payment.requires_action",
    "payment.authorized",
    "payment.captured",
    "payment.failed",
    "payment.cancelled",
    "refund.pending",
    "refund.processed",
    "refund.failed",
    "checkout.completed",
    "checkout.expired",
    "dispute.opened",
    "dispute.won",
    "dispute.lost",
)
SAMPLE_TYPE: Final = "webhook.test"
"""Of what an endpoint is sent to try it: no event, so it can't be asked for, and no filter holds it back."""

GROUP_SUFFIX: Final = ".*"
EVENT_GROUPS: Final = tuple(dict.fromkeys(name.partition(".")[0] + GROUP_SUFFIX for name in EVENT_TYPES))
"""``payment.*`` and the like: all types of that noun, also those that are still to come."""

CHOICES: Final = (*EVENT_GROUPS, *EVENT_TYPES)
"""What an endpoint's ``eventTypes`` may name."""


def wants(event_types: Iterable[str], event_type: str) -> bool:
    """Whether an endpoint with these ``eventTypes`` is told of ``event_type``; no types mean all."""
    wanted = frozenset(event_types)
    return not wanted or event_type in wanted or event_type.partition(".")[0] + GROUP_SUFFIX in wanted
