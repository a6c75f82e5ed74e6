"""Every row of the table, small: `make gauntlet T=<id> N=<times> SEED=<seed>` does the same as often as you like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.gauntlet.rows import ROWS
from tests.gauntlet.run import PartMissing, Run
from tests.gauntlet.service import Service
from tests.parts import missing_part

SEED = 20_260_101


def _rows() -> list[Any]:
    return [pytest.param(name, id=name, marks=[pytest.mark.slow]) for name in ROWS]


@pytest.mark.parametrize("name", _rows())
def test_row(name: str, shared_service: Callable[[], Service]) -> None:
    row = ROWS[name]
    run = Run.of(row.id, row.smoke, SEED)
    try:
        if row.shared is not None:
            asyncio.run(row.shared(run, shared_service()))
        else:
            assert row.own is not None
            asyncio.run(row.own(run))
    except PartMissing as missing:
        missing_part("a part of a row of faults", str(missing))
    assert run.notes
