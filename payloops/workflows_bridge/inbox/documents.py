"""Looking into a processor's JSON, of which nothing is taken for granted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from payloops.projections.views import as_uuid
from payloops.values import AMOUNT_MAX
from payloops.workflows_bridge.inbox.facts import Unreadable

Document: TypeAlias = Mapping[str, Any]

ATTEMPT_DIGITS_MAX: Final = 4
TEXT_CHARS_MAX: Final = 500


def part(thing: Document, name: str) -> Document:
    """A part that is an object; an empty one when it is not."""
    value = thing.get(name)
    return value if isinstance(value, dict) else {}


def text(thing: Document, name: str) -> str:
    """A text that is always there. Raises Unreadable."""
    value = optional_text(thing, name)
    if value is None:
        raise Unreadable(f"{name} is missing")
    return value


def optional_text(thing: Document, name: str) -> str | None:
    """A text that may be missing, null or empty; cut to TEXT_CHARS_MAX."""
    value = thing.get(name)
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) and value else None


def amount(thing: Document, name: str) -> int:
    """An amount that is always there. Raises Unreadable."""
    value = optional_amount(thing, name)
    if value is None:
        raise Unreadable(f"{name} is missing or no amount")
    return value


def optional_amount(thing: Document, name: str) -> int | None:
    """A whole number from 0 to AMOUNT_MAX, or None for anything else."""
    value = thing.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= AMOUNT_MAX:
        return None
    return value


def currency(thing: Document, name: str = "currency") -> str | None:
    """A currency's code in upper case; whether there is such a one is for the order to say."""
    value = optional_text(thing, name)
    return None if value is None else value.upper()


def uuid(thing: Document, name: str) -> UUID | None:
    """An id of ours."""
    value = thing.get(name)
    return as_uuid(value) if isinstance(value, str) else None


def attempt(labels: Document) -> int | None:
    """The attempt that our metadata names; it counts from 1."""
    value = labels.get("attempt")
    digits = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not digits.isascii() or not digits.isdecimal() or len(digits) > ATTEMPT_DIGITS_MAX:
        return None
    return int(digits) or None
