"""Webhooks are believed when they are signed, and only then: against the standard's library, and by every trick."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from payloops.client.webhooks import SignatureInvalid, verify
from payloops.crypto.webhook_secrets import generate_webhook_secret
from payloops.crypto.webhook_signatures import signed_headers

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of thirty-two byt").decode()
EVENT: dict[str, Any] = {
    "id": "0198c0de-0000-7000-8000-000000000001",
    "eventType": "payment.captured",
    "type": "payment.captured",
    "createdAt": "2026-01-31T11:59:59.000Z",
    "sequence": 2,
    "orderId": None,
    "externalId": "cart-1",
    "amount": 2599,
    "currency": "USD",
    "status": "captured",
    "processor": "stripe",
    "payload": {"note": "é"},
    "data": {"note": "é"},
}
BODY = json.dumps(EVENT, ensure_ascii=False).encode()
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


def headers_of(*secrets: str, body: bytes = BODY, at: datetime = NOW) -> dict[str, str]:
    """As the service makes them."""
    return signed_headers(EVENT["id"], body, secrets=secrets or (SECRET,), now=at)


def only(headers: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in names}


FORMS = {
    "all": lambda headers: headers,
    "standard": lambda headers: only(headers, *STANDARD),
    "own": lambda headers: only(headers, "X-PayLoops-Signature"),
    "loop": lambda headers: only(headers, "X-Loop-Signature"),
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def test_what_the_service_signs_is_believed(form: Any) -> None:
    event = verify(BODY, form(headers_of()), SECRET, now=NOW)
    assert (event.id, event.type, event.sequence, event.amount) == (EVENT["id"], "payment.captured", 2, 2599)
    assert event.created_at == datetime(2026, 1, 31, 11, 59, 59, tzinfo=UTC)
    assert event.payload == {"note": "é"}
    assert (event.order, event.refund, event.dispute, event.session) == (None, None, None, None)


def test_names_of_headers_may_be_in_any_case(form: Any) -> None:
    shouted = {name.upper(): value for name, value in form(headers_of()).items()}
    verify(BODY, shouted, SECRET, now=NOW)


def test_one_of_several_secrets_is_enough(form: Any) -> None:
    verify(BODY, form(headers_of(OTHER)), [SECRET, OTHER], now=NOW)
    with pytest.raises(SignatureInvalid, match="no secret"):
        verify(BODY, form(headers_of(OTHER)), [SECRET], now=NOW)


@pytest.mark.parametrize("secret", ["no prefix", "whsec_not base64", "whsec_c2hvcnQ=", "whsec_é"])
def test_a_secret_of_another_form_is_used_as_it_is(form: Any, secret: str) -> None:
    verify(BODY, form(headers_of(secret)), secret, now=NOW)


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        verify(BODY, headers_of(), SECRET, now=NOW.replace(tzinfo=None))


def test_in_a_rotation_both_secrets_hold() -> None:
    both = headers_of(SECRET, OTHER)
    verify(BODY, both, SECRET, now=NOW)
    verify(BODY, both, OTHER, now=NOW)


@pytest.mark.parametrize(("seconds", "word"), [(-301, "old"), (-300, ""), (300, ""), (301, "future")])
def test_time_is_held_against_both_ends(form: Any, seconds: int, word: str) -> None:
    headers = form(headers_of(at=NOW + timedelta(seconds=seconds)))
    if not word:
        verify(BODY, headers, SECRET, now=NOW)
        return
    with pytest.raises(SignatureInvalid, match=word):
        verify(BODY, headers, SECRET, now=NOW)
    verify(BODY, headers, SECRET, tolerance_s=302, now=NOW)


def test_without_a_time_of_its_own_it_takes_the_clocks(form: Any) -> None:
    verify(BODY, form(headers_of(at=datetime.now(UTC))), SECRET)
    with pytest.raises(SignatureInvalid, match="old"):
        verify(BODY, form(headers_of(at=datetime(2020, 1, 1, tzinfo=UTC))), SECRET)


def test_another_body_is_not_believed(form: Any) -> None:
    headers = form(headers_of())
    for body in (BODY + b" ", BODY.replace(b"2599", b"9599"), b"", BODY[:-1]):
        with pytest.raises(SignatureInvalid):
            verify(body, headers, SECRET, now=NOW)


def test_another_event_id_or_time_is_not_believed() -> None:
    for name, value in (("webhook-id", "msg_other"), ("webhook-timestamp", str(int(NOW.timestamp()) + 1))):
        with pytest.raises(SignatureInvalid, match="no secret"):
            verify(BODY, {**headers_of(), name: value}, SECRET, now=NOW)


@pytest.mark.parametrize("missing", STANDARD)
def test_half_of_the_standards_headers_is_not_made_up_for_by_ours(missing: str) -> None:
    headers = {name: value for name, value in headers_of().items() if name != missing}
    with pytest.raises(SignatureInvalid, match="has all of"):
        verify(BODY, headers, SECRET, now=NOW)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "v1",
        "v1,",
        "v1,AAAA",
        "v2,{good}",
        "{good}",
        "v1,é\u2028\ud800",
        "v1,{good}é",
        "v1a,{good}",
        " ".join(["v1,AAAA"] * 5000),
    ],
)
def test_signatures_that_are_none(value: str) -> None:
    headers = headers_of()
    good = headers["webhook-signature"].removeprefix("v1,")
    with pytest.raises(SignatureInvalid):
        verify(BODY, {**headers, "webhook-signature": value.replace("{good}", good)}, SECRET, now=NOW)


@pytest.mark.parametrize(
    "value", ["", "t=", "v1={mac}", "t={t}", "t={t},v1=", "t={t},v0={mac}", "t={t},t={t},v1={mac}"]
)
def test_own_signatures_that_are_none(value: str) -> None:
    stamp, _, mac = headers_of()["X-PayLoops-Signature"].partition(",v1=")
    header = value.format(t=stamp.removeprefix("t="), mac=mac)
    with pytest.raises(SignatureInvalid):
        verify(BODY, {"X-PayLoops-Signature": header}, SECRET, now=NOW)


@pytest.mark.parametrize("value", ["-1", "1e9", "nan", "inf", "1_0", " 1", "\u0661\u0662", "9" * 400, "0x10", "1.5"])
def test_times_that_are_none(value: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify(BODY, {**headers_of(), "webhook-timestamp": value}, SECRET, now=NOW)
    with pytest.raises(SignatureInvalid):
        verify(BODY, {"X-PayLoops-Signature": f"t={value},v1=00"}, SECRET, now=NOW)


def test_nothing_is_believed_without_a_header() -> None:
    with pytest.raises(SignatureInvalid, match="no signature"):
        verify(BODY, {}, SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", [], [""], [SECRET, ""]])
def test_with_an_empty_secret_anybody_could_sign(secret: Any) -> None:
    with pytest.raises(ValueError, match="secret"):
        verify(BODY, headers_of(), secret, now=NOW)


def test_text_is_not_what_was_signed() -> None:
    with pytest.raises(TypeError, match="bytes"):
        verify(BODY.decode(), headers_of(), SECRET, now=NOW)  # type: ignore[arg-type]


def test_a_signed_body_that_is_no_event() -> None:
    for body in (b"[]", b"{}", b"\xff", b'{"id": 1}'):
        with pytest.raises(SignatureInvalid, match="no event"):
            verify(body, headers_of(body=body), SECRET, now=NOW)


@given(st.binary(min_size=24, max_size=64), st.integers(1, 4_000_000_000))
def test_the_standards_own_library_agrees(key: bytes, second: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    at = datetime.fromtimestamp(second, UTC)
    signature = Webhook(secret).sign("msg_1", at, BODY.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(second), "webhook-signature": signature}
    verify(BODY, headers, secret, now=at)


def test_what_it_believes_the_library_believes() -> None:
    secret = generate_webhook_secret()
    headers = headers_of(secret, at=datetime.now(UTC))
    verify(BODY, headers, secret)
    Webhook(secret).verify(BODY, headers)
