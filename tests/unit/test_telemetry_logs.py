from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from payloops.telemetry import TraceContext, correlation_scope, trace_scope
from payloops.telemetry.correlation import accept_correlation_id
from payloops.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(capture=False)


def configured(style: Literal["auto", "json", "console"], level: Literal["debug", "info"] = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(service="loop-backend", level=level, style=style, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_what_and_for_whom() -> None:
    stream = configured("json")
    trace = TraceContext.new()
    with correlation_scope("req-1"), trace_scope(trace):
        logging.getLogger("payloops.x").warning("order %s failed", "o-1", extra={"orderId": "o-1", "attempts": 3})
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "payloops.x",
        "message": "order o-1 failed",
        "service": "loop-backend",
        "correlationId": "req-1",
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "orderId": "o-1",
        "attempts": 3,
    }


@pytest.mark.parametrize(
    "hostile", ['x\n{"level":"info"}', "x\r\ny", "x\u2028y", "x\x85y", "x\x1b[2Jy", "x\ud800y", "x\x00y", '"']
)
def test_no_value_can_forge_a_line(hostile: str) -> None:
    for style in ("json", "console"):
        stream = configured(style)
        logging.getLogger("a").info("said %s", hostile, extra={"field": hostile, hostile: "key"})
        text = stream.getvalue()
        assert len(text.splitlines()) == 1
        assert "\x1b" not in text
        text.encode()
    assert lines_of_json_roundtrip(hostile) == f"said {hostile}"


def lines_of_json_roundtrip(hostile: str) -> str:
    stream = configured("json")
    logging.getLogger("a").info("said %s", hostile)
    return str(lines(stream)[0]["message"])


def test_extra_fields_cannot_replace_ours() -> None:
    stream = configured("json")
    with correlation_scope("mine"):
        logging.getLogger("a").info("x", extra={"correlationId": "forged", "level": "forged", "service": "forged"})
    (line,) = lines(stream)
    assert (line["correlationId"], line["level"], line["service"]) == ("mine", "info", "loop-backend")


def test_secrets_are_kept_out_of_messages_fields_and_tracebacks() -> None:
    for style in ("json", "console"):
        stream = configured(style)
        try:
            raise RuntimeError("refused sk_live_canaryCANARY for 4242 4242 4242 4242")
        except RuntimeError:
            logging.getLogger("a").exception(
                "with %s", "whsec_canarycanary", extra={"password": "hunter2", "headers": {"X-Api-Key": "canary"}}
            )
        text = stream.getvalue()
        for secret in ("canary", "CANARY", "hunter2", "4242"):
            assert secret not in text
        assert "RuntimeError" in text


def test_a_broken_format_is_still_a_line() -> None:
    stream = configured("json")
    logging.getLogger("a").info("%d apples", "many")
    assert lines(stream)[0]["message"] == "%d apples (its arguments do not fit)"


def test_lines_are_bounded() -> None:
    stream = configured("json")
    logging.getLogger("a").info("%s", "x" * 100_000)
    assert len(stream.getvalue()) < 10_000


def test_console_lines_are_for_people() -> None:
    stream = configured("console")
    with correlation_scope("req-1"):
        logging.getLogger("a").info("taken", extra={"orderId": "o-1"})
    assert stream.getvalue().endswith("INFO    taken orderId=o-1 correlationId=req-1\n")


def test_json_is_the_choice_where_there_is_no_terminal() -> None:
    stream = configured("auto")
    logging.getLogger("a").info("x")
    assert lines(stream)


def test_levels_and_the_quiet_of_libraries() -> None:
    stream = configured("json")
    logging.getLogger("a").debug("unseen")
    logging.getLogger("psycopg.pool").info("unseen")
    logging.getLogger("psycopg.pool").warning("seen")
    assert [line["message"] for line in lines(stream)] == ["seen"]


def test_warnings_become_lines() -> None:
    stream = configured("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        configure_logging(service="x", level="info", style="json", stream=stream)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "old way" in lines(stream)[0]["message"]


@pytest.mark.parametrize("candidate", ["a", "A-1_b.c", "x" * 128])
def test_a_good_correlation_id_is_kept(candidate: str) -> None:
    assert accept_correlation_id(candidate) == candidate


@pytest.mark.parametrize("candidate", [None, "", "x" * 129, "a b", "a\n", "é", "٣", "a;b"])
def test_any_other_correlation_id_is_replaced(candidate: str | None) -> None:
    made = accept_correlation_id(candidate)
    assert made != candidate
    assert accept_correlation_id(made) == made
