"""The rows, by id."""

from __future__ import annotations

from typing import Final

from tests.gauntlet.rows import (
    access,
    checkout,
    concurrency,
    crashes,
    credentials,
    database,
    description,
    forms,
    inputs,
    log,
    processors,
    relays,
    temporal,
    up,
    webhook_kills,
    webhooks_in,
    webhooks_out,
)
from tests.gauntlet.run import Row

ROWS: Final[dict[str, Row]] = {
    row.id: row
    for module in (
        access,
        credentials,
        concurrency,
        processors,
        crashes,
        database,
        log,
        relays,
        inputs,
        description,
        forms,
        up,
        temporal,
        webhooks_in,
        webhooks_out,
        checkout,
        webhook_kills,
    )
    for row in module.ROWS
}
