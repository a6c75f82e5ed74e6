"""The audit trail: events as they may be shown. Secrets and personal data are masked by the type of their field."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, get_args, get_type_hints
from uuid import UUID, uuid5

from payloops.events.base import Event, Sealed
from payloops.values import iso

MASK: Final = "[encrypted]"

_ENVELOPE: Final = frozenset({"originator_id", "originator_version", "timestamp", "meta"})
_ALSO_MASKED: Final = frozenset({"email_digest", "payment_method_token"})
"""Not sealed, yet not for a trail: a digest tells whether an address is this one, and a token can be charged."""
_VERSION_SUFFIX: Final = re.compile(r"\.v[0-9]+")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An event at its place in the log."""

    position: int
    recorded_at: datetime
    event: Event


def event_id(stream_id: UUID, version: int) -> UUID:
    """The event's own id: made from its place, so it is the same for ever and everywhere."""
    return uuid5(stream_id, str(version))


def wire_entry(entry: AuditEntry) -> dict[str, Any]:
    """The audit entry of the wire contract, for orjson. ``type`` has no version: data is in the latest form."""
    event = entry.event
    meta = event.meta
    return {
        "position": entry.position,
        "id": event_id(event.originator_id, event.originator_version),
        "streamId": event.originator_id,
        "streamVersion": event.originator_version,
        "type": _VERSION_SUFFIX.sub("", event.TOPIC),
        "occurredAt": iso(event.timestamp),
        "recordedAt": iso(entry.recorded_at),
        "actor": {"type": meta.actor.type, "id": meta.actor.id},
        "correlationId": meta.correlation_id,
        "causationId": meta.causation_id,
        "data": wire_data(event),
    }


def wire_data(event: Event) -> dict[str, Any]:
    """What the event says, in camelCase, with masks in place of what was sealed."""
    data: dict[str, Any] = {}
    for name, shown, masked in _fields(type(event)):
        value = getattr(event, name)
        if masked and value is not None:
            value = MASK
        elif isinstance(value, datetime):
            value = iso(value)
        data[shown] = value
    return data


@cache
def _fields(event_class: type[Event]) -> tuple[tuple[str, str, bool], ...]:
    """Per field of the event itself: its name, its name on the wire, and whether it is masked."""
    hints = get_type_hints(event_class)
    return tuple(
        (field.name, _camel(field.name), field.name in _ALSO_MASKED or _is_sealed(hints[field.name]))
        for field in dataclasses.fields(event_class)
        if field.name not in _ENVELOPE
    )


def _is_sealed(hint: Any) -> bool:
    return hint is Sealed or any(argument is Sealed for argument in get_args(hint))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
