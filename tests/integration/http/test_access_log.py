"""What the log says of a request that was refused, over HTTP."""

from __future__ import annotations

import logging

import pytest

from tests.integration.http.world import Api

NAME = "payloops.http.access"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Before the application is made: it looks once whether anybody listens."""
    caplog.set_level(logging.INFO, NAME)
    return caplog


async def test_a_refusal_is_logged_with_the_code_that_the_client_saw(lines: pytest.LogCaptureFixture, api: Api) -> None:
    refused = await api.call("GET", "/v1/orders")
    missing = await api.call("GET", "/nowhere")
    logged = [
        (record.__dict__["status"], record.__dict__.get("errorCode")) for record in lines.records if record.name == NAME
    ]
    assert logged == [(401, refused.code), (404, missing.code)]
