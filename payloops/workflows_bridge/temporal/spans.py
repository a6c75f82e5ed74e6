"""The SDK's OpenTelemetry interceptor, within this service's traces. Loaded only where a collector is configured."""

from __future__ import annotations

from typing import Any

from temporalio import client, worker
from temporalio.contrib.opentelemetry import TracingInterceptor

from payloops.telemetry import lent_to_opentelemetry


class Spans(TracingInterceptor):
    """Of a client and its workers. Activities have spans of ours (hosting.py), whoever called them."""

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002 - the SDK's
        """See client.Interceptor."""
        return _FromOurs(super().intercept_client(next))

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002 - the SDK's
    ) -> worker.ActivityInboundInterceptor:
        """See worker.Interceptor."""
        return next


class _FromOurs(client.OutboundInterceptor):
    """The spans of what a relay asks the server are children of the row's."""

    async def start_workflow(self, input: client.StartWorkflowInput) -> client.WorkflowHandle[Any, Any]:  # noqa: A002
        with lent_to_opentelemetry():
            return await self.next.start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:  # noqa: A002
        with lent_to_opentelemetry():
            await self.next.signal_workflow(input)
