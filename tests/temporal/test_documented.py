"""What docs/temporal.md says of the code is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from payloops.workflows_bridge.machines.results import Activity
from payloops.workflows_bridge.temporal.calls import NEVER_AGAIN, CallRules, rules_of

DOCUMENT: Final = (Path(__file__).parents[2] / "docs" / "temporal.md").read_text(encoding="utf-8")
NUMBER: Final = r"\| ([0-9.]+) "


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def test_the_table_of_timeouts_is_what_workflows_use() -> None:
    told: dict[str, CallRules] = {}
    for names, *numbers in re.findall(
        rf"^\| (`.*?) {NUMBER * 4}\|", section("Timeouts of our activities"), re.MULTILINE
    ):
        rules = CallRules(*(float(number) for number in numbers))
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), rules)
    assert told == {activity.value: rules_of(activity) for activity in Activity}


def test_the_types_of_errors_that_are_final_are_named() -> None:
    sentence = section("Timeouts of our activities").partition("Never tried again:")[2].partition(";")[0]
    assert tuple(re.findall(r"`(\w+)`", sentence)) == NEVER_AGAIN
