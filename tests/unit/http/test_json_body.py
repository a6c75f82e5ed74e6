"""Strict JSON: the fast way and the exact way agree on everything."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payloops.errors import InvalidJson, RawCardRejected
from payloops.http.json_body import parse

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
)


def has_card_or_nul(text: str) -> bool:
    return "\\u0000" in text or sum(c.isdigit() for c in text) >= 13


@settings(deadline=None)
@given(VALUES, st.booleans())
@example({"a": '":"'}, True)
@example({'"': '""'}, False)
def test_what_is_written_is_read(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if "\\u0000" in text:
        with pytest.raises(InvalidJson):
            parse(text.encode())
        return
    try:
        assert parse(text.encode()) == value
    except RawCardRejected:
        assert has_card_or_nul(text)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=8), SCALARS, SCALARS, st.booleans(), st.integers(0, 3))
def test_a_name_given_twice_is_found_wherever_it_is(
    name: str, first: Any, second: Any, ascii_only: bool, depth: int
) -> None:
    def dumped(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    text = f"{{{dumped(name)}:{dumped(first)},{dumped(name)}:{dumped(second)}}}"
    for _ in range(depth):
        text = f'{{"in":[{text}]}}'
    with pytest.raises(InvalidJson):
        parse(text.encode())


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except (InvalidJson, RawCardRejected):
        return
    orjson.loads(data)


@settings(deadline=None)
@given(st.integers(1, 40), st.sampled_from((("[", "]"), ('{"a":', "}"))))
def test_the_root_counts_as_the_first_of_32_levels(depth: int, brackets: tuple[str, str]) -> None:
    opened, closed = brackets
    text = (opened * (depth - 1) + ("[]" if opened == "[" else "{}") + closed * (depth - 1)).encode()
    if depth <= 32:
        parse(text)
    else:
        with pytest.raises(InvalidJson, match="32 deep"):
            parse(text)


@pytest.mark.parametrize("number", ("18446744073709551616", "-9223372036854775809", "9" * 300, "1e999", "-1e999"))
def test_numbers_that_would_lose_digits_are_refused(number: str) -> None:
    for text in (number, f"[{number}]", f'{{"a":{{"b":{number}}}}}'):
        with pytest.raises(InvalidJson):
            parse(text.encode())


@pytest.mark.parametrize("number", ("18446744073709551615", "-9223372036854775808", "1e300", "1.5", "-0.0", "1e19"))
def test_other_numbers_are_taken(number: str) -> None:
    assert parse(f"[{number}]".encode()) == [json.loads(number)]


def test_the_reason_never_repeats_the_text() -> None:
    for text in (b'{"canary', b'{"canary":1,"canary":2}', b"[canary]", b'"canary\xff"'):
        with pytest.raises(InvalidJson) as refusal:
            parse(text)
        assert "canary" not in refusal.value.message


CARD = "4242 4242 4242 4242"


@pytest.mark.parametrize(
    ("value", "place"),
    (
        ({"description": f"card {CARD}."}, "description"),
        ({"metadata": {"deep": [{}, {"x": CARD}]}}, "metadata.deep.1.x"),
        ({"metadata": {"a b\r\n": CARD}}, "metadata.a?b??"),
        ({"metadata": {"x" * 60: CARD}}, f"metadata.{'x' * 37}..."),
        ({"metadata": {CARD: 1}}, "metadata"),
        ({"metadata": {CARD: {"x": CARD}}}, "metadata"),
        ({CARD: 1}, None),
        ([CARD], "0"),
        (CARD, None),
    ),
)
def test_a_card_numbers_place_is_told_and_the_number_is_not(value: Any, place: str | None) -> None:
    with pytest.raises(RawCardRejected) as raised:
        parse(orjson.dumps(value))
    told = raised.value
    assert told.param == place
    assert told.message.startswith(f"{place or 'The body'} holds a raw card number; ")
    assert "4242" not in f"{told.message}{told.param}{told.details}"


def test_a_card_number_deep_inside_has_a_place_of_bounded_length() -> None:
    value: Any = CARD
    for _ in range(30):
        value = {"n" * 40: value}
    with pytest.raises(RawCardRejected) as raised:
        parse(orjson.dumps(value))
    assert len(raised.value.message) < 200
