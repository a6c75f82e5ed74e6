"""The event store: the only I/O of this package."""

from payloops.events.store.append import Append, Appended, IdempotencyRow, Outcome, StoredResponse
from payloops.events.store.store import EventStore, LoggedEvent

__all__ = ["Append", "Appended", "EventStore", "IdempotencyRow", "LoggedEvent", "Outcome", "StoredResponse"]
