"""Table ``order_emails``: by what a merchant's order is found when somebody types its customer's address.

A row is the address's digest under the merchant's data key. It is written with the order, by whoever has the address at
hand: no event holds either in clear. Here it is made again, from the sealed address of the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.projections.personal_data import CUSTOMER_EMAIL, MerchantKey, PersonalData
from payloops.projections.reading import fetch

BATCH_ORDERS: Final = 500

_SQL: Final = load_sql("payloops.projections", "order_emails")

Digest = Callable[[MerchantKey, str], str | None]
"""The digest of an address as it was typed; None when the merchant's key was destroyed."""


@dataclass(slots=True)
class Sought:
    """The rows that orders should have, as columns."""

    merchants: list[UUID] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    orders: list[UUID] = field(default_factory=list)

    def parameters(self) -> dict[str, list[UUID] | list[str]]:
        """For the blocks of order_emails.sql."""
        return {"merchants": self.merchants, "digests": self.digests, "orders": self.orders}


class OrderEmails:
    """The digests of orders' addresses over one database."""

    def __init__(self, database: Database, personal: PersonalData, digest: Digest) -> None:
        self._database = database
        self._personal = personal
        self._digest = digest

    async def sought(self, orders: list[tuple[UUID, UUID, str]]) -> Sought:
        """The rows of orders (merchant, order, sealed address); none for a merchant whose key was destroyed.

        Raises Unavailable; DecryptionError when an address or a key can't be opened.
        """
        rows = Sought()
        for merchant_id, order_id, sealed in orders:
            key = await self._personal.key_for(merchant_id)
            address = key.open(CUSTOMER_EMAIL, order_id, sealed)
            digest = None if address is None else self._digest(key, address)
            if digest is not None:
                rows.merchants.append(merchant_id)
                rows.digests.append(digest)
                rows.orders.append(order_id)
        return rows

    async def index(self, after: UUID) -> tuple[int, UUID | None]:
        """Write what the next orders by id lack: how many rows, and the id to go on after; None at the end.

        It may be broken off, begun again and run beside others. Raises as ``sought``.
        """
        found = await fetch(self._database, _SQL["sealed"], {"after": after, "limit": BATCH_ORDERS})
        if not found:
            return 0, None
        rows = await self.sought([(merchant, order, sealed) for order, merchant, sealed in found])
        ((written,),) = await fetch(self._database, _SQL["write"], rows.parameters())
        return int(written), found[-1][0]
