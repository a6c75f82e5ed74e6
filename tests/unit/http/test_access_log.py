"""Few requests: a line each. Many: the failed and the slow ones, and how many more there were."""

from __future__ import annotations

import json
import logging

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from payloops.http.access_log import LINES_PER_S, SLOW_S, URGENT_LINES_PER_S, AccessLog
from payloops.http.message import Request
from payloops.telemetry.logs import JsonFormatter

NAME = "payloops.http.access"


def request(started_at_s: float = 0.0) -> Request:
    return Request("GET", "/v1/orders?secret=1", CIMultiDictProxy(CIMultiDict()), peer="", started_at_s=started_at_s)


def test_each_of_a_few_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    log = AccessLog()
    log.note(request(99.9), 201, 100.0)
    (line,) = caplog.records
    assert line.getMessage() == "GET (no route) 201"
    assert (line.__dict__["status"], line.__dict__["durationMs"]) == (201, 100.0)
    assert "secret" not in caplog.text


def test_the_line_of_a_refusal_has_its_code(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    refused, answered = request(100.0), request(100.0)
    refused.error_code = "insufficient_scope"
    log = AccessLog()
    log.note(refused, 403, 100.0)
    log.note(answered, 200, 100.0)
    assert [record.__dict__.get("errorCode") for record in caplog.records] == ["insufficient_scope", None]
    assert json.loads(JsonFormatter("api").format(caplog.records[0]))["errorCode"] == "insufficient_scope"


def test_the_rest_of_many_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    log = AccessLog()
    for _ in range(LINES_PER_S + 500):
        log.note(request(100.0), 200, 100.0)
    for _ in range(3):
        log.note(request(100.0), 503, 100.5)
    log.note(request(100.9), 200, 101.0)
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("GET (no route) 200") == LINES_PER_S + 1
    assert messages.count("GET (no route) 503") == 3
    assert "500 more requests in that second" in messages


def test_failures_are_bounded_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    log = AccessLog()
    for _ in range(URGENT_LINES_PER_S + 7):
        log.note(request(100.0 - SLOW_S - 1), 200, 100.0)
    log.note(request(101.0), 200, 101.0)
    assert "7 more requests in that second" in [record.getMessage() for record in caplog.records]
    assert len(caplog.records) == URGENT_LINES_PER_S + 2


def test_nothing_is_counted_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, NAME)
    log = AccessLog()
    for second in range(100):
        log.note(request(second), 500, second)
    assert not caplog.records
