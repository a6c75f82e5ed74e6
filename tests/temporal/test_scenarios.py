"""One behaviour, two engines: every scenario comes to the same history on both."""

from __future__ import annotations

import pytest

from payloops.temporal_server import TemporalServer
from tests.databases import TestServer
from tests.temporal.scenarios.deliveries import play_deliveries
from tests.temporal.scenarios.payments import SCENARIOS
from tests.temporal.scenarios.table import play

pytestmark = [pytest.mark.temporal, pytest.mark.slow]


@pytest.mark.parametrize("schedule", ("quick", "patient", "asking"))
async def test_orders_have_the_same_history(
    schedule: str, postgres_server: TestServer, temporal_server: TemporalServer
) -> None:
    chosen = [scenario for scenario in SCENARIOS if scenario.schedule == schedule]
    outcomes = await play(chosen, postgres_server, temporal_server)
    different = [outcome for outcome in outcomes if not outcome.is_equal]
    assert not different, "\n\n".join(map(str, different))
    assert all(outcome.embedded for outcome in outcomes)


async def test_deliveries_have_the_same_history(postgres_server: TestServer, temporal_server: TemporalServer) -> None:
    outcomes = await play_deliveries(postgres_server, temporal_server)
    different = [outcome for outcome in outcomes if not outcome.is_equal]
    assert not different, "\n\n".join(map(str, different))
