"""Ids that look like the processors' own: a prefix that names the kind and random letters and digits."""

from __future__ import annotations

import hashlib
import os
import string
from typing import Final

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_STRIPE_LENGTH: Final = 24
_RAZORPAY_LENGTH: Final = 14


# Random bytes become letters by a table look-up: a payment takes a dozen ids, and a draw per letter is felt. The first
# eight letters are a little more likely than the rest, which costs a fraction of a bit per letter.
_LETTER_OF_BYTE: Final = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256)).encode()


def _random_text(length: int) -> str:
    return os.urandom(length).translate(_LETTER_OF_BYTE).decode()


def stripe_id(prefix: str) -> str:
    """For example ``pi_`` and 24 characters."""
    return f"{prefix}_{_random_text(_STRIPE_LENGTH)}"


def razorpay_id(prefix: str) -> str:
    """For example ``pay_`` and 14 characters."""
    return f"{prefix}_{_random_text(_RAZORPAY_LENGTH)}"


def secret_text(length: int) -> str:
    """A secret of ``length`` letters and digits."""
    return _random_text(length)


def account_number(prefix: str, account: str) -> str:
    """The public id of an account, always the same for one API key: ``acct_…`` or ``acc_…``."""
    length = _RAZORPAY_LENGTH if prefix == "acc" else 16
    digest = int.from_bytes(hashlib.sha256(account.encode()).digest(), "big")
    letters = []
    for _ in range(length):
        digest, index = divmod(digest, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return f"{prefix}_{''.join(letters)}"
