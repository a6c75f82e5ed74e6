"""The feed of a merchant's public events: pages by position, and waking those who wait for the next one.

Positions are the log's, given under its lock in the order of the commits. So whoever has read up to a position misses
nothing before it, whatever process it reads from next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.errors import RateLimited, Unavailable
from payloops.events.store.watch import Watch
from payloops.events.webhook_event_types import EVENT_TYPES, wants
from payloops.projections.personal_data import PersonalData
from payloops.projections.public_events import PublicEvent, PublicEvents
from payloops.projections.reading import fetch

SCANNED_MAX: Final = 5_000
"""Events that one page looks through for its types: of rare ones a page may have none, and still lead on."""
FOLLOWERS_PER_MERCHANT_MAX: Final = 10
FOLLOWERS_MAX: Final = 1_000
"""Of one process."""
LOOK_AGAIN_S: Final = 5.0
"""A backstop: a notice may be lost with the connection that it was to come on."""
BREATH_S: Final = 0.02
"""Between two looks, so that a busy log is not asked at each of its commits."""

_SQL: Final = load_sql("payloops.projections", "public_events")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events in their order, and the position up to which they are all that there is of their types."""

    events: tuple[PublicEvent, ...]
    position: int
    more: bool


class PublicFeed:
    """Feeds over one database. Those who follow are woken by the log's ``watch``; all queries raise Unavailable."""

    def __init__(self, database: Database, personal: PersonalData, watch: Watch) -> None:
        self._database = database
        self._events = PublicEvents(database, personal)
        self._watch = watch
        self._followers: dict[UUID, set[asyncio.Event]] = {}
        self._counts: Counter[UUID] = Counter()
        self._looker: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop waking. Who still waits does so until its own timeout."""
        if self._looker is not None:
            self._looker.cancel()
            with suppress(asyncio.CancelledError):
                await self._looker

    async def end(self, merchant_id: UUID) -> int:
        """The position of the merchant's last event; 0 when there is none."""
        ((position,),) = await fetch(self._database, _SQL["last_position"], (merchant_id,))
        return int(position)

    async def page(self, merchant_id: UUID, after: int, *, types: Sequence[str], limit: int) -> FeedPage:
        """The next events after a position. ``types`` are names or groups (``payment.*``); none are all."""
        if not types:
            found = await self._events.after(merchant_id, after, limit=limit + 1)
            shown = tuple(found[:limit])
            return FeedPage(shown, shown[-1].position if shown else after, len(found) > limit)
        ((scanned, last),) = await fetch(self._database, _SQL["scan"], (merchant_id, after, SCANNED_MAX))
        if not scanned:
            return FeedPage((), after, more=False)
        wanted = [name for name in EVENT_TYPES if wants(types, name)]
        found = await self._events.after(merchant_id, after, types=wanted, until=last, limit=limit + 1)
        if len(found) > limit:
            return FeedPage(tuple(found[:limit]), found[limit - 1].position, more=True)
        return FeedPage(tuple(found), int(last), more=scanned == SCANNED_MAX)

    @contextmanager
    def follow(self, merchant_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the merchant may have new ones, for the length of the block.

        Look first, then wait: what comes in between has set it. Raises RateLimited when too many follow already.
        """
        if self._counts[merchant_id] >= FOLLOWERS_PER_MERCHANT_MAX or self._counts.total() >= FOLLOWERS_MAX:
            raise RateLimited(
                f"At most {FOLLOWERS_PER_MERCHANT_MAX} streams of events may be open at a time; close one of them.",
                retry_after_s=int(LOOK_AGAIN_S),
                policy="event-streams",
                limit=FOLLOWERS_PER_MERCHANT_MAX,
                window_s=int(LOOK_AGAIN_S),
            )
        event = asyncio.Event()
        self._counts[merchant_id] += 1
        self._followers.setdefault(merchant_id, set()).add(event)
        if self._looker is None or self._looker.done():
            self._looker = asyncio.create_task(self._look(), name="public-feed")
        try:
            yield event
        finally:
            followers = self._followers[merchant_id]
            followers.discard(event)
            if not followers:
                del self._followers[merchant_id]
            self._counts[merchant_id] -= 1
            if not self._counts[merchant_id]:
                del self._counts[merchant_id]

    async def _look(self) -> None:
        """While anybody follows: after each growth of the log, wake those whose merchant has something new."""
        seen: dict[UUID, int] = {}
        with self._watch.log() as grown:
            while self._followers:
                grown.clear()
                try:
                    rows = await fetch(self._database, _SQL["last_positions"], (list(self._followers),))
                except Unavailable as problem:
                    _log.warning("nobody is woken for the moment: %s", problem.message)
                    rows = []
                positions = {merchant_id: int(position) for merchant_id, position in rows}
                for merchant_id, position in positions.items():
                    if seen.get(merchant_id) != position:
                        for event in self._followers.get(merchant_id, ()):
                            event.set()
                seen = positions
                await asyncio.sleep(BREATH_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(grown.wait(), LOOK_AGAIN_S)
