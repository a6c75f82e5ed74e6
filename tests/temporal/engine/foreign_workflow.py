"""A workflow of somebody else that calls one activity of ours. It imports nothing of ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy


@workflow.defn(name="Foreign")
class Foreign:
    @workflow.run
    async def run(self, name: str, told: Any) -> Any:
        return await workflow.execute_activity(
            name,
            told,
            task_queue="backend-operations",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=0.1)),
        )
