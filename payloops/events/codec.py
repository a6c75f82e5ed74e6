"""Events to bytes and back: the library's Mapper over orjson, with field types restored on the way in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder
from eventsourcing.utils import TopicError, resolve_topic

from payloops.events.base import Actor, Event, Meta
from payloops.events.registry import register_topics

_ENVELOPE = ("originator_id", "originator_version")


class UnreadableEvent(Exception):
    """A stored event that no class reads: an unknown topic or state that does not fit. Names the event, not its contents."""


class OrjsonTranscoder(Transcoder):
    """JSON by orjson: dataclasses, UUIDs (as text) and times (RFC 3339) are native to it, and it refuses what JSON can't hold."""

    def encode(self, obj: Any) -> bytes:
        return orjson.dumps(obj, option=orjson.OPT_UTC_Z)

    def decode(self, data: bytes) -> Any:
        return orjson.loads(data)


class EventMapper(Mapper[UUID]):
    """The library's mapper; upcasting is its own, restoring types is ours."""

    def __init__(self) -> None:
        register_topics()
        super().__init__(OrjsonTranscoder())

    def to_event(self, stored: StoredEvent) -> Event:
        """The domain event. Raises UnreadableEvent."""
        try:
            event_class = cast("type[Event]", resolve_topic(stored.topic))
            state: dict[str, Any] = self.transcoder.decode(stored.state)
            _upcast(event_class, state)
            _restore_types(event_class, state)
        except (TopicError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableEvent(
                f"stream {stored.originator_id} version {stored.originator_version} topic {stored.topic}: {type(error).__name__}"
            ) from None
        event = object.__new__(event_class)
        state["originator_id"] = stored.originator_id
        state["originator_version"] = stored.originator_version
        event.__dict__.update(state)
        return event


def _upcast(event_class: type[Event], state: dict[str, Any]) -> None:
    version = state.pop("class_version", 1)
    while version < event_class.class_version:
        getattr(event_class, f"upcast_v{version}_v{version + 1}")(state)
        version += 1


def _restore_types(event_class: type[Event], state: dict[str, Any]) -> None:
    restorers, names = _restorers(event_class)
    if state.keys() != names:
        raise KeyError(event_class.TOPIC)
    for name, restore in restorers:
        value = state[name]
        if value is not None:
            state[name] = restore(value)


@cache
def _restorers(event_class: type) -> tuple[tuple[tuple[str, Callable[[Any], Any]], ...], frozenset[str]]:
    """Per field that JSON does not carry as itself, how to make it again; and the names of all fields."""
    hints = {
        name: hint
        for name, hint in get_type_hints(event_class).items()
        if get_origin(hint) is not ClassVar and name not in _ENVELOPE
    }
    restorers = ((name, _restorer(hint)) for name, hint in hints.items())
    return tuple((name, restore) for name, restore in restorers if restore is not None), frozenset(hints)


def _restorer(hint: Any) -> Callable[[Any], Any] | None:
    if get_origin(hint) in (UnionType, Union):
        inner = [arg for arg in get_args(hint) if arg is not NoneType]
        return _restorer(inner[0]) if len(inner) == 1 else None
    if hint is UUID:
        return UUID
    if hint is datetime:
        return datetime.fromisoformat
    if hint is Meta:
        return _meta
    if get_origin(hint) is tuple:
        return tuple
    return None


def _meta(value: dict[str, Any]) -> Meta:
    return Meta(
        command_id=UUID(value["command_id"]),
        actor=Actor(**value["actor"]),
        correlation_id=value["correlation_id"],
        causation_id=value["causation_id"],
        traceparent=value["traceparent"],
    )
