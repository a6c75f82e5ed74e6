"""Sends a process's metrics to a collector over OTLP/HTTP, on a thread of its own: the event loop never waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from payloops.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

EVERY_S: Final = 15.0
TIMEOUT_S: Final = 2
_NOT_KEPT: Final[Any] = None
"""Optional in the protocol, though not in the SDK's types."""
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE

_log = logging.getLogger(__name__)


class MetricsSender:
    """Sends every EVERY_S seconds, and once more at ``stop``. A collector that is away costs a log line, no more."""

    def __init__(self, metrics: Metrics, endpoint: str, *, service: str, part: str, every_s: float = EVERY_S) -> None:
        self._metrics = metrics
        self._exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=TIMEOUT_S)
        self._resource = Resource.create({"service.name": service, "payloops.part": part})
        self._every_s = every_s
        self._started_ns = time.time_ns()
        self._stopping = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="metrics-sender", daemon=True)

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def stop(self) -> None:
        """Send once more and end, within the exporter's timeout."""
        self._stopping.set()
        self._thread.join(TIMEOUT_S + 1)
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._send()
        self._send()

    def _send(self) -> None:
        try:
            self._exporter.export(self._data())
            self._away = False
        except Exception as problem:  # noqa: BLE001 - metrics that can't be sent are no reason to end anything
            if not self._away:
                _log.warning("metrics were not sent: %s", type(problem).__name__)
            self._away = True

    def _data(self) -> MetricsData:
        now_ns = time.time_ns()
        metrics = [metric for family in self._metrics.collect() if (metric := self._metric(family, now_ns)) is not None]
        scope = ScopeMetrics(InstrumentationScope("payloops"), metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _metric(self, family: Family, now_ns: int) -> Metric | None:
        if not family.samples:
            return None
        if family.type == "histogram":
            points = list(self._histogram_points(family, now_ns))
            return Metric(family.name, family.documentation, None, Histogram(points, _CUMULATIVE))
        numbers = [
            NumberDataPoint(dict(sample.labels), self._started_ns, now_ns, sample.value) for sample in family.samples
        ]
        if family.type == "gauge":
            return Metric(family.name, family.documentation, None, Gauge(numbers))
        return Metric(f"{family.name}_total", family.documentation, None, Sum(numbers, _CUMULATIVE, is_monotonic=True))

    def _histogram_points(self, family: Family, now_ns: int) -> Iterable[HistogramDataPoint]:
        """prometheus_client's samples of one series stand together: the cumulative buckets, the count, the sum."""
        buckets: list[tuple[float, float]] = []
        count = 0.0
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                buckets.append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_count"):
                count = sample.value
            elif sample.name.endswith("_sum"):
                counts = [int(value - before) for (_, value), before in zip(buckets, _before(buckets), strict=True)]
                yield HistogramDataPoint(
                    attributes=dict(sample.labels),
                    start_time_unix_nano=self._started_ns,
                    time_unix_nano=now_ns,
                    count=int(count),
                    sum=sample.value,
                    bucket_counts=counts,
                    explicit_bounds=[bound for bound, _ in buckets[:-1]],
                    min=_NOT_KEPT,
                    max=_NOT_KEPT,
                )
                buckets = []


def _before(buckets: list[tuple[float, float]]) -> list[float]:
    return [0.0, *(value for _, value in buckets[:-1])]
