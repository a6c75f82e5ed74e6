from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from payloops import telemetry
from payloops.config import Settings
from payloops.telemetry import TraceContext, current_trace, span, trace_scope, traceparent

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def _untouched_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("payloops.telemetry.process.configure_logging", lambda **_: None)
    return iter(())


def test_a_traceparent_is_read_and_written() -> None:
    context = TraceContext.parse(HEADER)
    assert context == TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
    assert context.header == HEADER


def test_a_later_version_may_say_more() -> None:
    assert TraceContext.parse("01" + HEADER[2:] + "-extra") is not None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        HEADER + "-extra",
        "ff" + HEADER[2:],
        HEADER.upper(),
        HEADER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        HEADER.replace("b7ad6b7169203331", "0" * 16),
        HEADER[:-1],
        HEADER + "\n" + HEADER,
        "01" + HEADER[2:] + "-" + "x" * 1000,
    ],
)
def test_a_malformed_traceparent_is_ignored(header: str | None) -> None:
    assert TraceContext.parse(header) is None


def test_without_a_collector_the_context_still_travels() -> None:
    assert traceparent() is None
    with trace_scope(TraceContext.parse(HEADER)), span("step") as step:
        step.set("name", "value")
        assert traceparent() == HEADER
    with trace_scope(None) as begun:
        assert begun is not None
        assert not begun.sampled
        assert TraceContext.parse(traceparent()) == begun
    assert current_trace() is None


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[WireSpan]]]:
    received: list[WireSpan] = []

    async def take(request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest()
        body = await request.read()
        message.ParseFromString(body)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                received.extend(scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}", received
    await runner.cleanup()


def fail_inside_a_span() -> None:
    with span("inner") as inner:
        inner.set("key", "sk_live_canarycanary")
        raise RuntimeError("whsec_canarycanary")


@pytest.mark.usefixtures("_untouched_logging")
async def test_with_a_collector_spans_are_sent_without_secrets() -> None:
    async with collector() as (url, received):
        reporting = telemetry.start(Settings.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": url}), "test")
        parent = TraceContext.parse(HEADER)
        assert parent is not None
        with trace_scope(parent), span("outer", kind="server", attributes={"http.route": "/v1/orders", "n": 1}):
            inside = current_trace()
            assert inside is not None
            assert inside.trace_id == parent.trace_id
            assert inside.span_id != parent.span_id
            with pytest.raises(RuntimeError):
                fail_inside_a_span()
        with trace_scope(None), span("root"):
            assert current_trace() is not None
        await asyncio.to_thread(reporting.stop)
    by_name = {one.name: one for one in received}
    assert set(by_name) == {"outer", "inner", "root"}
    assert by_name["outer"].parent_span_id.hex() == parent.span_id
    assert by_name["inner"].parent_span_id == by_name["outer"].span_id
    assert not by_name["root"].parent_span_id
    assert "canary" not in str(received)
    with span("after the stop") as after:
        after.set("n", 1)
