from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.telemetry import contains_card_number, redact, redact_text
from payloops.telemetry.redaction import MASK, is_secret_name

CARDS = [
    "4242424242424242",
    "4111 1111 1111 1111",
    "4000-0566-5566-5556",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "3782 822463 10005",
    "6011111111111117",
    "30569309025904",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
]


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("around", ["{}", "card {}", "({})", "n={};", "12 {} 34", "id_{}_x", "é {}"])
def test_card_numbers_are_found_and_removed(card: str, around: str) -> None:
    text = around.format(card)
    assert contains_card_number(text)
    assert "[card]" in redact_text(text)
    assert card not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",
        "a4242424242424242",
        "4242424242424242a",
        "4242  4242 4242 4242",
        "4242.4242.4242.4242",
        "424242424242",
        "42424242424242424242424242",
        "1234567890123452",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "41234567-1234-4234-8234-123456789012",
        "4f242424242424242",
        "order 20261124000123",
        "2026-11-25 00:00:18",
        "",
    ],
)
def test_what_is_no_card_number_passes(text: str) -> None:
    assert not contains_card_number(text)
    assert redact_text(text) == text


@given(st.from_regex(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", fullmatch=True))
def test_a_uuid_is_never_a_card_number(text: str) -> None:
    assert not contains_card_number(text)


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("Authorization: Bearer abc.def-ghi", "Bearer", "abc.def"),
        ("connect to postgresql://app:hunter2@db:5432/x", "postgresql://app:", "hunter2"),
        ("key sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_", "4eC39"),
        ("key sk_test_abcdefABCDEF", "sk_test_", "abcdef"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "MfKQ"),
        ("pi_3MtwBw_secret_YrKJUKribcBjcG8HVhfZluoGH", "pi_3MtwBw_secret_", "YrKJ"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJ", "hbGci"),
        ("hash $2b$12$" + "abcdefghij./" * 4 + "abcde", "$2b$", "abcdefghij"),
        ("write to jane.doe+x@mail.example.com now", "now", "jane"),
    ],
)
def test_secrets_and_addresses_are_removed_from_text(text: str, kept: str, gone: str) -> None:
    shown = redact_text(text)
    assert kept in shown
    assert gone not in shown


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-API-Key", "apiKey", "password", "newPassword", "webhook_secret", "clientSecret", "credentials",
     "accessToken", "card", "card_number", "cvc", "Cookie", "Stripe-Signature", "ENCRYPTION_KEY", "customerEmail"],
)  # fmt: skip
def test_fields_of_secret_names_are_masked(name: str) -> None:
    assert is_secret_name(name)
    assert redact({name: "x", "nested": [{name: {"deep": 1}}]}) == {name: MASK, "nested": [{name: MASK}]}


@pytest.mark.parametrize(
    "name", ["orderId", "discarded", "tokenise", "key", "idempotencyKey", "status", "company", "panel"]
)
def test_fields_of_other_names_are_kept(name: str) -> None:
    assert redact({name: "plain"}) == {name: "plain"}


def test_values_are_bounded_and_plain() -> None:
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"a": deep}
    assert str(redact(deep)).count("a") <= 6
    kept = redact(list(range(1000)))
    assert isinstance(kept, list)
    assert len(kept) == 64
    assert redact([math.nan, math.inf, 1.5, None, True, 3]) == ["nan", "inf", 1.5, None, True, 3]
    assert redact({"at": ValueError("sk_test_abcdefgh")}) == {"at": f"sk_test_{MASK}"}


@pytest.mark.parametrize(
    "text", ["4 " * 32_768, "a@" * 32_768, "a" * 65_536 + "@", "pi_" * 20_000, "://" * 20_000, "eyJ" * 20_000]
)
def test_hostile_text_costs_little(text: str) -> None:
    began_s = time.process_time()
    redact_text(text)
    # Far above what linear work needs and far below what quadratic work took.
    assert time.process_time() - began_s < 2
