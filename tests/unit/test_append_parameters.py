"""The one statement of a batch: what its commands write alike to a table of sums goes once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from payloops.events.store.append import INLINE_TABLES, Append, parameters

FIRST_DOCUMENT = 6
"""Before it are the events and the checks."""


def documents(batch: list[Append]) -> dict[str, Any]:
    sent = dict(zip(INLINE_TABLES, parameters(batch)[FIRST_DOCUMENT:], strict=True))
    return {table: orjson.loads(text) for table, text in sent.items() if text is not None}


def counted(**numbers: int) -> dict[str, Any]:
    return {"merchant_id": UUID(int=1), "currency": "USD", **numbers}


def written(*stats: dict[str, Any]) -> Append:
    return Append([], {"orders": [{"id": "an order"}], "order_stats": list(stats)})


def test_alike_changes_go_once_with_the_numbers_of_their_commands() -> None:
    batch = [
        written(counted(pending=1)),
        written(counted(pending=-1), counted(captured=1)),
        written(counted(pending=1)),
        written(counted(captures=1), counted(captures=1)),
    ]
    sent = documents(batch)
    assert [row["c"] for row in sent["orders"]] == [0, 1, 2, 3]
    assert [{**row, "merchant_id": 0} for row in sent["order_stats"]] == [
        {"merchant_id": 0, "currency": "USD", "pending": 1, "cs": [0, 2]},
        {"merchant_id": 0, "currency": "USD", "pending": -1, "cs": [1]},
        {"merchant_id": 0, "currency": "USD", "captured": 1, "cs": [1]},
        {"merchant_id": 0, "currency": "USD", "captures": 1, "cs": [3, 3]},
    ]


def test_a_batch_that_is_sent_again_is_the_same() -> None:
    batch = [written(counted(pending=1)), written(counted(pending=1))]
    assert parameters(batch) == parameters(batch)
    assert documents(batch[1:])["order_stats"][0]["cs"] == [0]
