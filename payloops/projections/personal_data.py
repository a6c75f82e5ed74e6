"""Secrets and personal data in events and rows: what each is sealed with, and to which row it is bound.

Personal data of a merchant and of its customers (e-mail addresses, a payment's client secret) is sealed by the
merchant's own data key, so that destroying that key (its row in ``merchant_keys``) erases them from the log without
touching it; from then on they read as null. Secrets of the service (password and API-key hashes, processor
credentials) are sealed by the ring of ENCRYPTION_KEY. Associated data names merchant and row: a value that is copied
elsewhere does not open there.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.crypto import DataKey, DecryptionError, KeyRing, aad
from payloops.db import Database, load_sql
from payloops.errors import RuleViolation
from payloops.events.base import Sealed
from payloops.projections.reading import change, fetch

MERCHANT_EMAIL: Final = "merchants.email"
CUSTOMER_EMAIL: Final = "orders.customer_email"
REDIRECT_URL: Final = "orders.redirect_url"
CLIENT_SECRET: Final = "orders.client_secret"  # noqa: S105 - the name of a field, not a secret

KEY_TTL_S: Final = 30.0
"""How long a process may go on opening values of a key that was destroyed elsewhere."""
KEYS_MAX: Final = 10_000

_SQL: Final = load_sql("payloops.projections", "personal_data")


@dataclass(frozen=True, slots=True)
class MerchantKey:
    """What seals and opens one merchant's personal data. ``data_key`` is None when it was destroyed."""

    merchant_id: UUID
    data_key: DataKey | None
    merchant_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "merchant_text", str(self.merchant_id))

    def seal(self, field: str, row_id: UUID | str, text: str) -> Sealed:
        """``text`` for that field of that row. Raises RuleViolation when the merchant's key was destroyed."""
        if self.data_key is None:
            raise RuleViolation("The personal data of this account was erased: it can hold none any more.")
        return Sealed(self.data_key.seal_text(text, self._aad(field, row_id)))

    def open(self, field: str, row_id: UUID | str, sealed: str | None) -> str | None:
        """The text again; None for None, and for a value whose key was destroyed. Raises DecryptionError (damaged)."""
        if sealed is None or self.data_key is None:
            return None
        return self.data_key.open_text(sealed, self._aad(field, row_id))

    def digest(self, field: str, text: str) -> str | None:
        """By which equal texts of that field are found among the merchant's; None when its key was destroyed."""
        return None if self.data_key is None else self.data_key.digest(text, field)

    def _aad(self, field: str, row_id: UUID | str) -> bytes:
        return aad(field, self.merchant_text, str(row_id))


class PersonalData:
    """The data keys of merchants: loaded when first needed, kept for KEY_TTL_S, at most KEYS_MAX of them."""

    def __init__(self, database: Database, ring: KeyRing, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._ring = ring
        self._monotonic_s = monotonic_s
        self._keys: OrderedDict[UUID, tuple[MerchantKey, float]] = OrderedDict()
        self._loading: dict[UUID, asyncio.Task[MerchantKey]] = {}

    async def key_for(self, merchant_id: UUID) -> MerchantKey:
        """The merchant's key. Raises Unavailable; DecryptionError when ENCRYPTION_KEY does not open it."""
        kept = self._keys.get(merchant_id)
        if kept is not None and kept[1] > self._monotonic_s():
            return kept[0]
        task = self._loading.get(merchant_id)
        if task is None:
            # One query however many ask; a task of its own, so that it is nobody's to cancel.
            task = asyncio.create_task(self._load(merchant_id), name="merchant-key")
            self._loading[merchant_id] = task
            task.add_done_callback(lambda _: self._loading.pop(merchant_id, None))
        return await asyncio.shield(task)

    def new_key(self, merchant_id: UUID) -> tuple[MerchantKey, Mapping[str, Any]]:
        """A fresh key for a merchant about to be registered, and its row of ``merchant_keys``."""
        data_key = DataKey.generate()
        row = {"merchant_id": merchant_id, "wrapped": data_key.wrap(self._ring, str(merchant_id))}
        return MerchantKey(merchant_id, data_key), row

    async def destroy(self, merchant_id: UUID) -> None:
        """Erase: what this key sealed is unreadable from now on, everywhere after KEY_TTL_S. Raises Unavailable."""
        await change(self._database, _SQL["destroy"], (merchant_id,))
        self._keys.pop(merchant_id, None)

    async def _load(self, merchant_id: UUID) -> MerchantKey:
        rows = await fetch(self._database, _SQL["wrapped_key"], (merchant_id,))
        data_key = DataKey.unwrap(self._ring, rows[0][0], str(merchant_id)) if rows else None
        key = MerchantKey(merchant_id, data_key)
        if data_key is not None:
            self._keys[merchant_id] = (key, self._monotonic_s() + KEY_TTL_S)
            self._keys.move_to_end(merchant_id)
            if len(self._keys) > KEYS_MAX:
                self._keys.popitem(last=False)
        return key


def seal_password_hash(ring: KeyRing, merchant_id: UUID, password_hash: str) -> Sealed:
    """The hash of a merchant's password, for ``merchants.password_hash``."""
    return Sealed(ring.seal(password_hash.encode(), _password_aad(merchant_id)))


def open_password_hash(ring: KeyRing, merchant_id: UUID, sealed: str) -> str:
    """What ``seal_password_hash`` sealed. Raises DecryptionError."""
    return ring.open(sealed, _password_aad(merchant_id)).decode()


def seal_key_hash(ring: KeyRing, merchant_id: UUID, key_id: UUID, secret_hash: str) -> Sealed:
    """The hash of an API key, for ``api_keys.secret_hash``."""
    return Sealed(ring.seal(secret_hash.encode(), _key_aad(merchant_id, key_id)))


def open_key_hash(ring: KeyRing, merchant_id: UUID, key_id: UUID, sealed: str) -> str:
    """What ``seal_key_hash`` sealed. Raises DecryptionError."""
    return ring.open(sealed, _key_aad(merchant_id, key_id)).decode()


def seal_credentials(ring: KeyRing, merchant_id: UUID, processor: str, credentials: Mapping[str, str]) -> Sealed:
    """A processor's credentials (``{"secretKey": …}``), for ``processor_configs.credentials``.

    Bound to merchant and processor, of which there is one configuration: its id is not known when it is replaced.
    """
    return Sealed(ring.seal(orjson.dumps(dict(credentials)), _credentials_aad(merchant_id, processor)))


def open_credentials(ring: KeyRing, merchant_id: UUID, processor: str, sealed: str) -> dict[str, str]:
    """What ``seal_credentials`` sealed. Raises DecryptionError."""
    opened = orjson.loads(ring.open(sealed, _credentials_aad(merchant_id, processor)))
    if not isinstance(opened, dict):
        raise DecryptionError("sealed credentials do not hold credentials")
    return opened


def seal_webhook_secret(ring: KeyRing, merchant_id: UUID, endpoint_id: UUID, secret: str) -> Sealed:
    """An endpoint's signing secret (``whsec_…``), for ``webhook_endpoints.secret``."""
    return Sealed(ring.seal(secret.encode(), _webhook_secret_aad(merchant_id, endpoint_id)))


def open_webhook_secret(ring: KeyRing, merchant_id: UUID, endpoint_id: UUID, sealed: str) -> str:
    """What ``seal_webhook_secret`` sealed. Raises DecryptionError."""
    return ring.open(sealed, _webhook_secret_aad(merchant_id, endpoint_id)).decode()


def _webhook_secret_aad(merchant_id: UUID, endpoint_id: UUID) -> bytes:
    return aad("webhook_endpoints.secret", str(merchant_id), str(endpoint_id))


def _password_aad(merchant_id: UUID) -> bytes:
    return aad("merchants.password_hash", str(merchant_id))


def _key_aad(merchant_id: UUID, key_id: UUID) -> bytes:
    return aad("api_keys.secret_hash", str(merchant_id), str(key_id))


def _credentials_aad(merchant_id: UUID, processor: str) -> bytes:
    return aad("processor_configs.credentials", str(merchant_id), processor)
