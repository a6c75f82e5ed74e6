"""Values that mean the same everywhere: money, currencies, ids, time. No I/O, no other module of ours."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID, SafeUUID

import iso4217
import uuid_utils

__all__ = [
    "AMOUNT_MAX",
    "CURRENCY_EXPONENTS",
    "Clock",
    "Money",
    "SystemClock",
    "born_s",
    "currency_code",
    "iso",
    "named_id",
    "new_id",
    "new_id_text",
    "value",
]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, **options: Any) -> Any:
        """A frozen dataclass to the type checker, an ordinary one at run time, equal and hashed by its fields.

        Freezing at run time makes an object of 16 fields cost 5 to 10 µs instead of 0.8, and a request makes a dozen of
        them (docs/adr/0007). For what is made per request; the rest is frozen as usual.
        """
        return dataclasses.dataclass(unsafe_hash=frozen, **options)


_SAFETY_UNKNOWN: Final = SafeUUID.unknown
AMOUNT_MAX: Final = 2**53 - 1
"""Largest amount in minor units: the largest integer that every JSON client reads exactly (RFC 8259, section 6)."""


def _minor_unit_exponents() -> dict[str, int]:
    """Alpha-3 code -> decimal places of the minor unit (ISO 4217, list one).

    Metals, units of account and test codes have no minor unit and are left out.
    """
    exponents: dict[str, int] = {}
    for currency in iso4217.Currency:
        exponent = currency.exponent
        if exponent is not None:
            exponents[currency.code.upper()] = int(exponent)
    return exponents


CURRENCY_EXPONENTS: Final = _minor_unit_exponents()


def currency_code(text: str) -> str | None:
    """The upper-case ISO 4217 code that ``text`` names in any case, or None when there is no such currency.

    Only ASCII: Unicode's upper case would also take the dotless i and the long s for Latin letters.
    """
    code = text.upper() if text.isascii() else ""
    return code if code in CURRENCY_EXPONENTS else None


@dataclasses.dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of a currency: 1234 USD is $12.34, 1234 JPY is ¥1234."""

    amount: int
    currency: str

    def __str__(self) -> str:
        exponent = CURRENCY_EXPONENTS[self.currency]
        sign, amount = "-" if self.amount < 0 else "", abs(self.amount)
        if exponent == 0:
            return f"{sign}{amount} {self.currency}"
        whole, fraction = divmod(amount, 10**exponent)
        return f"{sign}{whole}.{fraction:0{exponent}d} {self.currency}"


_UNVERSIONED: Final = (1 << 128) - 1 & ~(0xF000 << 64) & ~(0xC000 << 48)
_VERSION_5: Final = 0x5000 << 64 | 0x8000 << 48
_TELLS_TIME: Final = 7
"""The version of UUIDs that begin with when they were made (RFC 9562, section 5.7)."""


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): unique, and sorted by time so that fresh rows land on the same index pages."""
    # As uuid_utils.compat does it, without looking the enumeration's member up each time: 0.8 µs, not 1.3.
    made = object.__new__(UUID)
    object.__setattr__(made, "int", uuid_utils.uuid7().int)
    object.__setattr__(made, "is_safe", _SAFETY_UNKNOWN)
    return made


def named_id(namespace: UUID, name: str) -> UUID:
    """The UUIDv5 of that name (RFC 9562, section 5.5), as ``uuid.uuid5`` makes it in three times as long."""
    digest = hashlib.sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    made = object.__new__(UUID)
    object.__setattr__(made, "int", int.from_bytes(digest[:16]) & _UNVERSIONED | _VERSION_5)
    object.__setattr__(made, "is_safe", _SAFETY_UNKNOWN)
    return made


def new_id_text() -> str:
    """As ``new_id``, for what is only ever text."""
    return str(uuid_utils.uuid7())


def born_s(made: UUID) -> float | None:
    """When an id of ours was made, in Unix seconds; None for one that does not say so."""
    return (made.int >> 80) / 1000 if made.version == _TELLS_TIME else None


class Clock(Protocol):
    """Where time comes from; tests bring their own."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock, cut to milliseconds: what clients see is then exactly what is stored."""

    def now(self) -> datetime:
        """The present, aware, in UTC, in whole milliseconds."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``, the wire format of every time."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
