"""What an inline read table is: rows made from an event and the states around it, alike for live use and replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InlineProjection:
    """A read table and how events make its rows.

    ``rows(before, event, after)`` gives whole rows, written over what the table has under the same ``key``; ``kept``
    columns stay as first written.
    """

    table: str
    key: str
    columns: tuple[str, ...]
    rows: Callable[[Any, Any, Any], list[Row]]
    kept: frozenset[str] = frozenset()
    silent: tuple[type[Any], ...] = ()
    """Frequent events that never write rows: they are not asked about."""

    def concerns(self, event_class: type[Any]) -> bool:
        """Whether events of this class can write rows."""
        return event_class not in self.silent

    def merge(self, into: dict[Any, Row], rows: list[Row]) -> None:
        """What the table's upsert does, in memory."""
        for row in rows:
            before = into.get(row[self.key])
            kept = {} if before is None else {name: before[name] for name in self.kept}
            into[row[self.key]] = {**row, **kept} if kept else row
