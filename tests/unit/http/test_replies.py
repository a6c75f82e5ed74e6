"""Headers that every reply has, and who of other origins may read it."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from payloops.config import Settings
from payloops.http.message import Reply, Request
from payloops.http.replies import Replies

ORIGIN = "https://app.example.com"
PRODUCTION = {
    "PAYLOOPS_ENV": "production",
    "PUBLIC_URL": "https://pay.example.com",
    "DATABASE_URL": "postgresql://u@localhost/d",
    "JWT_SECRET": "qV8w!zR3nT7pLk2xYb9dGh5sJm4fCa6e",
    "ENCRYPTION_KEY": "Zx3cVb7nMq1wEr5tYu9iOp2aSd6fGh4j",
    "TEMPORAL_ADDRESS": "localhost:7233",
}


def lines(reply: Reply, settings: Settings, **headers: str) -> list[str]:
    sent = CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    request = Request("GET", "/v1/orders", sent, peer="127.0.0.1", started_at_s=0.0)
    request.correlation_id = "c-1"
    return Replies(settings).write(reply, request, close=False).decode().split("\r\n")


@pytest.mark.parametrize("reply", (Reply(200, b"{}"), Reply(204), Reply(429, b"{}"), Reply(500, b"{}")))
def test_every_reply_is_private_and_nobodys_frame(reply: Reply) -> None:
    for wanted in (
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Referrer-Policy: no-referrer",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
    ):
        assert lines(reply, Settings.from_env({})).count(wanted) == 1


def test_production_is_https_for_good() -> None:
    hsts = "Strict-Transport-Security: max-age=31536000; includeSubDomains"
    assert hsts in lines(Reply(200, b"{}"), Settings.from_env(PRODUCTION))
    assert hsts not in lines(Reply(200, b"{}"), Settings.from_env({}))


@pytest.mark.parametrize(
    "foreign",
    (
        *("null", "", "*", "https://evil.example", "http://app.example.com", "https://app.example.com:8443"),
        *("https://app.example.com.evil.example", "https://evilapp.example.com", "https://app.example.com/"),
        *("https://APP.example.com", "https://app.example.com https://evil.example", "https://app.example.com."),
    ),
)
def test_only_our_origins_may_read_by_name_and_what_they_may(foreign: str) -> None:
    settings = Settings.from_env({"CORS_ORIGINS": ORIGIN})
    reply = Reply(200, b"{}")
    ours = lines(reply, settings, Origin=ORIGIN)
    assert f"Access-Control-Allow-Origin: {ORIGIN}" in ours
    (exposed,) = [line for line in ours if line.startswith("Access-Control-Expose-Headers: ")]
    names = set(exposed.partition(": ")[2].split(", "))
    assert names >= {"X-Correlation-ID", "ETag", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After"}
    theirs = lines(reply, settings, Origin=foreign)
    assert [line for line in theirs if line.startswith("Access-Control")] == []
    for each in (ours, theirs, lines(reply, settings)):
        assert "Vary: Origin" in each
    assert not [line for line in ours if line.startswith("Access-Control-Allow-Credentials")]
