"""Are ``order_stats`` and its sums what the log says? They add up many streams, so they are compared as a whole.

The tables are read once, with the position that the log had then; of the streams that are folded after that, events up
to this position count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from payloops.projections.base import Row
from payloops.projections.order_stats import KEY, MEASURES, ORDER_STATS, added_up, day_of
from payloops.projections.reading import Columns

CAPTURES_KEY: Final = ("merchant_id", "currency", "test_mode", "bucket")
CAPTURES: Final = ("captures", "captured_amount")

TABLES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "order_stats": (KEY, MEASURES),
    "order_stats_daily": (KEY, MEASURES),
    "captures_so_far": (CAPTURES_KEY, CAPTURES),
}
"""What tells a table's rows apart, and their numbers."""

_Numbers = dict[tuple[Any, ...], dict[str, int]]


class CountedStats:
    """What the tables said at a position of the log, and what the log says up to there."""

    def __init__(self, position: int, rows: Mapping[str, list[Columns]]) -> None:
        self._position = position
        self._found = {
            table: _numbers(table, (dict(zip((*key, *numbers), row, strict=True)) for row in rows[table]))
            for table, (key, numbers) in TABLES.items()
        }
        self._expected: dict[Any, Row] = {}

    def take(self, position: int, before: Any, event: Any, after: Any) -> None:
        """Count an event of an order, unless it is younger than the tables that were read."""
        if position <= self._position and ORDER_STATS.concerns(type(event)):
            rows = ORDER_STATS.rows(before, event, after)
            if rows:
                ORDER_STATS.merge(self._expected, rows)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table had."""
        return {table: len(found) for table, found in self._found.items()}

    def differences(self) -> Iterator[tuple[str, str, str, int, int]]:
        """Table, row, column, what the log says, what the table said. A row that counts nothing is as good as none."""
        quarters = list(self._expected.values())
        expected = {
            "order_stats": quarters,
            "order_stats_daily": added_up({**row, "bucket": day_of(row["bucket"])} for row in quarters).values(),
            "captures_so_far": _so_far(quarters),
        }
        for table, (_, columns) in TABLES.items():
            ours, theirs = _numbers(table, expected[table]), self._found[table]
            for key in sorted({*ours, *theirs}, key=str):
                of_us, of_them = ours.get(key, {}), theirs.get(key, {})
                for name in columns:
                    if of_us.get(name, 0) != of_them.get(name, 0):
                        yield table, " ".join(map(str, key)), name, of_us.get(name, 0), of_them.get(name, 0)


def _numbers(table: str, rows: Any) -> _Numbers:
    """The rows by their keys, without zeros."""
    names, columns = TABLES[table]
    return {
        tuple(row[name] for name in names): {name: int(row[name]) for name in columns if row.get(name)} for row in rows
    }


def _so_far(quarters: list[Row]) -> Iterator[Row]:
    """Rows of ``captures_so_far``: each quarter hour's captures with those of its day before it."""
    by_bucket: dict[tuple[Any, ...], Row] = {}
    for row in quarters:
        if any(row.get(name) for name in CAPTURES):
            kept = by_bucket.setdefault(tuple(row[name] for name in CAPTURES_KEY), dict.fromkeys(CAPTURES, 0))
            for name in CAPTURES:
                kept[name] += row.get(name, 0)
    day: tuple[Any, ...] = ()
    sums = dict.fromkeys(CAPTURES, 0)
    for key, changes in sorted(by_bucket.items(), key=lambda item: item[0]):
        if day != (*key[:3], day_of(key[3])):
            day, sums = (*key[:3], day_of(key[3])), dict.fromkeys(CAPTURES, 0)
        sums = {name: sums[name] + changes[name] for name in CAPTURES}
        yield {**dict(zip(CAPTURES_KEY, key, strict=True)), **sums}
