"""The sandbox's memory: one SQLite file, or none at all.

Everything runs on the event loop's own thread inside short transactions, so that two requests can't interleave. In
WAL mode a commit is one append to the log file: it is the operating system's at once and outlives ``kill -9`` of the
process. Nothing waits for the disk (``synchronous=OFF``): a power cut may cost a simulator its state, and it must not
take disk time from the database under test.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from payloops.db import load_sql
from payloops.errors import ConfigurationError
from payloops.sandbox.wire import Document

_SCHEMA_VERSION: Final = 1
_LOCK_TIMEOUT_S: Final = 2.0
_SEQ_MAX: Final = 2**63 - 1
# begin, commit, undo
_OUTER: Final = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_INNER: Final = ("SAVEPOINT work", "RELEASE work", ("ROLLBACK TO work", "RELEASE work"))


@dataclass(frozen=True, slots=True)
class Account:
    """A simulated merchant account: a Stripe secret key or a Razorpay key id (with the secret first seen for it)."""

    key: str = field(repr=False)
    processor: str
    secret: str | None = field(repr=False)
    created_s: int


@dataclass(slots=True)
class StoredDocument:
    """A document with what the simulator knows beside it. ``seq`` grows with creation and is 0 until it is written."""

    seq: int
    id: str
    account: str
    kind: str
    parent: str | None
    created_s: int
    body: Document = field(repr=False)
    hidden: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A cut of a list: ``below`` and ``above`` are exclusive bounds of seq; times are inclusive Unix seconds."""

    limit: int
    skip: int = 0
    below: int = _SEQ_MAX
    above: int = 0
    created_from_s: int = 0
    created_to_s: int = _SEQ_MAX
    upwards: bool = False
    """Whether the page is the one next to ``above`` instead of the one next to ``below``."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The answer that an idempotency key got, and the fingerprint of the request that it belongs to."""

    fingerprint: bytes
    request_id: str
    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ArmedFault:
    """A fault that waits for its call. ``wait_ms`` is only used by ``slow``."""

    seq: int
    mode: str
    remaining: int
    wait_ms: int


@dataclass(frozen=True, slots=True, order=True)
class Delivery:
    """An event on its way to one endpoint; ordered by due time (Unix milliseconds)."""

    due_ms: int
    seq: int
    event_id: str
    endpoint_id: str


@dataclass(frozen=True, slots=True, order=True)
class Appointment:
    """Something that the processor does by itself later; ordered by due time (Unix milliseconds)."""

    due_ms: int
    seq: int


class Store:
    """Typed access to the tables of ``store.sql``. Every write belongs into :meth:`transaction`."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the state at ``path``; None keeps it in memory only.

        :raises ConfigurationError: another process has it open, it can't be opened, or another version wrote it.
        """
        self._sql = load_sql("payloops.sandbox", "store")
        self._db = _connect(path, self._sql["schema"])
        self._depth = 0

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; an exception undoes the work and goes on. One inside another commits with the outer one."""
        begin, commit, undo = _OUTER if self._depth == 0 else _INNER
        self._db.execute(begin)
        self._depth += 1
        try:
            yield
        except BaseException:
            for statement in undo:
                self._db.execute(statement)
            raise
        else:
            self._db.execute(commit)
        finally:
            self._depth -= 1

    def _run(self, block: str, values: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._db.execute(self._sql[block], values)

    # ------------------------------------------------------------------------------------------------------ accounts
    def account(self, key: str) -> Account | None:
        """The account of that key, if it was ever used."""
        row = self._run("account_get", {"account": key}).fetchone()
        return Account(*row) if row else None

    def add_account(self, key: str, processor: str, secret: str | None, created_s: int) -> Account:
        """Remember an account; the first secret seen stays its secret."""
        values = {"account": key, "processor": processor, "secret": secret, "created_s": created_s}
        return Account(*self._run("account_add", values).fetchone())

    def forget(self, account: str) -> None:
        """Drop all that is known of an account."""
        for statement in self._sql["forget"].split(";"):
            if statement.strip():
                self._db.execute(statement, {"account": account})

    # ----------------------------------------------------------------------------------------------------- documents
    def document(self, document_id: str) -> StoredDocument | None:
        """The document of that id, whoever owns it."""
        row = self._run("document_get", {"id": document_id}).fetchone()
        return _document(row) if row else None

    def write_document(self, document: StoredDocument) -> None:
        """Insert a new document, which gets its ``seq``, or write what changed of a known one."""
        body, hidden = orjson.dumps(document.body), orjson.dumps(document.hidden)
        if document.seq:
            self._run("document_save", {"seq": document.seq, "body": body, "hidden": hidden})
            return
        values = {
            "id": document.id,
            "account": document.account,
            "kind": document.kind,
            "parent": document.parent,
            "created_s": document.created_s,
            "body": body,
            "hidden": hidden,
        }
        document.seq = self._run("document_add", values).lastrowid or 0

    def delete_document(self, document: StoredDocument) -> None:
        """Drop a document with its labels."""
        self._run("labels_delete", {"seq": document.seq})
        self._run("document_delete", {"seq": document.seq})

    def documents(self, account: str, kind: str, page: Page, *, parent: str | None = None) -> list[StoredDocument]:
        """One page of a kind, or of a kind under one parent; newest first."""
        block = ("documents_of_parent" if parent else "documents_of_kind") + ("_upwards" if page.upwards else "")
        values = {
            "account": account,
            "kind": kind,
            "parent": parent,
            "below": page.below,
            "above": page.above,
            "created_from_s": page.created_from_s,
            "created_to_s": page.created_to_s,
            "limit": page.limit,
            "skip": page.skip,
        }
        found = [_document(row) for row in self._run(block, values)]
        return found[::-1] if page.upwards else found

    def label(self, document: StoredDocument, labels: Mapping[str, str], *, replace: bool) -> None:
        """Give a stored document labels; ``replace`` drops those that it has."""
        if replace:
            self._run("labels_delete", {"seq": document.seq})
        for name, value in labels.items():
            self._run(
                "label_add",
                {
                    "account": document.account,
                    "kind": document.kind,
                    "name": name,
                    "value": value,
                    "seq": document.seq,
                },
            )

    def documents_of_label(self, account: str, kind: str, name: str, value: str, limit: int) -> list[StoredDocument]:
        """The documents that carry a label, newest first."""
        values = {"account": account, "kind": kind, "name": name, "value": value, "limit": limit}
        return [_document(row) for row in self._run("documents_of_label", values)]

    # --------------------------------------------------------------------------------------------------- idempotency
    def reply(self, account: str, key: str) -> StoredReply | None:
        """What the key was answered before."""
        row = self._run("reply_get", {"account": account, "key": key}).fetchone()
        return StoredReply(*row) if row else None

    def add_reply(self, account: str, key: str, reply: StoredReply, *, created_s: int) -> None:
        """Keep an answer under its key."""
        self._run(
            "reply_add",
            {
                "account": account,
                "key": key,
                "fingerprint": reply.fingerprint,
                "request_id": reply.request_id,
                "status": reply.status,
                "body": reply.body,
                "created_s": created_s,
            },
        )

    def prune(self, *, replies_before_s: int, events_before_s: int) -> None:
        """Drop idempotency keys and events that the real processors would have dropped by now."""
        self._run("replies_prune", {"before_s": replies_before_s})
        self._run("events_prune", {"before_s": events_before_s})

    # ----------------------------------------------------------------------------------------------- calls and faults
    def count_call(self, account: str, operation: str) -> None:
        """One more arrival of an operation."""
        self._run("call_count", {"account": account, "operation": operation})

    def calls(self, account: str) -> dict[str, int]:
        """How often each operation arrived."""
        return dict(self._run("calls_get", {"account": account}).fetchall())

    def add_fault(self, account: str, operation: str, mode: str, times: int, wait_ms: int) -> None:
        """Arm a fault behind those that wait already."""
        self._run(
            "fault_add",
            {"account": account, "operation": operation, "mode": mode, "times": times, "wait_ms": wait_ms},
        )

    def take_fault(self, account: str, operation: str) -> ArmedFault | None:
        """Spend one of the oldest fault that waits for this call."""
        row = self._run("fault_first", {"account": account, "operation": operation}).fetchone()
        if row is None:
            return None
        fault = ArmedFault(*row)
        self._run("fault_spend" if fault.remaining > 1 else "fault_delete", {"seq": fault.seq})
        return fault

    def faults(self, account: str) -> list[tuple[str, str, int]]:
        """(operation, mode, times left) of the faults that wait, oldest first."""
        return list(self._run("faults_get", {"account": account}))

    # ------------------------------------------------------------------------------------- deliveries, appointments
    def add_delivery(self, account: str, event_id: str, endpoint_id: str, due_ms: int) -> Delivery:
        """Plan to send an event to an endpoint."""
        values = {"account": account, "event_id": event_id, "endpoint_id": endpoint_id, "due_ms": due_ms}
        cursor = self._run("delivery_add", values)
        return Delivery(due_ms, cursor.lastrowid or 0, event_id, endpoint_id)

    def delivery_attempt(self, seq: int) -> int | None:
        """How many attempts were made; None when the delivery is done or forgotten."""
        row = self._run("delivery_get", {"seq": seq}).fetchone()
        return int(row[0]) if row else None

    def postpone_delivery(self, seq: int, attempt: int, due_ms: int) -> None:
        """Note a failed attempt and when the next one is due."""
        self._run("delivery_postpone", {"seq": seq, "attempt": attempt, "due_ms": due_ms})

    def delete_delivery(self, seq: int) -> None:
        """It arrived, or nobody wants it any more."""
        self._run("delivery_delete", {"seq": seq})

    def pending_deliveries_of(self, event_id: str) -> int:
        """How many endpoints still wait for an event."""
        return int(self._run("deliveries_of_event", {"event_id": event_id}).fetchone()[0])

    def pending_deliveries(self) -> list[Delivery]:
        """All that is still to be sent, soonest first."""
        rows: Sequence[tuple[int, str, str, int]] = self._run("deliveries_pending", {}).fetchall()
        return [Delivery(due_ms, seq, event_id, endpoint_id) for seq, event_id, endpoint_id, due_ms in rows]

    def add_appointment(self, account: str, action: str, subject: str, due_ms: int) -> Appointment:
        """Plan something that the processor does by itself."""
        values = {"account": account, "action": action, "subject": subject, "due_ms": due_ms}
        return Appointment(due_ms, self._run("appointment_add", values).lastrowid or 0)

    def take_appointment(self, seq: int) -> tuple[str, str, str] | None:
        """(account, action, subject) of an appointment, which is then gone; None when it was gone before."""
        row: tuple[str, str, str] | None = self._run("appointment_get", {"seq": seq}).fetchone()
        self._run("appointment_delete", {"seq": seq})
        return row

    def pending_appointments(self) -> list[Appointment]:
        """All that is still to happen, soonest first."""
        return [Appointment(due_ms, seq) for seq, due_ms in self._run("appointments_pending", {})]


def _document(row: tuple[int, str, str, str, str | None, int, bytes, bytes]) -> StoredDocument:
    seq, document_id, account, kind, parent, created_s, body, hidden = row
    return StoredDocument(seq, document_id, account, kind, parent, created_s, orjson.loads(body), orjson.loads(hidden))


def _connect(path: Path | None, schema: str) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here so that nobody else can read it: it holds test keys and webhook secrets.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path or ":memory:", timeout=_LOCK_TIMEOUT_S, isolation_level=None)
    try:
        # The exclusive lock keeps a second sandbox out of the same state and saves the shared-memory index.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA wal_autocheckpoint = 2000")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, _SCHEMA_VERSION}:
            raise ConfigurationError(
                f"{path} was written by another version of the sandbox (format {version}): delete it"
            )
        db.executescript(schema)
        db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    except sqlite3.OperationalError as error:
        db.close()
        raise ConfigurationError(f"the sandbox can't use {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        db.close()
        raise ConfigurationError(f"{path} is not a state of the sandbox: {error}") from error
    except BaseException:
        db.close()
        raise
    return db
