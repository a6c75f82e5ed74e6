"""The calls of the API, one module a noun: what each takes, under which names it goes, and what comes back.

What is None is not sent. ``idempotency_key`` is made for each call of a write where none is given. Amounts are integers
in the currency's minor unit. Every call raises ApiError, NoAnswer and UnreadableAnswer (``payloops.client.errors``),
and ValueError for arguments that can't be sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from payloops.client.models.base import CursorPage


def by_cursor(page: CursorPage) -> Mapping[str, str] | None:
    """What of the query changes for the page after this one."""
    return {"cursor": page.next_cursor} if page.has_more and page.next_cursor is not None else None
