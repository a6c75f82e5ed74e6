"""Values at rest. Both forms are AES-256-GCM (NIST SP 800-38D) with a fresh random 96-bit nonce.

``v1.<key id>.<base64url(nonce || ciphertext || tag)>`` is sealed with a key of the ring (ENCRYPTION_KEY);
``p1.<base64url(nonce || ciphertext || tag)>`` with a merchant's own data key, which is kept wrapped by the ring.
Destroying the wrapped data key makes every ``p1`` value of that merchant unreadable: that is how personal data leaves
an append-only log.

Associated data names the row that a value belongs to, so that a value copied into another row does not open there.
A random 96-bit nonce is sound for 2**32 values per key (SP 800-38D, section 8.3).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from payloops.crypto import base64url
from payloops.errors import ConfigurationError, PayloopsError

SECRET_LENGTH_MIN: Final = 32
KEYS_MAX: Final = 8
"""Keys in one ring: the newest seals, the others only open what is not yet sealed anew."""

_DERIVATION_INFO: Final = b"payloops/encryption/v1"
_DATA_KEY_PURPOSE: Final = "merchant data key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_DIGEST_INFO: Final = b"payloops/data key digest/v1"
_RING_FORM: Final = "v1"
_DATA_FORM: Final = "p1"


class DecryptionError(PayloopsError):
    """A sealed value does not open: damaged, of another row, or sealed with a key that is gone. Says nothing of it."""


def aad(*parts: str) -> bytes:
    """Associated data of the parts in order, unambiguous: each part's UTF-8 stands behind its length in 4 bytes.

    ``aad("a", "bc")`` and ``aad("ab", "c")`` differ. Raises ``UnicodeEncodeError`` for a lone surrogate.
    """
    encoded = [part.encode("utf-8") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


class _Cipher:
    """One AES-256 key: seals to, and opens, ``nonce || ciphertext || tag``."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, associated_data)

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            _refuse()
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated_data)
        except InvalidTag:
            _refuse()

    def __repr__(self) -> str:
        return "<AES-256-GCM key>"


class KeyRing:
    """The keys of ENCRYPTION_KEY, newest first: the newest seals, any of them opens."""

    __slots__ = ("_ciphers", "_newest_id")

    def __init__(self, secrets: tuple[str, ...]) -> None:
        """Raises ``ConfigurationError``, without a secret in it, when the secrets are missing, short or too many."""
        if not 1 <= len(secrets) <= KEYS_MAX:
            raise ConfigurationError(f"ENCRYPTION_KEY must hold 1 to {KEYS_MAX} keys, newest first, comma-separated")
        if any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
            raise ConfigurationError(f"each key in ENCRYPTION_KEY must have at least {SECRET_LENGTH_MIN} characters")
        try:
            derived = [_derive(secret.encode("utf-8")) for secret in secrets]
        except UnicodeEncodeError:
            raise ConfigurationError("ENCRYPTION_KEY is not valid UTF-8") from None
        keys = {_key_id(key): key for key in derived}
        if len(keys) != len(set(derived)):
            # Two keys with one id (1 chance in 2**32) could not be told apart in a sealed value.
            raise ConfigurationError("two keys in ENCRYPTION_KEY have the same id; replace the newest one")
        self._ciphers = {key_id: _Cipher(key) for key_id, key in keys.items()}
        self._newest_id = _key_id(derived[0])

    @classmethod
    def from_setting(cls, text: str) -> Self:
        """The ring of ENCRYPTION_KEY, ``new`` or ``new,old``; blanks around one don't count. Raises as ``__init__``."""
        return cls(tuple(part.strip() for part in text.split(",")))

    @property
    def newest_id(self) -> str:
        """Id of the key that seals: the first 8 hex digits of the SHA-256 of the derived key."""
        return self._newest_id

    def seal(self, plaintext: bytes, associated_data: bytes) -> str:
        """``plaintext`` sealed with the newest key; opens only with the same associated data."""
        sealed = self._ciphers[self._newest_id].seal(plaintext, associated_data)
        return f"{_RING_FORM}.{self._newest_id}.{base64url.encode(sealed)}"

    def open(self, token: str, associated_data: bytes) -> bytes:
        """The plaintext of a value sealed by this ring. Raises ``DecryptionError``."""
        key_id, sealed = _split_ring_token(token)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise DecryptionError("the value was sealed with a key that ENCRYPTION_KEY no longer holds")
        return cipher.open(sealed, associated_data)

    def needs_rotation(self, token: str) -> bool:
        """Whether the value should be sealed anew, with the newest key. Raises ``DecryptionError`` for no token."""
        return _split_ring_token(token)[0] != self._newest_id

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self._ciphers)}>"


class DataKey:
    """A merchant's own 256-bit key for the personal data of its customers."""

    __slots__ = ("_cipher", "_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a data key has {_KEY_BYTES} bytes")
        self._key = key
        self._cipher = _Cipher(key)

    @classmethod
    def generate(cls) -> Self:
        """A fresh random key."""
        return cls(os.urandom(_KEY_BYTES))

    def wrap(self, ring: KeyRing, merchant_id: str) -> str:
        """The key sealed by the ring for this merchant: the only form in which it is stored."""
        return ring.seal(self._key, aad(_DATA_KEY_PURPOSE, merchant_id))

    @classmethod
    def unwrap(cls, ring: KeyRing, token: str, merchant_id: str) -> Self:
        """The key that ``wrap`` sealed for this merchant. Raises ``DecryptionError``."""
        key = ring.open(token, aad(_DATA_KEY_PURPOSE, merchant_id))
        if len(key) != _KEY_BYTES:
            _refuse()
        return cls(key)

    def seal_text(self, text: str, associated_data: bytes) -> str:
        """``text`` sealed with this key. Raises ``ValueError``, without the text in it, for a lone surrogate."""
        try:
            plaintext = text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("text with a lone surrogate can't be sealed") from None
        return f"{_DATA_FORM}.{base64url.encode(self._cipher.seal(plaintext, associated_data))}"

    def open_text(self, token: str, associated_data: bytes) -> str:
        """The text of a value sealed with this key. Raises ``DecryptionError``."""
        form, _, body = token.partition(".")
        if form != _DATA_FORM:
            _refuse()
        return self._cipher.open(_decode(body), associated_data).decode("utf-8")

    def digest(self, text: str, context: str) -> str:
        """A hex digest that finds equal texts of one context again, and tells nothing without this key."""
        subkey = hmac.digest(self._key, _DIGEST_INFO, "sha256")
        return hmac.digest(subkey, context.encode() + b"\0" + text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def __repr__(self) -> str:
        return "<DataKey>"


def _derive(secret: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt: a setting is long but not uniform, an AES key must be."""
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_DERIVATION_INFO).derive(secret)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def _split_ring_token(token: str) -> tuple[str, bytes]:
    form, _, rest = token.partition(".")
    key_id, _, body = rest.partition(".")
    if form != _RING_FORM:
        _refuse()
    return key_id, _decode(body)


def _decode(body: str) -> bytes:
    try:
        return base64url.decode(body)
    except ValueError:
        _refuse()


def _refuse() -> NoReturn:
    """One message for every cause, and no chained exception: neither may describe the value."""
    raise DecryptionError("the value is damaged or belongs elsewhere") from None
