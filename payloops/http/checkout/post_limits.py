"""How often the buttons of one checkout may be pressed, counted in this process.

What costs more than looking (a payment, a return from the bank) is counted by the session itself, exactly and for all
processes (commands/checkout_session.py); this keeps the rest cheap.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final
from uuid import UUID

from payloops.errors import RateLimited

POSTS_MAX: Final = 30
WINDOW_S: Final = 60
SESSIONS_MAX: Final = 10_000


class PostLimits:
    """Of the sessions that were used last, at most SESSIONS_MAX."""

    def __init__(self) -> None:
        self._posts: OrderedDict[UUID, deque[float]] = OrderedDict()

    def admit(self, session_id: UUID, now_s: float) -> None:
        """Count one; ``now_s`` is the event loop's clock. Raises RateLimited: POSTS_MAX in WINDOW_S."""
        posts = self._posts.setdefault(session_id, deque(maxlen=POSTS_MAX))
        self._posts.move_to_end(session_id)
        if len(self._posts) > SESSIONS_MAX:
            self._posts.popitem(last=False)
        if len(posts) == POSTS_MAX and now_s - posts[0] < WINDOW_S:
            raise RateLimited(
                "That was very often in a short time.",
                retry_after_s=max(1, round(posts[0] + WINDOW_S - now_s)),
                policy="checkout",
                limit=POSTS_MAX,
                window_s=WINDOW_S,
            )
        posts.append(now_s)
