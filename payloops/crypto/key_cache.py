"""Which API keys were verified a moment ago, so that a request does not cost a bcrypt."""

from __future__ import annotations

import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

_SECRET_BYTES: Final = 32

Value = TypeVar("Value")


class _Entry(NamedTuple, Generic[Value]):
    value: Value
    public_id: str
    expires_at_s: float


class VerifiedKeyCache(Generic[Value]):
    """From an API key that was verified to what it stands for, for ``ttl_s`` seconds.

    At most ``max_entries`` of them: the least recently used leaves first.

    Keys are held only as HMAC-SHA256 under a random secret of this process: neither a memory dump nor the timing of
    a look-up tells a key. A hit says that the secret was right, never that the key still holds: revocation and
    expiry are checked on every request. Look here before ``parse_api_key``: what is held here was parsed once.
    Not for threads.
    """

    __slots__ = ("_by_public_id", "_entries", "_keyed", "_max_entries", "_monotonic_s", "_ttl_s")

    def __init__(self, *, ttl_s: float, max_entries: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        if ttl_s <= 0 or max_entries < 1:
            raise ValueError("a key cache needs a positive lifetime and room for one entry")
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._monotonic_s = monotonic_s
        self._keyed = hmac.new(os.urandom(_SECRET_BYTES), digestmod="sha256")
        self._entries: OrderedDict[bytes, _Entry[Value]] = OrderedDict()
        self._by_public_id: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, full_key: str) -> Value | None:
        """What a verified key stands for, or None when it is not known, or no longer."""
        digest = self._digest(full_key)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry.expires_at_s <= self._monotonic_s():
            self._drop(digest)
            return None
        self._entries.move_to_end(digest)
        return entry.value

    def knows(self, public_id: str) -> bool:
        """Whether a key with this public id is held: after a miss of ``get``, the key that was brought is another."""
        return public_id in self._by_public_id

    def put(self, full_key: str, public_id: str, value: Value) -> None:
        """Remembers a key whose secret was just verified. One key per public id: another one replaces it."""
        self.forget(public_id)
        digest = self._digest(full_key)
        self._entries[digest] = _Entry(value, public_id, self._monotonic_s() + self._ttl_s)
        self._by_public_id[public_id] = digest
        if len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))

    def forget(self, public_id: str) -> None:
        """Drops the key with this public id, if there is one: it was revoked or changed."""
        digest = self._by_public_id.get(public_id)
        if digest is not None:
            self._drop(digest)

    def clear(self) -> None:
        """Drops all: what was missed is unknown, for instance after the listening connection broke."""
        self._entries.clear()
        self._by_public_id.clear()

    def _digest(self, full_key: str) -> bytes:
        # Copying a keyed state costs a third less than keying a new one, on every request.
        keyed = self._keyed.copy()
        keyed.update(full_key.encode("utf-8", "surrogatepass"))
        return keyed.digest()

    def _drop(self, digest: bytes) -> None:
        entry = self._entries.pop(digest)
        del self._by_public_id[entry.public_id]

    def __repr__(self) -> str:
        return f"<VerifiedKeyCache of {len(self)}>"
