"""Base64url without padding (RFC 4648, section 5), in its one canonical form."""

from __future__ import annotations

import base64
import binascii


def encode(data: bytes) -> str:
    """``data`` in the URL-safe alphabet, without ``=``."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes that ``encode`` makes ``text`` of. Raises ``ValueError`` for anything else.

    Only the canonical form is taken: the last character can carry up to four bits that no byte holds, and a decoder
    that ignores them lets one secret be written in several ways.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        data = b""
    if not data or encode(data) != text:
        raise ValueError("not canonical base64url") from None
    return data
