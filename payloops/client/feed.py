"""The feed of public events as a stream that never ends: what to ask, what came, when to ask again. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

from pydantic import ValidationError

from payloops.client.calls.dashboard import feed
from payloops.client.core.call import Call
from payloops.client.core.exchange import Answer, Outcome, Pause, Request, Setup, request_of, told
from payloops.client.core.retries import Retries, pause_s
from payloops.client.core.sse import Frame, FrameParser
from payloops.client.errors import UnreadableAnswer
from payloops.client.models.webhooks import EventFeed, EventType, FeedEvent

LATEST: Final = "latest"
SILENCE_MAX_S: Final = 45.0
"""The service says something every 15 s: a stream that is silent for so long is dead."""
STREAM_RETRIES: Final = Retries(attempts_max=20, base_s=2.0, step_max_s=30.0)
"""Of connections that fail one after the other: some minutes in all, as long as a deployment may take."""
_PAUSE_MIN_S: Final = 0.05
"""Whatever a service asks for: one that closes at once is not asked without a pause."""
_OPEN: Final = 200
_FIRST_ERROR: Final = 400


class Following:
    """One follower of the feed. It knows how far it came, so nothing is missed and nothing is given twice."""

    def __init__(
        self,
        setup: Setup,
        *,
        after: int | Literal["latest"] | None = None,
        types: Sequence[EventType] | None = None,
        retries: Retries = STREAM_RETRIES,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._setup = setup
        self._types = types
        self._retries = retries
        self._jitter = jitter
        self._after: int | None = None if after == LATEST else after
        self._wants_latest = after == LATEST
        self._parser = FrameParser()
        self._failures = 0
        # Said now what can't be said: the stream itself begins later.
        feed(after, types, None)

    def where_from(self) -> Call[EventFeed] | None:
        """A call to make first: where the feed's end is now. Else a stream from there that breaks early would skip."""
        return feed(LATEST, self._types, 1) if self._wants_latest else None

    def begin_after(self, page: EventFeed) -> None:
        """The answer to ``where_from``."""
        self._after, self._wants_latest = page.next_after, False

    def request(self) -> Request:
        """What opens the stream, or opens it again where it broke."""
        self._parser = FrameParser()
        made = request_of(feed(None, self._types, None), self._setup, accept="text/event-stream")
        headers = dict(made.headers)
        if self._after is not None:
            headers["Last-Event-ID"] = str(self._after)
        return replace(made, headers=headers, timeout_s=SILENCE_MAX_S)

    def is_open(self, answer: Answer) -> bool:
        """Whether this is the stream; its body is not looked at."""
        if answer.status != _OPEN or not answer.headers.get("content-type", "").startswith("text/event-stream"):
            return False
        self._failures = 0
        return True

    def take(self, chunk: bytes) -> Iterator[FeedEvent]:
        """The events that this chunk completes. Raises UnreadableAnswer."""
        try:
            frames = list(self._parser.feed(chunk))
        except ValueError:
            raise UnreadableAnswer("an event of the stream is too large", status=200, correlation_id=None) from None
        for frame in frames:
            event = _event(frame)
            if self._after is None or event.position > self._after:
                self._after = event.position
                yield event

    def pause(self, outcome: Outcome) -> Pause:
        """How long to wait before the stream is opened again, after it ended (None) or could not be opened.

        Raises ApiError, NoAnswer, UnreadableAnswer when that would not help.
        """
        retry_s = self._retries.base_s if self._parser.retry_ms is None else self._parser.retry_ms / 1000
        if outcome is None:
            # It was open, so nothing is wrong; not everybody comes back at the same moment.
            return Pause(max(_PAUSE_MIN_S, retry_s * (0.5 + self._jitter() / 2)))
        if isinstance(outcome, Answer) and outcome.status < _FIRST_ERROR:
            message = f"the feed answered {outcome.status}, and no stream: base_url may lead to something else"
            raise UnreadableAnswer(message, status=outcome.status, correlation_id=None)
        self._failures += 1
        failure, problem = told(outcome)
        wait = pause_s(self._retries, self._failures, failure, "read", self._jitter)
        if wait is None:
            raise problem
        return Pause(wait)


def _event(frame: Frame) -> FeedEvent:
    problem = ""
    try:
        return FeedEvent.model_validate_json(frame.data)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['type']}"
    raise UnreadableAnswer(f"an event of the stream can't be read: {problem}", status=200, correlation_id=None)
