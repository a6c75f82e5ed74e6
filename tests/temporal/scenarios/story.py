"""A history as a story: every event and field, but for ids, times and sealed text, which are new in each run.

An id is told as what it is in the story (``<1>`` is the first id that was told), so that an event which names the
wrong payment or workflow makes another story.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Final
from uuid import UUID

from payloops.events.base import Event

UNTOLD: Final = frozenset({"originator_id", "originator_version", "timestamp", "meta", "started_at", "duration_ms"})
SEALED: Final = frozenset({"redirect_url", "client_secret", "customer_email", "response_body", "secret"})
"""Encrypted anew each time: told is only whether there is one."""
IDS: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b(?:pi|re|ch|py|du|pay|order|rfnd|rzp_test|sk_test)_\w+"
    r"|(?<=127\.0\.0\.1:)\d+"
)
COLUMN: Final = 88


class Teller:
    """Tells the events of one run; ids keep their place in all of it."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def story(self, events: Iterable[Event]) -> tuple[str, ...]:
        """A line for each event."""
        return tuple(self._line(event) for event in events)

    def _line(self, event: Event) -> str:
        fields = (field.name for field in dataclasses.fields(event))
        told = [f"{name}={self._told(name, getattr(event, name))}" for name in fields if name not in UNTOLD]
        actor = f"{event.meta.actor.type}:{self._text(event.meta.actor.id)}"
        return f"{type(event).__name__}({', '.join(told)}) by {actor}"

    def _told(self, name: str, value: Any) -> str:
        if name in SEALED and value is not None:
            return "<sealed>"
        if isinstance(value, datetime):
            return "<time>"
        if isinstance(value, UUID):
            return self._text(str(value))
        if isinstance(value, dict):
            # JSON has no order of members; Temporal's server sorts them.
            value = dict(sorted(value.items()))
        return self._text(repr(value))

    def _text(self, text: str) -> str:
        return IDS.sub(lambda found: self._ids.setdefault(found[0], f"<{len(self._ids) + 1}>"), text)


def names(story: Sequence[str]) -> tuple[str, ...]:
    """The kinds of events only."""
    return tuple(line.partition("(")[0] for line in story)


def side_by_side(left: Sequence[str], right: Sequence[str]) -> str:
    """Both, line by line; ``!`` marks what differs."""
    lines: list[str] = []
    for kind, i, i_end, j, j_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for step in range(max(i_end - i, j_end - j)):
            one = left[i + step] if i + step < i_end else "-"
            other = right[j + step] if j + step < j_end else "-"
            mark = " " if kind == "equal" else "!"
            lines += _wrapped(mark, one, other)
    return "\n".join(lines)


def _wrapped(mark: str, one: str, other: str) -> Iterable[str]:
    for start in range(0, max(len(one), len(other)), COLUMN):
        yield f"{mark} {one[start : start + COLUMN]:<{COLUMN}} | {other[start : start + COLUMN]}"
        mark = mark if mark == "!" else " "
