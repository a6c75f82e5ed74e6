"""Signatures of outbound webhooks, verified by others' code and by a receiver written from the wire contract alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from payloops.crypto.webhook_signatures import signed_headers, standard_key

EVENT = "0192f0c1-6d5f-7a3e-8a1b-0123456789ab"
OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = '{"id":"0192f0c1","name":"Zoë"}'.encode()
GOLDEN_HEX = "0e65e0d2b13d273f0d2b909018878f269afe1e85b00b53713504daf8b7446a7e"
GOLDEN_STANDARD = "v1,002869fvQRrJivvk+hIpvdH+pzBklZwiSe4jsWmYhx4="
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def now() -> datetime:
    return datetime.now(UTC)


def verify_as_the_sdk_does(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """`t=<ms>,v1=<hex>`: HMAC-SHA256 with the whole secret string over `<ms>.<body>`."""
    parts = dict(part.split("=", 1) for part in headers["X-Loop-Signature"].split(","))
    expected = hmac.new(secret.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256).hexdigest()
    return set(parts) == {"t", "v1"} and hmac.compare_digest(expected, parts["v1"])


def test_golden() -> None:
    assert signed_headers(EVENT, b'{"a":1}', secrets=[NEW], now=AT) == {
        "X-Loop-Event-Id": EVENT,
        "X-Loop-Timestamp": "1767323045678",
        "X-Loop-Signature": f"t=1767323045678,v1={GOLDEN_HEX}",
        "X-PayLoops-Signature": f"t=1767323045678,v1={GOLDEN_HEX}",
        "webhook-id": EVENT,
        "webhook-timestamp": "1767323045",
        "webhook-signature": GOLDEN_STANDARD,
    }


def test_the_sdks_way() -> None:
    headers = signed_headers(EVENT, BODY, secrets=[NEW, OLD], now=now())
    assert verify_as_the_sdk_does(headers, BODY, NEW)
    assert not verify_as_the_sdk_does(headers, BODY, OLD)
    assert not verify_as_the_sdk_does(headers, BODY + b" ", NEW)
    assert headers["X-PayLoops-Signature"] == headers["X-Loop-Signature"]
    assert headers["X-Loop-Event-Id"] == headers["webhook-id"] == EVENT


@pytest.mark.parametrize("secret", (OLD, NEW))
def test_standard_webhooks_with_either_live_secret(secret: str) -> None:
    headers = signed_headers(EVENT, BODY, secrets=[NEW, OLD], now=now())
    assert Webhook(secret).verify(BODY, headers) == {"id": "0192f0c1", "name": "Zoë"}


def test_standard_webhooks_refuses_what_was_changed() -> None:
    headers = signed_headers(EVENT, BODY, secrets=[NEW], now=now())
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    for body, secret, changed in (
        (BODY + b" ", NEW, {}),
        (BODY, other, {}),
        (BODY, NEW, {"webhook-id": "another"}),
        (BODY, NEW, {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, {**headers, **changed})


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200).filter(_is_text))
def test_any_secret_and_body(key: bytes, body: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = signed_headers(EVENT, body, secrets=[secret], now=now())
    Webhook(secret).verify(body, headers, json_parse=False)
    assert verify_as_the_sdk_does(headers, body, secret)


@pytest.mark.parametrize("secret", ("plain words", "whsec_not base64!", "whsec_" + base64.b64encode(b"short").decode()))
def test_a_secret_of_another_form_is_used_as_it_is(secret: str) -> None:
    assert standard_key(secret) == secret.encode()
    headers = signed_headers(EVENT, BODY, secrets=[secret], now=now())
    Webhook(secret.encode()).verify(BODY, headers)


def test_no_secret() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        signed_headers(EVENT, BODY, secrets=[], now=AT)
