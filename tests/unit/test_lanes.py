"""Which lanes of the outbox have enough rows in hand."""

from __future__ import annotations

import pytest

from payloops.workflows_bridge.lanes import FullLanes, full_lanes, group_of


@pytest.mark.parametrize(
    ("lane", "group"),
    (("", None), ("stripe:m", None), ("publish:m", None), ("deliver:m:e", "deliver:m"), ("a:b:c:d", "a:b")),
)
def test_groups(lane: str, group: str | None) -> None:
    assert group_of(lane) == group


@pytest.mark.parametrize(
    ("in_hand", "expected"),
    (
        ([], FullLanes()),
        (["stripe:m"] * 3, FullLanes()),
        (["stripe:m"] * 4, FullLanes(("stripe:m",))),
        ([""] * 16, FullLanes()),
        ([f"deliver:m:{n}" for n in range(7)], FullLanes()),
        ([f"deliver:m:{n}" for n in range(8)], FullLanes((), ("deliver:m",))),
        ([f"stripe:{n}" for n in range(16)], FullLanes()),
        (["deliver:m:1"] * 4 + [f"deliver:n:{n}" for n in range(7)], FullLanes(("deliver:m:1",))),
        (["deliver:m:1"] * 4 + ["deliver:m:2"] * 4, FullLanes(("deliver:m:1", "deliver:m:2"), ("deliver:m",))),
    ),
)
def test_a_quarter_of_the_slots_for_a_lane_and_half_for_a_group(in_hand: list[str], expected: FullLanes) -> None:
    assert full_lanes(in_hand, slots=16) == expected
    assert bool(full_lanes(in_hand, slots=16)) == bool(expected.lanes or expected.groups)


def test_one_slot_is_enough_for_anybody() -> None:
    assert full_lanes(["stripe:m"], slots=1) == FullLanes(("stripe:m",))
