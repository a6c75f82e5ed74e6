"""Instruments, and what becomes of them in Prometheus' format and over OTLP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from payloops.telemetry import metrics as module
from payloops.telemetry.metrics import Count, Metrics
from payloops.telemetry.otlp_metrics import MetricsSender


def read(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples, as Prometheus' own parser reads them."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_count_grows_by_series() -> None:
    metrics = Metrics()
    metrics.payment_attempts.add(("stripe", "captured", "USD"))
    metrics.payment_attempts.add(("stripe", "captured", "USD"))
    metrics.payment_amount.add(("stripe", "USD"), 4999)
    found = read(metrics)
    labels = (("currency", "USD"), ("processor", "stripe"), ("status", "captured"))
    assert found["payment_attempts_total", labels] == 2
    assert found["payment_amount_total", (("currency", "USD"), ("processor", "stripe"))] == 4999


def test_a_distribution_is_cumulative_and_a_value_on_a_bound_is_within_it() -> None:
    metrics = Metrics()
    for value_s in (0.001, 0.0011, 99.0):
        metrics.http_duration_s.observe(value_s, ("GET", "/v1/orders"))
    found = read(metrics)
    series = (("method", "GET"), ("route", "/v1/orders"))
    buckets = {dict(labels)["le"]: count for (name, labels), count in found.items() if name.endswith("seconds_bucket")}
    assert (buckets["0.001"], buckets["0.0025"], buckets["30.0"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert found["http_request_duration_seconds_count", series] == 3
    assert found["http_request_duration_seconds_sum", series] == pytest.approx(99.0021)


def test_labels_are_escaped() -> None:
    metrics = Metrics()
    metrics.http_requests.add(("GET", 'a"b\\c\nd', "200"))
    assert [dict(labels)["route"] for _, labels in read(metrics) if len(labels) == 3] == ['a"b\\c\nd']


def test_series_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERIES_MAX", 2)
    count = Count("things", "Things.", ("which",))
    for which in "abc":
        count.add((which,))
    count.add(("a",))
    assert {sample.labels["which"]: sample.value for sample in count.family().samples} == {"a": 2, "b": 1}


def test_a_collector_gets_everything_at_the_end() -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        metrics = Metrics()
        metrics.payment_attempts.add(("stripe", "failed", "EUR"))
        metrics.append_commands.observe(3)
        metrics.outbox_due.set(7)
        sender = MetricsSender(
            metrics, f"http://127.0.0.1:{server.server_port}", service="loop-backend", part="relay", every_s=3600
        )
        sender.start()
        sender.stop()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    ((path, body),) = received
    assert path == "/v1/metrics"
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["payloops.part"] == "relay"
    by_name = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert by_name["payment_attempts_total"].sum.is_monotonic
    assert by_name["payment_attempts_total"].sum.data_points[0].as_int == 1
    (point,) = by_name["append_batch_commands"].histogram.data_points
    assert (point.count, point.sum, list(point.bucket_counts)[:4]) == (1, 3, [0, 0, 1, 0])
    assert by_name["outbox_due_rows"].gauge.data_points[0].as_int == 7


def test_a_collector_that_is_away_ends_nothing() -> None:
    sender = MetricsSender(Metrics(), "http://127.0.0.1:9", service="loop-backend", part="api", every_s=3600)
    sender.start()
    sender.stop()
