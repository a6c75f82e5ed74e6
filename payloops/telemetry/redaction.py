"""Keeps secrets, card numbers and e-mail addresses out of logs and spans."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

MASK: Final = "[redacted]"

_SECRET_WORDS: Final = frozenset(
    {
        *("authorization", "apikey", "password", "passwd", "passphrase", "secret", "secrets", "credential"),
        *("credentials", "token", "tokens", "card", "cvc", "cvv", "pan", "cookie", "signature", "jwt", "email"),
    }
)
_SECRET_PAIRS: Final = frozenset({("api", "key"), ("private", "key"), ("encryption", "key"), ("database", "url")})
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")

_DEPTH_MAX: Final = 6
_ITEMS_MAX: Final = 64

_SECRET_TEXT: Final = re.compile(
    r"""
      (?P<scheme>\b(?:Bearer|Basic)\s+) [A-Za-z0-9+/=._~-]{8,}
    | (?P<url>://[^\s:/@]{0,256}:) [^\s@/]{1,512} (?=@)
    | (?P<key>\b(?:sk|rk)_(?:test|live)_) [A-Za-z0-9]{6,}
    | (?P<webhook>\bwhsec_) [A-Za-z0-9+/=_-]{6,}
    | (?P<intent>\b(?:pi|seti)_[A-Za-z0-9]{1,64}_secret_) [A-Za-z0-9]+
    | (?P<jwt>\beyJ) [A-Za-z0-9_-]{6,1024}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*
    | (?P<bcrypt>\$2[aby]\$) \d\d\$[./A-Za-z0-9]{53}
    """,
    re.VERBOSE,
)
# One of these stands in every text that the pattern above matches; looking for them is much cheaper than the pattern.
_SECRET_MARKS: Final = ("Bearer", "Basic", "://", "_test_", "_live_", "whsec_", "_secret_", "eyJ", "$2")
_SECRET_CHARACTERS_MIN: Final = 12
_EMAIL: Final = re.compile(r"(?<![A-Za-z0-9._%+'-])[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_UUID: Final = re.compile(
    r"(?<![A-Za-z0-9])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![A-Za-z0-9])", re.IGNORECASE
)
_DIGIT_GROUPS: Final = re.compile(r"(?<![^\W_])[0-9]+(?:[ -][0-9]+)*(?![^\W_])")

# Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay, Maestro, RuPay, Mir: the ranges of ISO/IEC
# 7812 that the networks publish.
_NETWORK_PREFIX: Final = re.compile(
    r"4|5[0-8]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|220[0-4]|3[47]|30[0-5]|3095|3[689]|352[89]|35[3-8]"
    r"|60|62|6304|64[4-9]|65|67|81|82"
)
_CARD_DIGITS_MIN: Final = 13
_CARD_DIGITS_MAX: Final = 19
_DOUBLED_DIGIT_SUMS: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def contains_card_number(text: str) -> bool:
    """Whether ``text`` holds what reads as a card number (the wire contract, "Raw card numbers are refused").

    That is a Luhn-valid run of 13 to 19 digits with a network's prefix, plain or grouped by single spaces or dashes,
    bounded by non-alphanumerics. Digits inside a UUID do not count.
    """
    return bool(_card_spans(text))


def redact_text(text: str) -> str:
    """``text`` without card numbers, API keys, tokens, passwords in URLs and e-mail addresses."""
    if len(text) >= _SECRET_CHARACTERS_MIN:
        for start, end in reversed(_card_spans(text)):
            text = f"{text[:start]}[card]{text[end:]}"
        if any(mark in text for mark in _SECRET_MARKS):
            text = _SECRET_TEXT.sub(_keep_the_kind, text)
    return _EMAIL.sub("[email]", text) if "@" in text else text


def redact(value: object, *, _depth: int = 0) -> object:
    """A copy of ``value`` fit for a log: secret keys masked, strings redacted, size and depth bounded.

    Mappings and sequences are copied; numbers, booleans and None stay; anything else becomes redacted text.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return redact_text(value)
    if _depth >= _DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): MASK if is_secret_name(str(key)) else redact(item, _depth=_depth + 1)
            for key, item in list(value.items())[:_ITEMS_MAX]
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, _depth=_depth + 1) for item in list(value)[:_ITEMS_MAX]]
    return redact_text(str(value))


@lru_cache(maxsize=2048)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret or personal data, in camelCase, snake_case or Header-Case."""
    words = tuple(word.lower() for word in _WORD.findall(name))
    return not _SECRET_WORDS.isdisjoint(words) or any(pair in _SECRET_PAIRS for pair in itertools.pairwise(words))


def _keep_the_kind(match: re.Match[str]) -> str:
    kind = next(text for text in match.groupdict().values() if text is not None)
    return f"{kind}{MASK}"


def _card_spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    masked = _UUID.sub(lambda match: "x" * len(match[0]), text) if "-" in text else text
    for run in _DIGIT_GROUPS.finditer(masked):
        if run.end() - run.start() < _CARD_DIGITS_MIN:
            continue
        groups = [(group.start() + run.start(), group.end() + run.start()) for group in re.finditer("[0-9]+", run[0])]
        spans.extend(_cards_in(masked, groups))
    return spans


def _cards_in(text: str, groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The cards among consecutive digit groups: a number before or after a card must not hide it.

    ISO/IEC 7812-1, annex B (Luhn): every second digit from the right doubled, digit sums added, a multiple of ten.
    Running sums for both parities make each candidate cost the same, however long the text is.
    """
    digits = "".join(text[begin:end] for begin, end in groups)
    bounds = [0, *itertools.accumulate(end - begin for begin, end in groups)]
    sums = tuple([0, *itertools.accumulate(_luhn_values(digits, parity))] for parity in (0, 1))
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(groups):
        begin = bounds[first]
        last = first if _NETWORK_PREFIX.match(digits, begin) else len(groups)
        while last < len(groups) and (length := bounds[last + 1] - begin) <= _CARD_DIGITS_MAX:
            end = bounds[last + 1]
            if length >= _CARD_DIGITS_MIN and (sums[end % 2][end] - sums[end % 2][begin]) % 10 == 0:
                found.append((groups[first][0], groups[last][1]))
                first = last
                break
            last += 1
        first += 1
    return found


def _luhn_values(digits: str, doubled_parity: int) -> Iterator[int]:
    for place, digit in enumerate(digits):
        yield _DOUBLED_DIGIT_SUMS[int(digit)] if place % 2 == doubled_parity else int(digit)
