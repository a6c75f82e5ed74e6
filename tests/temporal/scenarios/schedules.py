"""Schedules that live through a day in seconds. Pure: workflows are made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, Schedule

QUICK: Final[Schedule] = replace(
    CONTRACT_SCHEDULE,
    action_timeout_s=4.0,
    action_asks_s=(0.3, 0.8, 2.0),
    doubt_asks_s=(0.05, 0.1, 0.2, 0.4),
    daily_s=0.5,
    quick_retries_s=(0.02, 0.04),
)
"""Time does its work."""
PATIENT: Final[Schedule] = replace(QUICK, action_timeout_s=60.0, action_asks_s=(50.0,))
"""Nothing happens by itself while the customer is waited for."""
LASTING: Final[Schedule] = replace(QUICK, action_timeout_s=3_600.0, action_asks_s=(3_000.0,))
"""Nor on a machine that is slow."""
ASKING: Final[Schedule] = replace(QUICK, action_timeout_s=3_600.0, action_asks_s=(0.3, 0.8, 2.0, 5.0, 10.0, 20.0, 40.0))
"""The customer is asked after, again and again, and never given up."""
