"""API keys: their form, their hashes, and the memory of verified ones."""

from __future__ import annotations

import re
import string
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payloops.crypto import (
    VerifiedKeyCache,
    generate_api_key,
    hash_secret,
    parse_api_key,
    same_bytes,
    same_text,
    verify_secret,
)

GOLDEN = "sk_test_AbCdEf1234560123456789ABCDEFGHIJKLMNOPQRSTUV4Fvf2R"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def check_digits(body: str) -> str:
    number = zlib.crc32(body.encode())
    return "".join(ALPHABET[number // 62**place % 62] for place in range(5, -1, -1))


def test_golden_key_is_parsed() -> None:
    parsed = parse_api_key(GOLDEN)
    assert parsed is not None
    assert (parsed.public_id, parsed.prefix, parsed.live) == ("AbCdEf123456", "sk_test_AbCdEf123456", False)
    assert GOLDEN[:-6] + check_digits(GOLDEN[:-6]) == GOLDEN


@pytest.mark.parametrize("live", (True, False))
def test_a_new_key_has_the_form_of_the_contract(live: bool) -> None:
    material = generate_api_key(live=live)
    assert re.fullmatch(r"sk_(live|test)_[0-9A-Za-z]{12}[0-9A-Za-z]{32}[0-9A-Za-z]{6}", material.full)
    assert len(material.full.encode()) <= 72
    assert material.full.startswith("sk_live_" if live else "sk_test_")
    assert material.prefix == material.full[:20]
    parsed = parse_api_key(material.full)
    assert parsed is not None
    assert (parsed.full, parsed.public_id, parsed.prefix, parsed.live) == (
        material.full,
        material.public_id,
        material.prefix,
        live,
    )


def test_new_keys_differ() -> None:
    keys = [generate_api_key(live=False) for _ in range(1_000)]
    assert len({key.public_id for key in keys}) == len({key.full for key in keys}) == 1_000


def test_the_secret_is_not_shown() -> None:
    material, parsed = generate_api_key(live=True), parse_api_key(GOLDEN)
    assert material.full[20:] not in f"{material} {material!r}"
    assert GOLDEN[20:] not in f"{parsed} {parsed!r}"


@pytest.mark.parametrize("position", range(len(GOLDEN)))
def test_each_mistyped_character_is_noticed(position: int) -> None:
    for character in {*"aZ9_-\u0661\ud800 \n", GOLDEN[position].swapcase()} - {GOLDEN[position]}:
        assert parse_api_key(GOLDEN[:position] + character + GOLDEN[position + 1 :]) is None


@given(text=st.text())
@example("")
@example(GOLDEN + "\n")
@example("\n" + GOLDEN[:-1])
@example(GOLDEN[:-1])
@example(GOLDEN + "A")
@example("\ud800" * 58)
@example("sk_test_" + "\u0660" * 50)
@example("pk_test_" + GOLDEN[8:-6] + check_digits("pk_test_" + GOLDEN[8:-6]))
@example("x" * 10_000_000)
def test_anything_else_is_refused(text: str) -> None:
    assert parse_api_key(text) is None


@given(tail=st.text(alphabet=ALPHABET, min_size=50, max_size=50), live=st.booleans())
def test_the_right_alphabet_needs_the_right_check_digits(tail: str, live: bool) -> None:
    text = ("sk_live_" if live else "sk_test_") + tail
    assert (parse_api_key(text) is not None) == (text[-6:] == check_digits(text[:-6]))


def test_hash_and_verify() -> None:
    hashed = hash_secret(GOLDEN, cost=4)
    assert hashed.startswith("$2b$04$")
    assert verify_secret(GOLDEN, hashed)
    assert not verify_secret(GOLDEN[:-1] + "S", hashed)
    assert hash_secret(GOLDEN, cost=4) != hashed


@pytest.mark.parametrize("text", ("x" * 73, "é" * 37, "\ud800"))
def test_what_bcrypt_can_not_hash(text: str) -> None:
    with pytest.raises(ValueError, match="at most 72 bytes") as refused:
        hash_secret(text, cost=4)
    assert text not in str(refused.value)
    assert not isinstance(refused.value, UnicodeError)
    assert not verify_secret(text, hash_secret("x" * 72, cost=4))


@pytest.mark.parametrize("hashed", ("", "$2b$", "plain", "$2b$04$é", "$2b$99$" + "." * 53))
def test_a_damaged_hash_verifies_nothing(hashed: str) -> None:
    assert not verify_secret(GOLDEN, hashed)


def test_comparison_takes_any_text() -> None:
    assert same_bytes(b"\xff", b"\xff")
    assert not same_bytes(b"\xff", b"\xfe")
    assert same_text("é\ud800", "é\ud800")
    assert not same_text("é", "e")
    assert not same_text("", "x")


class Ticks:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_verified_key_is_remembered_for_its_lifetime() -> None:
    ticks = Ticks()
    cache = VerifiedKeyCache[str](ttl_s=30, max_entries=10, monotonic_s=ticks)
    assert cache.get(GOLDEN) is None
    cache.put(GOLDEN, "AbCdEf123456", "merchant")
    ticks.now_s += 29.9
    assert cache.get(GOLDEN) == "merchant"
    ticks.now_s += 0.1
    assert cache.get(GOLDEN) is None
    assert len(cache) == 0


def test_a_key_that_differs_in_its_secret_is_another_key() -> None:
    cache = VerifiedKeyCache[str](ttl_s=30, max_entries=10)
    cache.put(GOLDEN, "AbCdEf123456", "merchant")
    assert cache.get(GOLDEN[:-1] + "S") is None
    assert cache.get("\ud800") is None


def test_forgetting_by_public_id() -> None:
    cache = VerifiedKeyCache[str](ttl_s=30, max_entries=10)
    cache.put("key-a", "a", "A")
    cache.put("key-b", "b", "B")
    cache.forget("a")
    cache.forget("unknown")
    assert (cache.get("key-a"), cache.get("key-b")) == (None, "B")
    cache.put("key-b2", "b", "B2")
    assert (cache.get("key-b"), cache.get("key-b2")) == (None, "B2")
    cache.clear()
    assert (cache.get("key-b2"), len(cache)) == (None, 0)


def test_the_least_recently_used_key_leaves_first() -> None:
    cache = VerifiedKeyCache[int](ttl_s=30, max_entries=3)
    for number in range(3):
        cache.put(f"key-{number}", f"id-{number}", number)
    assert cache.get("key-0") == 0
    cache.put("key-3", "id-3", 3)
    assert [cache.get(f"key-{number}") for number in range(4)] == [0, None, 2, 3]
    assert len(cache) == len(cache._by_public_id) == 3


def test_the_cache_holds_no_key_in_clear() -> None:
    cache = VerifiedKeyCache[int](ttl_s=30, max_entries=3)
    cache.put(GOLDEN, "AbCdEf123456", 1)
    assert GOLDEN[20:52] not in f"{cache!r} {cache._entries!r} {cache._by_public_id!r}"


@pytest.mark.parametrize(("ttl_s", "max_entries"), ((0, 1), (-1, 1), (1, 0)))
def test_a_cache_without_room_or_time_is_refused(ttl_s: float, max_entries: int) -> None:
    with pytest.raises(ValueError, match="positive lifetime"):
        VerifiedKeyCache[int](ttl_s=ttl_s, max_entries=max_entries)
