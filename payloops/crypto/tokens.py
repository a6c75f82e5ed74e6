"""The dashboard's tokens: JWT (RFC 7519), HS256 and nothing else.

``kid`` in the header names the key: the first 8 hex digits of the SHA-256 of the secret's UTF-8 bytes. JWT_SECRET may
hold two, ``new,old``: the new one signs, either verifies. ``ver`` is the merchant's token version: raising it revokes
every token issued before; ``jti`` revokes one. Both are the caller's to check, they need the database.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import jwt

from payloops.crypto import base64url
from payloops.errors import ConfigurationError, InvalidToken

SECRET_LENGTH_MIN: Final = 32
KEYS_MAX: Final = 2
TOKEN_LENGTH_MAX: Final = 2048
"""Characters; ours have about 400."""
CLOCK_SKEW_S: Final = 60
"""How far in the future another process's clock may have issued a token. Expiry has no such tolerance."""

_ALGORITHM: Final = "HS256"
_CLAIMS: Final = ["sub", "iss", "aud", "iat", "exp", "jti", "ver"]
_TIME_MAX: Final = 253402300799
"""9999-12-31T23:59:59Z, the last second that ``datetime`` can hold."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that holds says."""

    merchant_id: UUID
    token_version: int
    token_id: UUID
    issued_at: datetime
    expires_at: datetime


class JwtSigner:
    """Issues and verifies tokens with the keys of JWT_SECRET."""

    __slots__ = ("_audience", "_expires_in_s", "_issuer", "_keys", "_newest_id")

    def __init__(self, secret_setting: str, *, expires_in_s: int, issuer: str, audience: str) -> None:
        """Raises ``ConfigurationError``, which never holds a secret."""
        secrets = [part.strip() for part in secret_setting.split(",")]
        if not 1 <= len(secrets) <= KEYS_MAX or any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
            raise ConfigurationError(
                f"JWT_SECRET must hold one or two secrets (new,old) of at least {SECRET_LENGTH_MIN} characters"
            )
        if expires_in_s < 1:
            raise ConfigurationError("JWT_EXPIRES_IN must be at least one second")
        try:
            keys = [secret.encode("utf-8") for secret in secrets]
        except UnicodeEncodeError:
            raise ConfigurationError("JWT_SECRET is not valid UTF-8") from None
        self._keys = {_key_id(key): key for key in keys}
        self._newest_id = _key_id(keys[0])
        self._expires_in_s = expires_in_s
        self._issuer = issuer
        self._audience = audience
        for key in self._keys.values():
            _refuse_unfit_key(key)

    def issue(self, merchant_id: UUID, token_version: int, now: datetime) -> str:
        """A token of this merchant that holds from ``now`` for the configured lifetime."""
        issued_at_s = int(now.timestamp())
        claims = {
            "sub": str(merchant_id),
            "iss": self._issuer,
            "aud": self._audience,
            "iat": issued_at_s,
            "exp": issued_at_s + self._expires_in_s,
            "jti": str(uuid4()),
            "ver": token_version,
        }
        return jwt.encode(claims, self._keys[self._newest_id], _ALGORITHM, headers={"kid": self._newest_id})

    def verify(self, token: str, now: datetime) -> Claims:
        """What the token says. Raises ``InvalidToken``, the same for every cause, when it does not hold."""
        try:
            return self._read(token, now)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise InvalidToken("This token is not valid: it is malformed, expired or revoked; sign in again.") from None

    def _read(self, token: str, now: datetime) -> Claims:
        if len(token) > TOKEN_LENGTH_MAX or not token.isascii():
            raise ValueError("not a token of ours")
        # The library decodes the signature leniently, so that several spellings of it would pass.
        base64url.decode(token.rpartition(".")[2])
        header = jwt.get_unverified_header(token)
        key = self._keys.get(header.get("kid", ""))
        if key is None or header.get("typ", "JWT") != "JWT":
            raise ValueError("not a header of ours")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=self._audience,
            issuer=self._issuer,
            # Times are checked below, against the caller's clock.
            options={
                "require": _CLAIMS,
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        now_s = now.timestamp()
        issued_at_s, expires_at_s = _whole(claims["iat"], _TIME_MAX), _whole(claims["exp"], _TIME_MAX)
        if expires_at_s <= now_s or issued_at_s > now_s + CLOCK_SKEW_S:
            raise ValueError("not at this time")
        if "nbf" in claims and _whole(claims["nbf"], _TIME_MAX) > now_s + CLOCK_SKEW_S:
            raise ValueError("not yet")
        return Claims(
            merchant_id=_uuid(claims["sub"]),
            token_version=_whole(claims["ver"], 2**53 - 1),
            token_id=_uuid(claims["jti"]),
            issued_at=datetime.fromtimestamp(issued_at_s, UTC),
            expires_at=datetime.fromtimestamp(expires_at_s, UTC),
        )

    def __repr__(self) -> str:
        return f"<JwtSigner {', '.join(self._keys)}>"


def _whole(value: object, largest: int) -> int:
    """A claim that must be a whole number from 0; a bool is not one. Raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise ValueError("not a whole number")
    return value


def _uuid(value: object) -> UUID:
    """A claim that must be a UUID in text. Raises ``TypeError`` or ``ValueError``."""
    if not isinstance(value, str):
        raise TypeError("not a UUID")
    return UUID(value)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def _refuse_unfit_key(key: bytes) -> None:
    """The library takes no HMAC secret that looks like a public key; say so at the start, not at the first login."""
    try:
        jwt.encode({}, key, _ALGORITHM)
    except (jwt.PyJWTError, TypeError, ValueError):
        raise ConfigurationError("JWT_SECRET can't be a PEM or SSH key") from None
