"""Starts and stops what a process says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from payloops.config import Settings
from payloops.errors import ConfigurationError
from payloops.telemetry.logs import configure_logging
from payloops.telemetry.metrics import METRICS
from payloops.telemetry.tracing import record_spans, stop_recording

METRICS_PORTS: Final[Mapping[str, int]] = {"relay": 0, "worker": 1}
"""What is added to METRICS_PORT, by part: both may run on one machine. The API shows its own on its own port."""
UNMEASURED: Final = frozenset({"sandbox"})


class Telemetry:
    """What :func:`start` set up."""

    def __init__(self) -> None:
        self._at_the_end: list[Callable[[], object]] = []

    def and_at_the_end(self, do: Callable[[], object]) -> None:
        """One more thing to do at ``stop``."""
        self._at_the_end.append(do)

    def stop(self) -> None:
        """Send what is still queued, within a few seconds."""
        while self._at_the_end:
            self._at_the_end.pop()()


def start(settings: Settings, part: str) -> Telemetry:
    """Logging for one process; ``part`` is api or relay, say. Spans and metrics where the settings want them.

    :raises ConfigurationError: METRICS_PORT is taken.
    """
    configure_logging(service=settings.otel_service_name, level=settings.log_level, style=settings.log_format)
    telemetry = Telemetry()
    if settings.metrics_port and part in METRICS_PORTS:
        telemetry.and_at_the_end(_show_metrics(settings, settings.metrics_port + METRICS_PORTS[part]))
    if settings.otel_endpoint and part not in UNMEASURED:
        provider = record_spans(settings.otel_endpoint, service=settings.otel_service_name, part=part)
        telemetry.and_at_the_end(lambda: stop_recording(provider))
        telemetry.and_at_the_end(_send_metrics(settings, part))
    return telemetry


def _send_metrics(settings: Settings, part: str) -> Callable[[], object]:
    from payloops.telemetry.otlp_metrics import MetricsSender  # noqa: PLC0415 - only where a collector is configured

    sender = MetricsSender(METRICS, settings.otel_endpoint, service=settings.otel_service_name, part=part)
    sender.start()
    return sender.stop


def _show_metrics(settings: Settings, port: int) -> Callable[[], object]:
    from prometheus_client import start_http_server  # noqa: PLC0415 - brings a web server

    try:
        server, thread = start_http_server(port, addr=settings.host, registry=METRICS.registry)
    except OSError as problem:
        raise ConfigurationError(
            f"METRICS_PORT {port} on {settings.host} can't be used: {problem.strerror}", param="METRICS_PORT"
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
