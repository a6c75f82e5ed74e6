"""What an answer means for a delivery, and when to come again (the wire contract, "Outbound webhooks"). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from payloops.commands.webhook_delivery import Verdict
from payloops.workflows_bridge.machines.schedule import DeliverySchedule

GONE: Final = 410
ASKS_FOR_TIME: Final = frozenset({429, 503})
RETRY_AFTER_MAX_STEPS: Final = 2.0
RETRY_AFTER_SPREAD: Final = 0.05
"""Deliveries that were all told the same time don't come back together."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``delay_s`` stands with the verdict ``retry``. ``gone``: the receiver wants nothing any more."""

    verdict: Verdict
    delay_s: float | None = None
    gone: bool = False


def judge(
    status_code: int | None,
    retry_after_s: float | None,
    *,
    earlier: int,
    schedule: DeliverySchedule,
    chance: float,
) -> Judgement:
    """What an attempt means. ``earlier`` attempts of its round were made before it; ``chance`` is in 0 … 1.

    2xx is success, anything else (3xx too, and no answer at all) is failure.
    """
    if status_code is not None and 200 <= status_code < 300:  # noqa: PLR2004 - HTTP statuses
        return Judgement("delivered")
    if status_code == GONE:
        return Judgement("failed", gone=True)
    if earlier >= len(schedule.steps_s):
        return Judgement("failed")
    told_s = retry_after_s if status_code in ASKS_FOR_TIME else None
    return Judgement("retry", _pause_s(told_s, earlier, schedule, chance))


def _pause_s(told_s: float | None, earlier: int, schedule: DeliverySchedule, chance: float) -> float:
    """The step with its jitter; or what the receiver told, which is at most twice the step.

    After the first attempt it may be shorter than the step too. Later ones don't get shorter: a receiver that says the
    same few seconds for ever would have had all attempts within a minute.
    """
    step_s = schedule.steps_s[earlier]
    own_s = step_s * (1 + schedule.jitter * (2 * chance - 1))
    if told_s is None:
        return own_s
    told_s = min(told_s * (1 + RETRY_AFTER_SPREAD * chance), RETRY_AFTER_MAX_STEPS * step_s)
    return told_s if earlier == 0 else max(told_s, own_s)
