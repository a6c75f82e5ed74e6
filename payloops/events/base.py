"""The base of all events, and who and what caused one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NewType
from uuid import UUID

from eventsourcing.domain import DomainEvent

from payloops.values import value

Sealed = NewType("Sealed", str)
"""Encrypted text (crypto.py): the only form in which a secret, a password hash or personal data enters an event."""

ActorType = Literal["api_key", "user", "processor", "workflow", "system"]


@value(frozen=True, slots=True)
class Actor:
    """Who asked: an API key's or user's id, a processor's name, a workflow's id."""

    type: ActorType
    id: str


@value(frozen=True, slots=True)
class Meta:
    """What an event tells of its cause.

    ``command_id`` is fresh for each command: two commands never write equal bytes, so a stored event proves which
    command wrote it.
    """

    command_id: UUID
    actor: Actor
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None
    """W3C trace context of the request, so that what follows later joins its trace."""


@dataclass(frozen=True)
class Event(DomainEvent):
    """An immutable fact about one aggregate.

    ``originator_id`` is the stream, ``originator_version`` counts its events from 1, ``timestamp`` is the time on the
    command. Subclasses name themselves by ``TOPIC`` (never a Python path); a changed class gets the next version's
    topic, ``class_version`` + 1 and an ``upcast_vN_vM`` static method, and stays registered for its old topics.
    """

    meta: Meta

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1
