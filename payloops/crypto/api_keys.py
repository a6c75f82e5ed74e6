"""The form of an API key: ``sk_test_`` or ``sk_live_``, 12 characters of public id, 32 of secret, 6 of check digits.

All 50 are base62. The public id finds the row, the secret (190 bits) proves the right, and the check digits (CRC-32
of everything before them) let a mistyped or invented key be refused before any hash or query. They are no
protection: anyone can compute them.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Final

PREFIX_TEST: Final = "sk_test_"
PREFIX_LIVE: Final = "sk_live_"
PUBLIC_ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 32
CHECK_LENGTH: Final = 6
KEY_LENGTH: Final = len(PREFIX_TEST) + PUBLIC_ID_LENGTH + SECRET_LENGTH + CHECK_LENGTH
"""58 characters, all ASCII: below bcrypt's limit of 72 bytes."""

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM: Final = re.compile(
    rf"(?P<mode>sk_test_|sk_live_)(?P<public_id>[0-9A-Za-z]{{{PUBLIC_ID_LENGTH}}})"
    rf"[0-9A-Za-z]{{{SECRET_LENGTH}}}(?P<check>[0-9A-Za-z]{{{CHECK_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKeyMaterial:
    """A new key. ``full`` is shown once and stored only as a hash; ``prefix`` is what lists show."""

    full: str = field(repr=False)
    public_id: str
    prefix: str
    live: bool


@dataclass(frozen=True, slots=True)
class ParsedApiKey:
    """A key of the right form; whether it exists and its secret holds is another question."""

    full: str = field(repr=False)
    public_id: str
    prefix: str
    live: bool


def generate_api_key(*, live: bool) -> ApiKeyMaterial:
    """A fresh random key of the given mode."""
    mode = PREFIX_LIVE if live else PREFIX_TEST
    public_id = _random_text(PUBLIC_ID_LENGTH)
    body = f"{mode}{public_id}{_random_text(SECRET_LENGTH)}"
    return ApiKeyMaterial(full=body + _check_digits(body), public_id=public_id, prefix=mode + public_id, live=live)


def parse_api_key(text: str) -> ParsedApiKey | None:
    """The parts of a key, or None for text of any length or content that is not one.

    The work is bounded by ``KEY_LENGTH``, whatever is sent.
    """
    if len(text) != KEY_LENGTH or not text.isascii():
        return None
    match = _FORM.fullmatch(text)
    if match is None or match["check"] != _check_digits(text[:-CHECK_LENGTH]):
        return None
    public_id = match["public_id"]
    return ParsedApiKey(
        full=text, public_id=public_id, prefix=match["mode"] + public_id, live=match["mode"] == PREFIX_LIVE
    )


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _check_digits(body: str) -> str:
    """CRC-32 of the ASCII text as six base62 digits, the most significant first (62**6 > 2**32)."""
    remainder = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(CHECK_LENGTH):
        remainder, digit = divmod(remainder, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
