"""I3: the API does what its description says, whatever is sent."""

from __future__ import annotations

from typing import Final

from tests.gauntlet import schemathesis_run
from tests.gauntlet.checker import check_tables
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import prepared

SECONDS: Final = 20
"""For each time that the row is done."""


async def i3(run: Run) -> None:
    """Schemathesis, all phases, with a relay and the processors' sandbox behind the API; then the log is the tables."""
    with prepared(**schemathesis_run.SETTINGS) as service:
        for name in ("sandbox", "api"):
            service.part(name).start()
        service.part("relay", wrap=("names:nowhere",)).start()
        service.wait_for_ports()
        await service.ready()
        outcome = await schemathesis_run.run(service, seconds=SECONDS * run.times, seed=run.seed % 2**31)
        if run.loud:
            print(outcome.table(), flush=True)
        run.say(f"{outcome.generated} cases, {outcome.requests} answers; never with success: {outcome.unreached}")
        if not outcome.generated:
            raise AssertionError("not one case was generated")
        if outcome.failed:
            raise AssertionError(outcome.failed)
        if outcome.server_errors:
            raise AssertionError(f"server errors: {outcome.server_errors}")
        # Deliveries go on for a day: nothing settles, but at every moment the tables are what the log says.
        run.say(f"{await check_tables(service)} events folded again are the tables")


ROWS: Final = (Row("I3", "schemathesis over the API's description, all phases", "own", smoke=1, full=30, own=i3),)
