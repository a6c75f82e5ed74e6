"""The secrets by which processors sign what they send us: of each merchant's configuration, and those before it.

Kept in memory for SECRETS_TTL_S, so that taking an event in costs one round trip to the database, its append. That a
merchant has none is kept as well, apart, so that strangers' made-up ids push out nobody's secrets.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from payloops.crypto import KeyRing
from payloops.db import Database, load_sql
from payloops.events.base import Sealed
from payloops.projections.personal_data import open_credentials
from payloops.projections.reading import fetch

SECRETS_TTL_S: Final = 2.0
SECRETS_MAX: Final = 10_000
UNKNOWN_MAX: Final = 10_000

Secrets = tuple[bytes, ...]
_Key = tuple[UUID, str]

_SQL: Final = load_sql("payloops.projections", "processor_events")


class WebhookSecrets:
    """Whether an earlier secret still holds is for the database's clock to say."""

    def __init__(self, database: Database, ring: KeyRing, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._ring = ring
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[_Key, tuple[Secrets, float]] = OrderedDict()
        self._unknown: OrderedDict[_Key, tuple[Secrets, float]] = OrderedDict()
        self._loading: dict[_Key, asyncio.Task[Secrets]] = {}

    async def get(self, merchant_id: UUID, processor: str) -> Secrets:
        """The secrets that hold, the newest first; none of an unknown merchant. Raises Unavailable, DecryptionError."""
        key = (merchant_id, processor)
        kept = self._known.get(key) or self._unknown.get(key)
        if kept is not None and kept[1] > self._monotonic_s():
            return kept[0]
        task = self._loading.get(key)
        if task is None:
            # One query however many ask; a task of its own, so that it is nobody's to cancel.
            task = asyncio.create_task(self._load(key), name="webhook-secrets")
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(task)

    async def _load(self, key: _Key) -> Secrets:
        merchant_id, processor = key
        rows = await fetch(self._database, _SQL["webhook_secrets"], {"merchant": merchant_id, "processor": processor})
        opened = (open_credentials(self._ring, merchant_id, processor, Sealed(sealed)) for (sealed,) in rows)
        texts = (credentials.get("webhookSecret") for credentials in opened)
        secrets = tuple(dict.fromkeys(text.encode() for text in texts if text))
        self._known.pop(key, None)
        self._unknown.pop(key, None)
        kept, most = (self._known, SECRETS_MAX) if secrets else (self._unknown, UNKNOWN_MAX)
        kept[key] = (secrets, self._monotonic_s() + SECRETS_TTL_S)
        if len(kept) > most:
            kept.popitem(last=False)
        return secrets
