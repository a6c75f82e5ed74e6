"""Query parameters and path ids: what they may be, and one error for what they are not."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, time
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

import orjson

from payloops.errors import InvalidInput
from payloops.http.message import Request
from payloops.projections.views import OrderPlace, as_uuid, is_uuid, no_order

LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 20
PAGE_MAX: Final = 1_000_000
TEXT_MAX: Final = 255
ORDER_STATUSES: Final = frozenset(
    {
        *("pending", "processing", "requires_action", "authorized", "captured"),
        *("partially_refunded", "refunded", "failed", "cancelled"),
    }
)
_FIELDS_MAX: Final = 50
_CURSOR_MAX: Final = 256
_MS_MAX: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""
_VERSION_MAX: Final = 2**63 - 1
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+ -][0-9]{2}:?[0-9]{2})?"
)


class Query:
    """The query of a request. Parameters that nobody asks for are ignored. All methods raise InvalidInput."""

    def __init__(self, request: Request) -> None:
        self._values: dict[str, str] = {}
        if not request.query:
            return
        try:
            pairs = parse_qsl(
                request.query.partition("#")[0], keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
            )
        except ValueError:
            raise InvalidInput("The query string can't be read: it must be percent-encoded UTF-8.") from None
        for name, value in pairs:
            if name in self._values:
                raise refusal(name, "is given twice")
            if "\0" in value or _has_surrogates(value):
                raise refusal(name, "holds what no text may hold: a NUL or a broken character")
            self._values[name] = value

    def limit(self) -> int:
        """``limit``, 1 to 100."""
        return self.whole("limit", 1, LIMIT_MAX, LIMIT_DEFAULT)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number within bounds."""
        value = self._values.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", value, re.ASCII) or not low <= int(value) <= high:
            raise refusal(name, f"must be a whole number from {low} to {high}")
        return int(value)

    def text(self, name: str) -> str | None:
        """Any text of at most 255 characters; an empty one counts as none."""
        value = self._values.get(name)
        if not value:
            return None
        if len(value) > TEXT_MAX:
            raise refusal(name, f"must have at most {TEXT_MAX} characters")
        return value

    def status(self) -> str | None:
        """``status``: one of an order's."""
        value = self.text("status")
        if value is not None and value not in ORDER_STATUSES:
            raise refusal("status", f"must be one of {', '.join(sorted(ORDER_STATUSES))}")
        return value

    def choice(self, name: str, choices: frozenset[str]) -> str | None:
        """One of these words."""
        value = self.text(name)
        if value is not None and value not in choices:
            among = "" if len(choices) == 1 else "one of "
            raise refusal(name, f"must be {among}{', '.join(sorted(choices))}")
        return value

    def identifier(self, name: str) -> UUID | None:
        """An id."""
        value = self.text(name)
        found = None if value is None else as_uuid(value)
        if value is not None and found is None:
            raise refusal(name, "must be an id: a UUID")
        return found

    def moment(self, name: str) -> datetime | None:
        """A time or a date in ISO 8601; without an offset it is UTC, and a date is its beginning."""
        value = self.text(name)
        return None if value is None else parse_moment(value, name)

    def order_cursor(self) -> OrderPlace | None:
        """``cursor``, as ``order_cursor_of`` wrote it."""
        held = self._cursor(2)
        if held is None:
            return None
        created_at_ms, order_id = held
        found = as_uuid(order_id) if isinstance(order_id, str) else None
        if found is None or not _is_whole(created_at_ms, _MS_MAX):
            raise _bad_cursor()
        return OrderPlace(int(created_at_ms), found)

    def number_cursor(self) -> int | None:
        """``cursor``, as ``number_cursor_of`` wrote it."""
        held = self._cursor(1)
        if held is None:
            return None
        if not _is_whole(held[0], _VERSION_MAX) or held[0] == 0:
            raise _bad_cursor()
        return int(held[0])

    def _cursor(self, parts: int) -> list[Any] | None:
        value = self._values.get("cursor")
        if not value:
            return None
        try:
            if len(value) > _CURSOR_MAX:
                raise ValueError
            held = orjson.loads(base64.urlsafe_b64decode(value.encode("ascii") + b"=" * (-len(value) % 4)))
        except (ValueError, binascii.Error):
            raise _bad_cursor() from None
        if not isinstance(held, list) or len(held) != parts:
            raise _bad_cursor()
        return held


def order_cursor_of(place: OrderPlace) -> str:
    """The cursor of the page after this place."""
    return _encode([place.created_at_ms, str(place.order_id)])


def number_cursor_of(number: int) -> str:
    """The cursor of the page after this number (a version or a position)."""
    return _encode([number])


def path_id(request: Request, place: int = 0) -> UUID:
    """An id in the path. Raises NotFound, as for one that does not exist, for text that is none."""
    found = as_uuid(request.params[place])
    if found is None:
        # The key must be seen to hold before this is told, as before any other 404: see App.
        raise no_order()
    return found


def path_id_text(request: Request) -> str:
    """As ``path_id``, the id as text: what is only looked up needs no more."""
    text = request.params[0]
    if not is_uuid(text):
        raise no_order()
    return text


def parse_moment(value: str, name: str) -> datetime:
    """See ``Query.moment``."""
    try:
        if _DATE.fullmatch(value):
            return datetime.combine(datetime.fromisoformat(value), time(), UTC)
        if _TIME.fullmatch(value):
            # A plus that was not percent-encoded is a blank by now.
            day, clock = value[:10], value[11:].upper().replace(" ", "+")
            moment = datetime.fromisoformat(f"{day}T{clock}")
            return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise refusal(name, "must be a time in ISO 8601, like 2026-01-31T12:00:00Z")


def _encode(held: list[int | str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(held)).rstrip(b"=").decode("ascii")


def _is_whole(value: object, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _has_surrogates(value: str) -> bool:
    """Raw bytes of the target that are not UTF-8 arrive as lone surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in value)


def _bad_cursor() -> InvalidInput:
    return refusal("cursor", "is not one that we gave: send nextCursor as it was, or none")


def refusal(name: str, problem: str) -> InvalidInput:
    """The error for a parameter with that problem: its name is put in front."""
    return InvalidInput.of((name, problem))
