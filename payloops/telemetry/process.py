"""Starts and stops what a process says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payloops.config import Settings
from payloops.telemetry.logs import configure_logging
from payloops.telemetry.tracing import record_spans, stop_recording

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


@dataclass(frozen=True)
class Telemetry:
    """What :func:`start` set up."""

    _provider: TracerProvider | None

    def stop(self) -> None:
        """Send what is still queued, for at most two seconds."""
        if self._provider is not None:
            stop_recording(self._provider)


def start(settings: Settings, part: str) -> Telemetry:
    """Logging, and spans where OTEL_EXPORTER_OTLP_ENDPOINT is set, for one process; ``part`` is api or relay, say."""
    configure_logging(service=settings.otel_service_name, level=settings.log_level, style=settings.log_format)
    if not settings.otel_endpoint:
        return Telemetry(None)
    return Telemetry(record_spans(settings.otel_endpoint, service=settings.otel_service_name, part=part))
