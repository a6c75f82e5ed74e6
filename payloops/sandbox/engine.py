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
    """One transaction on behalf of one account."""

    def __init__(
        self, engine: Engine, account: Account, now: datetime, *, request_id: str | None, idempotency_key: str | None
    ) -> None:
        self._engine = engine
        self.store = engine.store
        self.account = account
        self.now_s = int(now.timestamp())
        self.now_ms = int(now.timestamp() * 1000)
        self.request_id = request_id
        """The request that causes this; None for what the processor, the customer or a dashboard does."""
        self.idempotency_key = idempotency_key
        self.page_url = engine.page_url
        """Where the sandbox's own pages are reached by a browser."""
        self.deliveries: list[Delivery] = []
        self.appointments: list[Appointment] = []
        self._emitted: list[tuple[str, StoredDocument]] = []
        self._endpoints: list[StoredDocument] | None = None

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
        document = self.store.add_document(
            self.account.key, kind, body, created_s=self.now_s, parent=parent, hidden=hidden
        )
        if labels:
            self.store.label(document, labels)
        return document

    def save(self, document: StoredDocument) -> None:
        """Write a changed document."""
        self.store.save_document(document)

    def find(self, kind: str, document_id: str) -> StoredDocument | None:
        """The account's own document of that kind and id."""
        document = self.store.document(document_id)
        if document is None or document.kind != kind or document.account != self.account.key:
            return None
        return document

    def endpoints(self) -> list[StoredDocument]:
        """The account's enabled webhook endpoints, oldest first."""
        if self._endpoints is None:
            found = self.store.documents(self.account.key, ENDPOINT, Page(limit=_ENDPOINTS_MAX))
            self._endpoints = [endpoint for endpoint in reversed(found) if endpoint.body["status"] == "enabled"]
        return self._endpoints

    def emit(self, event_id: str, event_type: str, event: Document) -> None:
        """Publish an event; it is sent to the endpoints that want it once the transaction is committed."""
        document = self.store.add_document(
            self.account.key, EVENT, event, created_s=self.now_s, document_id=event_id, parent=event_type
        )
        self._emitted.append((event_type, document))

    def later(self, action: str, subject: str) -> None:
        """Let the processor do something by itself after the settling delay."""
        due_ms = self.now_ms + self._engine.settle_delay_ms
        self.appointments.append(self.store.add_appointment(self.account.key, action, subject, due_ms))

    def finish(self) -> None:
        """Plan the deliveries of the events, each endpoint with its own bad manners."""
        for endpoint in self.endpoints() if self._emitted else []:
            wanted = endpoint.body["enabled_events"]
            events = [event.id for kind, event in self._emitted if "*" in wanted or kind in wanted]
            manners = Manners.from_document(endpoint.hidden.get("manners", {}))
            for event_id, delay_ms in manners.schedule(events, self._engine.chance):
                delivery = self.store.add_delivery(self.account.key, event_id, endpoint.id, self.now_ms + delay_ms)
                self.deliveries.append(delivery)


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
