"""Equality that takes the same time whether the first byte differs or the last."""

from __future__ import annotations

import hmac


def same_bytes(left: bytes, right: bytes) -> bool:
    """True when both are equal; the time tells nothing but the length."""
    return hmac.compare_digest(left, right)


def same_text(left: str, right: str) -> bool:
    """As ``same_bytes`` over UTF-8, for any text: ``compare_digest`` itself raises on a ``str`` beyond ASCII."""
    return same_bytes(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
