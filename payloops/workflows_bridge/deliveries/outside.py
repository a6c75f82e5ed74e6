"""Sending for workflows and workers that are not ours: one request, by the same rules, that is in no read table.

The event is ours if we know it: then its stored body is sent, whatever the worker brought. What it brought is sent only
for an event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.projections.public_events import PublicEvent, PublicEvents
from payloops.values import Clock
from payloops.workflows_bridge.deliveries.receivers import Receivers
from payloops.workflows_bridge.deliveries.requests import request_headers
from payloops.workflows_bridge.deliveries.sender import Answer, Sender

BODY_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Errand:
    """What somebody else wants sent. ``merchant_id`` is None where only the event tells it."""

    event_id: str
    merchant_id: UUID | None
    url: str
    payload: Any
    secret: str | None = None


class Outside:
    """See the module. Raises Unavailable, Exhausted (sender.py)."""

    def __init__(self, events: PublicEvents, receivers: Receivers, sender: Sender, clock: Clock) -> None:
        self._events = events
        self._receivers = receivers
        self._sender = sender
        self._clock = clock

    async def send(self, errand: Errand, correlation_id: str) -> Answer:
        """One request."""
        event = await self._event(errand)
        secrets, problem = await self._secrets(errand, event)
        if not secrets:
            return Answer(None, problem)
        body = event.body if event is not None else _body(errand.payload)
        if body is None:
            return Answer(None, "the payload is no JSON, or too large")
        headers = request_headers(errand.event_id, body, secrets=secrets, now=self._clock.now(), cause=correlation_id)
        return await self._sender.send(errand.url, body, headers)

    async def _event(self, errand: Errand) -> PublicEvent | None:
        """The event if it is one of ours, and of the merchant that is named."""
        try:
            event = await self._events.get(UUID(errand.event_id))
        except ValueError:
            return None
        if event is None or errand.merchant_id not in (None, event.merchant_id):
            return None
        return event

    async def _secrets(self, errand: Errand, event: PublicEvent | None) -> tuple[tuple[str, ...], str]:
        """What signs, the newest first; or why nothing may be sent."""
        merchant_id = errand.merchant_id or (None if event is None else event.merchant_id)
        signing = None if merchant_id is None else await self._receivers.signing(merchant_id, errand.url)
        if signing is not None and signing.url == errand.url and not signing.enabled:
            return (), "the endpoint is disabled"
        if errand.secret:
            return (errand.secret,), ""
        if signing is None:
            return (), "there is no secret to sign with"
        return signing.secrets, ""


def _body(payload: Any) -> bytes | None:
    if not isinstance(payload, Mapping | list):
        return None
    try:
        body = orjson.dumps(payload)
    except (TypeError, ValueError):
        return None
    return body if len(body) <= BODY_BYTES_MAX else None
