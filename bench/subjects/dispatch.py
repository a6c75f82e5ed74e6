"""P6's subject: a relay whose engine notes when a workflow was handed to it, and does nothing else.

Answers with what was handed over when since it was last asked.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bench import pacing, worker
from bench.samples import Window
from payloops.db import Database
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import NotTaken, Taken, Work
from payloops.workflows_bridge.relay import Relay


class Noting:
    """An engine that finishes everything at once."""

    def __init__(self) -> None:
        self.marks: pacing.Marks = {}

    async def start(self, start: StartWorkflow, work: Work) -> Taken:  # noqa: ARG002 - the engine's interface
        self.marks.setdefault(work.key, time.monotonic())
        return Taken()

    async def signal(self, signal: SignalWorkflow, work: Work) -> NotTaken:  # noqa: ARG002 - the engine's interface
        return NotTaken("this engine runs nothing")

    async def wake(self, version: int, work: Work) -> Taken:  # noqa: ARG002 - the engine's interface
        return Taken()


@asynccontextmanager
async def open_relay(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    database = Database(config["dsn"], application_name="payloops-bench-relay")
    await database.open(wait_s=5.0)
    engine = Noting()
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
