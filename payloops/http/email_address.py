"""The normal form of an account's e-mail address: two spellings of one address are one account.

In this order: blanks around it are dropped; NFKC, case folding and NFKC again over the whole (so ``ＪＯＳÉ@`` is
``josé@``); the domain becomes its ASCII form by IDNA 2008 with UTS 46 mapping (``münchen.example`` is
``xn--mnchen-3ya.example``), without a final dot. Dots and ``+tags`` of the local part count: what they mean is up to
each provider. The account keeps the address as it was typed; only its digest stands in a unique column.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

import idna

from payloops.errors import InvalidInput

LENGTH_MAX: Final = 254
"""Octets of an address in a mail transaction (RFC 5321, 4.5.3.1.3, without the angle brackets)."""
LOCAL_LENGTH_MAX: Final = 64
_TYPED_LENGTH_MAX: Final = 320
_NOT_IN_LOCAL: Final = frozenset('()<>[]:;,\\"')
"""What only a quoted local part may hold (RFC 5321, 4.1.2); nobody's mail needs one."""
_DIGEST_CONTEXT: Final = b"payloops/email/v1\0"
_NO_ADDRESS_CONTEXT: Final = b"payloops/no email/v1\0"


def normal_form(text: str) -> str:
    """The address by which an account is found. Raises InvalidInput for what is none."""
    if len(text) > _TYPED_LENGTH_MAX:
        raise _not_an_address()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
    local, at, domain = folded.rpartition("@")
    if (
        not at
        or not local
        or "@" in local
        or any(c.isspace() or not c.isprintable() or c in _NOT_IN_LOCAL for c in local)
    ):
        raise _not_an_address()
    try:
        ascii_domain = idna.encode(domain.rstrip("."), uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _not_an_address() from None
    normal = f"{local}@{ascii_domain}"
    if "." not in ascii_domain or len(local) > LOCAL_LENGTH_MAX or len(normal.encode("utf-8")) > LENGTH_MAX:
        raise _not_an_address()
    return normal


def digest(normal: str) -> str:
    """The hex SHA-256 by which the address is unique in the database."""
    return hashlib.sha256(_DIGEST_CONTEXT + normal.encode("utf-8")).hexdigest()


def digest_of_typed(text: str) -> str:
    """The digest of what somebody typed to sign in. Text that is no address has one that no account has."""
    try:
        return digest(normal_form(text))
    except InvalidInput:
        # Not one for all of them: limits count by it, and mistyped addresses should not use up each other's.
        return hashlib.sha256(_NO_ADDRESS_CONTEXT + text.strip().encode("utf-8", "surrogatepass")).hexdigest()


def claim(email_digest: str) -> str:
    """The claim of a merchant's stream on its address."""
    return f"email:{email_digest}"


def _not_an_address() -> InvalidInput:
    problem = "must be an e-mail address"
    return InvalidInput.of(("email", problem))
