"""Metrics: what a process counts and times, for Prometheus to read and for OTLP to send.

An instrument on a hot path costs a look-up and an addition: there is one writer, the event loop, so there is no lock.
Names and labels of those that the wire contract lists ("Operations") are binding. A label's values come from closed
sets (routes, processors, currencies, types of events), never from a client.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
Saved = list[list[Any]]
"""An instrument's series as JSON: pairs of label values and what was counted."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of the Prometheus text format."""
SERIES_MAX: Final = 5_000
"""Of one instrument; what would be beyond is left out, so that a mistake with a label can't fill the memory."""

REQUEST_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OUTCOME_BOUNDS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Count:
    """A number that only grows."""

    __slots__ = ("_values", "help", "labels", "name")

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:  # noqa: A002 - Prometheus' own word
        self.name, self.help, self.labels = name, help, labels
        self._values: dict[Labels, float] = {}

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count ``amount`` more."""
        values = self._values
        if labels in values:
            values[labels] += amount
        elif len(values) < SERIES_MAX:
            values[labels] = amount

    def snapshot(self) -> Saved:
        """All series as JSON."""
        return [[list(labels), value] for labels, value in list(self._values.items())]

    def merge(self, saved: Saved) -> None:
        """Count what another process counted."""
        for labels, value in saved:
            self.add(tuple(labels), value)

    def family(self) -> Metric:
        """All series as they are now."""
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in list(self._values.items()):
            family.add_metric(labels, value)
        return family


class Level:
    """A number that goes up and down."""

    __slots__ = ("_values", "help", "labels", "name")

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:  # noqa: A002 - Prometheus' own word
        self.name, self.help, self.labels = name, help, labels
        self._values: dict[Labels, float] = {}

    def set(self, value: float, labels: Labels = ()) -> None:
        """What it is now."""
        if labels in self._values or len(self._values) < SERIES_MAX:
            self._values[labels] = value

    def snapshot(self) -> Saved:
        """All series as JSON."""
        return [[list(labels), value] for labels, value in list(self._values.items())]

    def merge(self, saved: Saved) -> None:
        """The higher one stands: what several processes look at is one thing."""
        for labels, value in saved:
            self.set(max(value, self._values.get(tuple(labels), value)), tuple(labels))

    def family(self) -> Metric:
        """All series as they are now."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in list(self._values.items()):
            family.add_metric(labels, value)
        return family


class Distribution:
    """How often which sizes or durations occurred. ``bounds`` are the upper ends of the buckets, in order."""

    __slots__ = ("_series", "bounds", "help", "labels", "name")

    def __init__(self, name: str, help: str, labels: Labels = (), *, bounds: Sequence[float]) -> None:  # noqa: A002 - as above
        self.name, self.help, self.labels, self.bounds = name, help, labels, tuple(bounds)
        self._series: dict[Labels, list[float]] = {}

    def observe(self, value: float, labels: Labels = ()) -> None:
        """It occurred once more."""
        series = self._series.get(labels)
        if series is None:
            if len(self._series) >= SERIES_MAX:
                return
            # The buckets' own counts, one for what is beyond the last bound, and the sum at the end.
            series = self._series[labels] = [0.0] * (len(self.bounds) + 2)
        series[bisect_left(self.bounds, value)] += 1
        series[-1] += value

    def snapshot(self) -> Saved:
        """All series as JSON."""
        return [[list(labels), series.copy()] for labels, series in list(self._series.items())]

    def merge(self, saved: Saved) -> None:
        """Add what another process observed. Series with other buckets (of another release) are left out."""
        for labels, theirs in saved:
            ours = self._series.setdefault(tuple(labels), [0.0] * (len(self.bounds) + 2))
            if len(theirs) == len(ours):
                ours[:] = [one + other for one, other in zip(ours, theirs, strict=True)]

    def family(self) -> Metric:
        """All series as they are now."""
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, series in list(self._series.items()):
            *counts, total = series.copy()
            family.add_metric(labels, _cumulative(self.bounds, counts), total)
        return family


Instrument = Count | Level | Distribution


def _cumulative(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    buckets, below = [], 0.0
    for bound, count in zip((*map(float, bounds), float("inf")), counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), below))
    return buckets


class Metrics(Collector):
    """The instruments of a process."""

    def __init__(self) -> None:
        self.payment_attempts = Count(
            "payment_attempts", "Payment attempts that came to an outcome.", ("processor", "status", "currency")
        )
        self.payment_amount = Count(
            "payment_amount", "Money that was captured, in minor units.", ("processor", "currency")
        )
        self.payment_latency_s = Distribution(
            "payment_latency_seconds",
            "From an attempt's start to its outcome.",
            ("processor", "status"),
            bounds=OUTCOME_BOUNDS_S,
        )
        self.webhook_deliveries = Count(
            "webhook_deliveries", "Attempts to deliver a webhook.", ("event_type", "status")
        )
        self.webhook_latency_s = Distribution(
            "webhook_latency_seconds",
            "From a public event to a receiver's success.",
            ("event_type",),
            bounds=OUTCOME_BOUNDS_S,
        )
        self.processor_events = Count(
            "processor_events", "Events of processors, by what became of them.", ("processor", "status")
        )
        self.http_requests = Count("http_requests", "Requests that were answered.", ("method", "route", "status"))
        self.http_duration_s = Distribution(
            "http_request_duration_seconds",
            "From the request's head to the reply.",
            ("method", "route"),
            bounds=REQUEST_BOUNDS_S,
        )
        self.append_duration_s = Distribution(
            "append_batch_duration_seconds", "One round trip of the append path.", bounds=REQUEST_BOUNDS_S
        )
        self.append_commands = Distribution(
            "append_batch_commands", "Commands that went in one batch.", bounds=BATCH_BOUNDS
        )
        self.append_queue = Level("append_queue_commands", "Commands that wait for a commit.")
        self.outbox_rows = Count("outbox_rows", "Outbox rows, by what a relay made of them.", ("kind", "outcome"))
        self.outbox_dispatch_s = Distribution(
            "outbox_dispatch_delay_seconds",
            "From an outbox row's due time to a relay's hand.",
            ("kind",),
            bounds=REQUEST_BOUNDS_S,
        )
        self.outbox_due = Level("outbox_due_rows", "Outbox rows that are due.")
        self.outbox_lag_s = Level("outbox_lag_seconds", "How long the first due outbox row has waited.")
        self.outbox_parked = Level("outbox_parked_rows", "Outbox rows that wait for a person.")
        self.projection_lag = Level(
            "projection_lag_events", "Events that a read table is behind the log.", ("projection",)
        )
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """All of them."""
        return tuple(value for value in vars(self).values() if isinstance(value, Instrument))

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client: every instrument's series as they are now."""
        for instrument in self.instruments:
            yield instrument.family()

    def snapshot(self) -> dict[str, Saved]:
        """All series as JSON, by instrument."""
        return {instrument.name: saved for instrument in self.instruments if (saved := instrument.snapshot())}

    def merge(self, snapshot: Mapping[str, Saved], *, levels: bool) -> None:
        """Add another process's; ``levels`` only of one that lives."""
        for instrument in self.instruments:
            if levels or not isinstance(instrument, Level):
                instrument.merge(snapshot.get(instrument.name, []))

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


METRICS: Final = Metrics()
"""This process's: it has one, as it has one logging configuration."""
