"""Which lanes of the outbox have enough rows in hand. Pure.

A lane is a destination: a merchant's account at a processor, a receiver of webhooks. Lanes with three parts
(``deliver:<merchant>:<endpoint>``) form groups by the first two: a merchant with many slow receivers leaves room too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LANE_SHARE: Final = 4
"""One lane gets this part of the slots."""
GROUP_SHARE: Final = 2
"""One group of lanes gets this part of them."""
_GROUP_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class FullLanes:
    """What nothing more is to be taken of for now."""

    lanes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lanes or self.groups)


def full_lanes(in_hand: Iterable[str], *, slots: int) -> FullLanes:
    """The lanes, and groups of lanes, of which these rows in hand are as many as one may have."""
    held = list(in_hand)
    lane_max, group_max = share(slots, LANE_SHARE), share(slots, GROUP_SHARE)
    if len(held) < lane_max:
        return FullLanes()
    # A relay asks before each claim: counting a list is several times as quick as counting what a generator gives.
    lanes = Counter(held)
    del lanes[""]
    groups: Counter[str] = Counter()
    for lane, count in lanes.items():
        group = group_of(lane)
        if group is not None:
            groups[group] += count
    return FullLanes(
        tuple(lane for lane, count in lanes.items() if count >= lane_max),
        tuple(group for group, count in groups.items() if count >= group_max),
    )


def group_of(lane: str) -> str | None:
    """The group that a lane belongs to; None for a lane by itself."""
    parts = lane.split(":")
    return ":".join(parts[:_GROUP_PARTS]) if len(parts) > _GROUP_PARTS else None


def share(slots: int, part: int) -> int:
    """A part of the slots, at least one."""
    return max(1, slots // part)
