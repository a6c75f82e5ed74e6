"""The T rows' baseline: a workflow as the SDK's first example has it, of a payment's shape, and nothing around it.

Two activities: one request that creates a payment at the sandbox, one row committed to Postgres. ``role`` is ``worker``
(hosts it) or ``caller``: with ``per_s`` it starts so many a second and times the server's answer, else ``callers`` wait
for results, each starting its next when its last one ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    import aiohttp
    from temporalio.client import Client
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker

    from bench import closed_loop, pacing, worker
    from bench.samples import Window, from_latencies
    from payloops.db import Database

QUEUE = "bare"
_CREATE = "CREATE TABLE IF NOT EXISTS bench_payments (id text PRIMARY KEY)"
_INSERT = "INSERT INTO bench_payments VALUES (%s)"


@workflow.defn(name="Bare")
class Bare:
    @workflow.run
    async def run(self, told: dict[str, Any]) -> str:
        within = timedelta(seconds=30)
        paid = await workflow.execute_activity("charge", told, start_to_close_timeout=within, result_type=str)
        await workflow.execute_activity("record", paid, start_to_close_timeout=within)
        return str(paid)


class Activities:
    """A session to the sandbox and a pool to the database."""

    def __init__(self, url: str, http: aiohttp.ClientSession, database: Database) -> None:
        self._url = url
        self._http = http
        self._database = database

    @activity.defn
    async def charge(self, told: dict[str, Any]) -> str:
        headers = {"Authorization": "Bearer sk_test_benchbare", "Idempotency-Key": str(told["id"])}
        payment = {"amount": "4999", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
        async with self._http.post(f"{self._url}/v1/payment_intents", headers=headers, data=payment) as response:
            return str((await response.json())["id"])

    @activity.defn
    async def record(self, paid: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_INSERT, (paid,), prepare=True)


@asynccontextmanager
async def open_role(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    client = await Client.connect(config["address"], namespace=config["namespace"])
    if config["role"] == "worker":
        async with _hosting(client, config):
            yield _nothing
    else:
        yield _caller(client, config)


@asynccontextmanager
async def _hosting(client: Client, config: dict[str, Any]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        database = Database(config["dsn"], max_size=8, application_name="payloops-bench-bare")
        await database.open(wait_s=5.0)
        stack.push_async_callback(database.close)
        owner = Database(config["owner_dsn"], max_size=1, application_name="payloops-bench-bare")
        await owner.open(wait_s=5.0)
        async with owner.connection() as connection:
            await connection.execute(_CREATE)
            await connection.execute("GRANT INSERT ON bench_payments TO PUBLIC")
        await owner.close()
        activities = Activities(config["sandbox"], http, database)
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=QUEUE,
                workflows=[Bare],
                activities=[activities.charge, activities.record],
                # Nothing is cheaper: the sandbox would load this module anew for each workflow.
                workflow_runner=UnsandboxedWorkflowRunner(),
                build_id="bench",
            )
        )
        yield


def _caller(client: Client, config: dict[str, Any]) -> worker.Measure:
    def told() -> tuple[str, dict[str, Any]]:
        name = str(uuid4())
        return name, {"id": name, "amount": 4999, "currency": "USD"}

    async def start() -> str:
        name, payment = told()
        await client.start_workflow("Bare", payment, id=name, task_queue=QUEUE)
        return name

    async def execute() -> None:
        name, payment = told()
        await client.execute_workflow("Bare", payment, id=name, task_queue=QUEUE, result_type=str)

    async def measure_starts(window: Window) -> Mapping[str, Any]:
        ended: pacing.Marks = {}

        async def one() -> str:
            name = await start()
            ended[name] = time.monotonic()
            return name

        started, begin_s = await pacing.run(one, config["per_s"], window)
        latencies = [ended[name] - at_s for name, at_s in started.items() if at_s >= begin_s]
        return from_latencies(latencies, window.seconds).to_json()

    async def measure_results(window: Window) -> Mapping[str, Any]:
        return (await closed_loop.run(execute, config["callers"], window)).to_json()

    return measure_starts if "per_s" in config else measure_results


async def _nothing(_: Window) -> Mapping[str, Any]:
    return {}


if __name__ == "__main__":
    worker.serve(open_role)
