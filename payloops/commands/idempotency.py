"""Idempotency keys: one effect and one answer for a key, however often the request is sent.

The key's row is written by the append of the events that the first request causes (IETF draft "The Idempotency-Key HTTP
Header Field").
"""

from __future__ import annotations

import hashlib
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.crypto import KeyRing, aad
from payloops.errors import IdempotencyInFlight, IdempotencyMismatch
from payloops.events.store import IdempotencyRow, StoredResponse
from payloops.values import value


@value(frozen=True, slots=True)
class Response:
    """What a client is answered. ``secret`` bodies are kept encrypted; ``replayed`` ones were given before."""

    status: int
    body: bytes
    secret: bool = False
    replayed: bool = False
    version: int | None = None
    """Of what the body shows, an order or a profile: its ETag."""


@value(frozen=True, slots=True)
class IdempotencyKey:
    """A key in its scope, with a hash of the body that it came with."""

    id: UUID
    merchant_id: UUID
    request_hash: str
    flight_s: int | None = None
    """How long the first request may wait for its outcome, when it does."""

    @staticmethod
    def of(
        merchant_id: UUID,
        method: str,
        path: str,
        key: str,
        body: Any,
        *,
        flight_s: int | None = None,
        live: bool = False,
    ) -> IdempotencyKey:
        """``body`` is the parsed JSON: what differs only in spelling is the same request.

        What live API keys ask for has a scope of its own: a test key must not be told a live order by a replay.
        """
        scope = orjson.dumps([str(merchant_id), method, path, key, *(["live"] if live else [])])
        canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        return IdempotencyKey(
            id=UUID(bytes=hashlib.blake2b(scope, digest_size=16).digest()),
            merchant_id=merchant_id,
            request_hash=hashlib.blake2b(canonical, digest_size=16).hexdigest(),
            flight_s=flight_s,
        )


_VERSION_SEPARATOR: Final = "\n"


class ResponseKeeper:
    """Responses to rows and back; those that hold a secret are sealed by the key ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def row(self, key: IdempotencyKey, response: Response) -> IdempotencyRow:
        """The row that keeps this response."""
        return IdempotencyRow(
            id=key.id,
            merchant_id=key.merchant_id,
            request_hash=key.request_hash,
            status=response.status,
            body=self.body(key.id, response),
            sealed=response.secret,
            flight_s=key.flight_s,
        )

    def body(self, key_id: UUID, response: Response) -> str:
        """The body as it is kept, its order's version before it."""
        version = "" if response.version is None else str(response.version)
        text = version + _VERSION_SEPARATOR + response.body.decode()
        return self._ring.seal(text.encode(), _aad(key_id)) if response.secret else text

    def replay(self, key: IdempotencyKey, stored: StoredResponse, *, in_flight: bool) -> Response:
        """The first response again. Raises IdempotencyMismatch (422), IdempotencyInFlight (409)."""
        if stored.request_hash != key.request_hash:
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for a request with another body; take a new key for a new request."
            )
        if in_flight:
            raise in_flight_error()
        text = self._ring.open(stored.body, _aad(key.id)).decode() if stored.sealed else stored.body
        version, _, body = text.partition(_VERSION_SEPARATOR)
        return Response(
            stored.status, body.encode(), stored.sealed, replayed=True, version=int(version) if version else None
        )


def in_flight_error() -> IdempotencyInFlight:
    """The error for a key whose first request has not been answered."""
    return IdempotencyInFlight("The first request with this Idempotency-Key is still running; try again in a moment.")


def _aad(key_id: UUID) -> bytes:
    return aad("idempotency_keys", str(key_id))
