"""Events to bytes and back: the library's Mapper over orjson, with field types restored on the way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from payloops.events.base import Actor, Event, Meta
from payloops.events.registry import CLASS_BY_TOPIC, register_topics

ENVELOPE: Final = ("originator_id", "originator_version")
"""Fields that are columns of the log, not part of an event's state."""


class UnreadableEvent(Exception):
    """A stored event that no class reads: an unknown topic, or a state that does not fit.

    Names the event, never its contents.
    """


class OrjsonTranscoder(Transcoder):
    """JSON by orjson: UUIDs (as text) and times (RFC 3339, UTC as Z) are native to it.

    It refuses lone surrogates, integers beyond 64 bits and keys that are not text; not-a-number becomes null.
    """

    def encode(self, obj: Any) -> bytes:
        """The JSON text. Raises TypeError."""
        return orjson.dumps(obj, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS)

    def decode(self, data: bytes) -> Any:
        """What the JSON text says. Raises ValueError."""
        return orjson.loads(data)


class EventMapper(Mapper[UUID]):
    """The library's mapper; upcasting is its own, restoring types is ours."""

    def __init__(self, classes: Mapping[str, type[Event]] = CLASS_BY_TOPIC) -> None:
        register_topics()
        super().__init__(OrjsonTranscoder())
        self._classes = classes

    def to_event(self, stored: StoredEvent) -> Event:
        """The domain event. Raises UnreadableEvent."""
        event_class = self._classes.get(stored.topic)
        if event_class is None:
            raise UnreadableEvent(_name(stored) + "an unknown topic")
        try:
            state: dict[str, Any] = self.transcoder.decode(stored.state)
            _upcast(event_class, state)
            _restore_types(event_class, state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableEvent(_name(stored) + type(error).__name__) from None
        state["originator_id"] = stored.originator_id
        state["originator_version"] = stored.originator_version
        event = object.__new__(event_class)
        object.__setattr__(event, "__dict__", state)
        return event

    def to_domain_event(self, stored_event: StoredEvent) -> Event:
        """The same under the library's name, for its recorders and stores. Raises UnreadableEvent."""
        return self.to_event(stored_event)


def _plain(value: object) -> dict[str, Any]:
    """An event's cause as orjson writes it ten times faster than the dataclass that it is."""
    if not isinstance(value, Meta):
        raise TypeError(f"{type(value).__name__} can't stand in an event")
    return {
        "command_id": value.command_id,
        "actor": {"type": value.actor.type, "id": value.actor.id},
        "correlation_id": value.correlation_id,
        "causation_id": value.causation_id,
        "traceparent": value.traceparent,
    }


def _name(stored: StoredEvent) -> str:
    return f"stream {stored.originator_id} version {stored.originator_version} topic {stored.topic}: "


def _upcast(event_class: type[Event], state: dict[str, Any]) -> None:
    version = state.pop("class_version", 1)
    if version > event_class.class_version:
        raise ValueError("written by a later version of this program")
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


def state_types(event_class: type) -> dict[str, Any]:
    """Name -> type of each field of an event's state, as it stands in the log beside the envelope's columns."""
    return {
        name: hint
        for name, hint in get_type_hints(event_class).items()
        if get_origin(hint) is not ClassVar and name not in ENVELOPE
    }


@cache
def _restorers(event_class: type) -> tuple[tuple[tuple[str, Callable[[Any], Any]], ...], frozenset[str]]:
    """Per field that JSON does not carry as itself, how to make it again; and the names of all fields."""
    hints = state_types(event_class)
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
        return _tuple_restorer(_restorer(get_args(hint)[0]))
    return None


def _tuple_restorer(restore: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return tuple if restore is None else lambda values: tuple(map(restore, values))


def _meta(value: dict[str, Any]) -> Meta:
    return Meta(
        command_id=UUID(value["command_id"]),
        actor=Actor(**value["actor"]),
        correlation_id=value["correlation_id"],
        causation_id=value["causation_id"],
        traceparent=value["traceparent"],
    )
