"""What every event does to an order's facts, and the refusal of one that can't have happened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from payloops.events import order as e
from payloops.events.order_states import Existing, Facts, ImpossibleHistory, status


def changed(state: Existing, event: e.OrderEvent, **changes: Any) -> Facts:
    """The facts after ``event``, with ``changes``."""
    return replace(state.facts, version=event.originator_version, updated_at=event.timestamp, **changes)


def impossible(state: Existing, event: e.OrderEvent) -> ImpossibleHistory:
    """An event that the state can't take."""
    return ImpossibleHistory(f"{event.TOPIC} when {status(state)}")
