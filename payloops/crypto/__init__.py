"""Keys, seals, hashes and tokens: everything that keeps a secret secret. No I/O but the threads that hash.

encryption   values at rest: the key ring of ENCRYPTION_KEY, and a data key per merchant
api_keys     the form of an API key: making one, and telling a malformed one cheaply
hashing      bcrypt for API keys and passwords, and the bounded threads that run it
key_cache    which API keys were verified a moment ago
tokens       the dashboard's JWTs
comparison   equality in constant time
"""

from payloops.crypto.api_keys import ApiKeyMaterial, ParsedApiKey, generate_api_key, parse_api_key
from payloops.crypto.comparison import same_bytes, same_text
from payloops.crypto.encryption import DataKey, DecryptionError, KeyRing, aad
from payloops.crypto.hashing import (
    DUMMY_HASH,
    HashingPool,
    dummy_hash,
    hash_password,
    hash_secret,
    verify_password,
    verify_secret,
)
from payloops.crypto.key_cache import VerifiedKeyCache
from payloops.crypto.tokens import Claims, JwtSigner

__all__ = [
    "DUMMY_HASH",
    "ApiKeyMaterial",
    "Claims",
    "DataKey",
    "DecryptionError",
    "HashingPool",
    "JwtSigner",
    "KeyRing",
    "ParsedApiKey",
    "VerifiedKeyCache",
    "aad",
    "dummy_hash",
    "generate_api_key",
    "hash_password",
    "hash_secret",
    "parse_api_key",
    "same_bytes",
    "same_text",
    "verify_password",
    "verify_secret",
]
