"""T1's subject: a relay that hands workflows to a Temporal server, and notes when the server had each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bench import pacing, worker
from bench.samples import Window
from payloops.db import Database
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import Taken, Work
from payloops.workflows_bridge.engines.temporal import TemporalEngine
from payloops.workflows_bridge.relay import Relay
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation


class Noting(TemporalEngine):
    """The real engine, watched."""

    marks: pacing.Marks

    async def start(self, start: StartWorkflow, work: Work) -> Taken:
        taken = await super().start(start, work)
        self.marks.setdefault(work.key, time.monotonic())
        return taken


@asynccontextmanager
async def open_relay(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    database = Database(config["dsn"], application_name="payloops-bench-relay")
    await database.open(wait_s=5.0)
    address = ServerAddress(address=config["address"], namespace=config["namespace"])
    engine = Noting(Preparation(Connection(address, part="bench")))
    engine.marks = {}
    relay = Relay(database, engine, untaken=_nobody)
    await relay.open()

    async def measure(_: Window) -> Mapping[str, Any]:
        marks, engine.marks = engine.marks, {}
        return {"marks": marks}

    try:
        yield measure
    finally:
        await relay.close()
        await database.close()


async def _nobody(signal: SignalWorkflow, work: Work) -> None:
    """There are no signals here."""


if __name__ == "__main__":
    worker.serve(open_relay)
