"""The rows, by id."""

from __future__ import annotations

from typing import Final

from tests.gauntlet.rows import concurrency, crashes, database, inputs, log, processors, relays, up
from tests.gauntlet.run import Row

ROWS: Final[dict[str, Row]] = {
    row.id: row
    for module in (concurrency, processors, crashes, database, log, relays, inputs, up)
    for row in module.ROWS
}
