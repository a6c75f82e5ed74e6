"""What the API sees of the workflow engine. It has it do nothing: that is the relay's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from payloops.bootstrap.readiness import embedded_check, temporal_check
from payloops.config import Settings
from payloops.http.services import ReadinessCheck, no_wake


@dataclass(frozen=True, slots=True)
class EngineView:
    """See Services, ``checks`` and ``next_wake``."""

    check: ReadinessCheck
    next_wake: Callable[[Sequence[str]], Awaitable[datetime | None]]


def engine_view(settings: Settings) -> EngineView:
    """Of the engine that the settings name. Raises ConfigurationError."""
    if settings.workflow_engine == "embedded":
        return EngineView(embedded_check, no_wake)
    # Here, so that a process without Temporal does not load its SDK.
    from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
    from payloops.workflows_bridge.temporal.wakes import Wakes

    connection = Connection(ServerAddress.from_settings(settings), part="api")
    return EngineView(lambda: temporal_check(connection), Wakes(connection).first)
