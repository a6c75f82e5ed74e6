"""Merchants' accounts at processors: from a stored configuration to an adapter, asked anew for every call.

Credentials are opened here and nowhere else on this side; they leave this module only inside an adapter.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import aiohttp
import orjson

from payloops.crypto import KeyRing
from payloops.db import Database, load_sql
from payloops.projections.personal_data import open_credentials
from payloops.projections.reading import fetch
from payloops.values import Clock, SystemClock
from payloops.workflows_bridge.processors.base import TIMEOUT_S_DEFAULT, Processor
from payloops.workflows_bridge.processors.registry import build_processor
from payloops.workflows_bridge.processors.transport import processor_session

SQL: Final = load_sql("payloops.workflows_bridge", "accounts")
ADAPTERS_MAX: Final = 1000

_NAMING_CREDENTIALS: Final = {"stripe": "secretKey", "razorpay": "keyId"}
"""The credential that tells one account from another."""


@dataclass(frozen=True, slots=True)
class Account:
    """An adapter, and a name that changes when the account is replaced by another."""

    processor: Processor
    name: str


class ProcessorAccounts:
    """The accounts of all merchants. ``open`` before use, ``close`` at the end.

    The configuration is read for every call, so a change counts at once; adapters are kept for as long as their
    configuration stays the same, the ADAPTERS_MAX that were used last.
    """

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        *,
        api_bases: Mapping[str, str],
        timeout_s: float = TIMEOUT_S_DEFAULT,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._ring = ring
        self._api_bases = dict(api_bases)
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._http: aiohttp.ClientSession | None = None
        self._kept: OrderedDict[tuple[UUID, str], tuple[str, Account]] = OrderedDict()

    async def open(self) -> None:
        """Make the HTTP session that all adapters share."""
        self._http = processor_session()

    async def close(self) -> None:
        """Close all adapters and the session."""
        while self._kept:
            _, (_, account) = self._kept.popitem()
            await account.processor.close()
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def account(self, merchant_id: UUID, processor: str) -> Account | None:
        """The merchant's account; None when none is configured. A disabled one still serves payments under way.

        Raises Unavailable, DecryptionError (ENCRYPTION_KEY does not open it), InvalidProcessor.
        """
        rows = await fetch(self._database, SQL["credentials"], (merchant_id, processor))
        if not rows:
            return None
        key, sealed = (merchant_id, processor), rows[0][0]
        kept = self._kept.get(key)
        if kept is not None and kept[0] == sealed:
            self._kept.move_to_end(key)
            return kept[1]
        account = self._build(merchant_id, processor, sealed)
        self._kept[key] = (sealed, account)
        if len(self._kept) > ADAPTERS_MAX:
            _, (_, oldest) = self._kept.popitem(last=False)
            await oldest.processor.close()
        return account

    def _build(self, merchant_id: UUID, processor: str, sealed: str) -> Account:
        if self._http is None:
            raise RuntimeError("ProcessorAccounts is not open")
        credentials = open_credentials(self._ring, merchant_id, processor, sealed)
        adapter = build_processor(
            processor,
            credentials,
            api_base=self._api_bases[processor],
            http=self._http,
            timeout_s=self._timeout_s,
            clock=self._clock,
        )
        return Account(adapter, _name(processor, credentials))


def _name(processor: str, credentials: Mapping[str, str]) -> str:
    """A short digest: it stands in workflow histories, so it must not lead back to a key."""
    naming = credentials.get(_NAMING_CREDENTIALS.get(processor, ""), "")
    return hashlib.sha256(orjson.dumps(["payloops account", processor, naming])).hexdigest()[:12]
