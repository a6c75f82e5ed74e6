"""The engine: every change of the simulated world is one :class:`Work`: one transaction, with the events it causes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Protocol

from payloops.sandbox.manners import Manners
from payloops.sandbox.store import Account, Appointment, Delivery, Page, Store, StoredDocument
from payloops.sandbox.wire import Document
from payloops.values import Clock

ENDPOINT: Final = "webhook_endpoint"
EVENT: Final = "event"
_ENDPOINTS_MAX: Final = 100
_REPLIES_KEPT_S: Final = 7 * 24 * 3600
_EVENTS_KEPT_S: Final = 30 * 24 * 3600


class Outgoing(Protocol):
    """Where planned deliveries and appointments go once they are committed."""

    def push(self, deliveries: Sequence[Delivery], /) -> None:
        """Take over; the rows are in the store."""
        ...


class Reminding(Protocol):
    """Where appointments go once they are committed."""

    def push(self, appointments: Sequence[Appointment], /) -> None:
        """Take over; the rows are in the store."""
        ...


class Work:
    """One transaction on behalf of one account.

    New and changed documents are written when it finishes, or before a list is read: a payment that is made, charged
    and captured at once is one row written once. Within one work a document is one object, however often it is found.
    """

    def __init__(
        self, engine: Engine, account: Account, now: datetime, *, request_id: str | None, idempotency_key: str | None
    ) -> None:
        self._engine = engine
        self._store = engine.store
        self.account = account
        self.now_s = int(now.timestamp())
        self._now_ms = int(now.timestamp() * 1000)
        self.request_id = request_id
        """The request that causes this; None for what the processor, the customer or a dashboard does."""
        self.idempotency_key = idempotency_key
        self.page_url = engine.page_url
        """Where the sandbox's own pages are reached by a browser."""
        self.deliveries: list[Delivery] = []
        self.appointments: list[Appointment] = []
        self._known: dict[str, StoredDocument] = {}
        self._unsaved: dict[str, StoredDocument] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._emitted: list[tuple[str, str]] = []
        self._endpoints: list[StoredDocument] | None = None

    # ----------------------------------------------------------------------------------------------------- documents
    def add(
        self,
        kind: str,
        body: Document,
        *,
        parent: str | None = None,
        hidden: Document | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> StoredDocument:
        """Keep a new document of this account."""
        document = StoredDocument(0, body["id"], self.account.key, kind, parent, self.now_s, body, hidden or {})
        self._known[document.id] = self._unsaved[document.id] = document
        if labels:
            self._labels[document.id] = labels
        return document

    def save(self, document: StoredDocument) -> None:
        """Write a changed document."""
        self._unsaved[document.id] = document

    def relabel(self, document: StoredDocument, labels: Mapping[str, str]) -> None:
        """Replace what a document can be found by."""
        self._labels[document.id] = labels
        self._unsaved[document.id] = document

    def delete(self, document: StoredDocument) -> None:
        """Drop a stored document."""
        self._flush()
        self._known.pop(document.id, None)
        self._store.delete_document(document)

    def find(self, kind: str, document_id: str) -> StoredDocument | None:
        """The account's own document of that kind and id."""
        document = self._known.get(document_id) or self._store.document(document_id)
        if document is None or document.kind != kind or document.account != self.account.key:
            return None
        return self._known.setdefault(document_id, document)

    def documents(self, kind: str, page: Page, *, parent: str | None = None) -> list[StoredDocument]:
        """One page of a kind, or of a kind under one parent; newest first."""
        self._flush()
        return self._same(self._store.documents(self.account.key, kind, page, parent=parent))

    def labelled(self, kind: str, name: str, value: str, limit: int) -> list[StoredDocument]:
        """The documents that carry a label, newest first."""
        self._flush()
        return self._same(self._store.documents_of_label(self.account.key, kind, name, value, limit))

    def _same(self, found: list[StoredDocument]) -> list[StoredDocument]:
        return [self._known.setdefault(document.id, document) for document in found]

    def _flush(self) -> None:
        for document in self._unsaved.values():
            is_new = not document.seq
            self._store.write_document(document)
            labels = self._labels.get(document.id)
            if labels is not None:
                self._store.label(document, labels, replace=not is_new)
        self._unsaved.clear()
        self._labels.clear()

    # -------------------------------------------------------------------------------------------------------- events
    def endpoints(self) -> list[StoredDocument]:
        """The account's enabled webhook endpoints, oldest first."""
        if self._endpoints is None:
            found = self._store.documents(self.account.key, ENDPOINT, Page(limit=_ENDPOINTS_MAX))
            self._endpoints = [endpoint for endpoint in reversed(found) if endpoint.body["status"] == "enabled"]
        return self._endpoints

    def emit(self, event_id: str, event_type: str, event: Document) -> None:
        """Publish an event as things are now; it is sent to the endpoints that want it after the commit."""
        document = StoredDocument(0, event_id, self.account.key, EVENT, event_type, self.now_s, event, {})
        self._store.write_document(document)
        self._emitted.append((event_type, event_id))

    def pending_deliveries_of(self, event_id: str) -> int:
        """How many endpoints still wait for an event."""
        return self._store.pending_deliveries_of(event_id)

    def later(self, action: str, subject: str) -> None:
        """Let the processor do something by itself after the settling delay."""
        due_ms = self._now_ms + self._engine.settle_delay_ms
        self.appointments.append(self._store.add_appointment(self.account.key, action, subject, due_ms))

    def finish(self) -> None:
        """Write what is unsaved and plan the deliveries of the events, each endpoint with its own bad manners."""
        self._flush()
        for endpoint in self.endpoints() if self._emitted else []:
            wanted = endpoint.body["enabled_events"]
            events = [event_id for event_type, event_id in self._emitted if "*" in wanted or event_type in wanted]
            manners = Manners.from_document(endpoint.hidden.get("manners", {}))
            for event_id, delay_ms in manners.schedule(events, self._engine.chance):
                due_ms = self._now_ms + delay_ms
                self.deliveries.append(self._store.add_delivery(self.account.key, event_id, endpoint.id, due_ms))


Action = Callable[[Work, str], None]


class Engine:
    """Runs work: begin, change, plan the deliveries, commit, then tell the courier and the agenda."""

    def __init__(self, store: Store, clock: Clock, *, settle_delay_s: float, seed: int) -> None:
        self.store = store
        self.clock = clock
        self.settle_delay_ms = int(settle_delay_s * 1000)
        self.chance = random.Random(seed)  # noqa: S311 - it shuffles simulated deliveries
        self.page_url = ""
        self.courier: Outgoing | None = None
        self.agenda: Reminding | None = None
        self.actions: dict[str, Action] = {}
        """What an appointment's action name does."""
        now_s = int(clock.now().timestamp())
        with store.transaction():
            store.prune(replies_before_s=now_s - _REPLIES_KEPT_S, events_before_s=now_s - _EVENTS_KEPT_S)

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return int(self.clock.now().timestamp() * 1000)

    @contextmanager
    def work(
        self, account: Account, *, request_id: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[Work]:
        """A transaction; what it plans goes out after the commit. An exception undoes all of it."""
        with self.store.transaction():
            work = Work(self, account, self.clock.now(), request_id=request_id, idempotency_key=idempotency_key)
            yield work
            work.finish()
        if work.deliveries and self.courier is not None:
            self.courier.push(work.deliveries)
        if work.appointments and self.agenda is not None:
            self.agenda.push(work.appointments)

    def keep(self, appointment: Appointment) -> None:
        """Do what an appointment is about, unless its account was forgotten meanwhile."""
        with self.store.transaction():
            taken = self.store.take_appointment(appointment.seq)
            account = self.store.account(taken[0]) if taken else None
            if taken is None or account is None:
                return
            # The row goes in the same transaction as its effect, so that a crash repeats or loses neither.
            work = Work(self, account, self.clock.now(), request_id=None, idempotency_key=None)
            self.actions[taken[1]](work, taken[2])
            work.finish()
        if self.courier is not None:
            self.courier.push(work.deliveries)
        if self.agenda is not None:
            self.agenda.push(work.appointments)
