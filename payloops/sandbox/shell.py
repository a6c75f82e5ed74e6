"""The shell around both APIs: who asks, what goes wrong on the way, and the same answer for the same key.

An operation itself is a plain function on a :class:`Work`; all waiting happens here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from payloops.sandbox.engine import Engine, Work
from payloops.sandbox.faults import ConnectionLost, FaultGate, Mode
from payloops.sandbox.parameters import Values
from payloops.sandbox.store import Account, ArmedFault, StoredReply
from payloops.sandbox.wire import Refusal, Reply

BODY_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an API: the path's variables and the parameters of query or body."""

    path: dict[str, str]
    values: Values


Perform = Callable[[Work, Call], Reply]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route of an API. ``name`` is what faults and the ledger's calls know it by."""

    method: str
    path: str
    name: str
    perform: Perform


class Dialect(Protocol):
    """What differs between the two processors."""

    processor: str

    def authenticate(self, request: web.Request) -> tuple[str, str | None]:
        """(account key, secret if there is one apart), or a Refusal with 401."""
        ...

    def accept(self, account: Account, secret: str | None) -> None:
        """Refuse a secret that is not the account's."""
        ...

    def values(self, request: web.Request, body: bytes) -> Values:
        """The parameters of a request, or a Refusal with 400."""
        ...

    def idempotency_key(self, request: web.Request, operation: Operation) -> str | None:
        """The key that makes this request safe to repeat, or a Refusal for a malformed one."""
        ...

    def new_request_id(self) -> str:
        """An id for the request, for the answer's headers and the events that it causes."""
        ...

    def headers(self, request: web.Request, reply: Reply, request_id: str, key: str | None) -> dict[str, str]:
        """Headers of every answer."""
        ...

    def replayed(self, stored: StoredReply) -> dict[str, str]:
        """Headers that mark an answer as a repeated one."""
        ...

    def key_reused(self, key: str) -> Refusal:
        """The key belongs to another request."""
        ...

    def key_in_flight(self, key: str) -> Refusal:
        """The first request with the key is still running."""
        ...

    def failed(self, mode: Mode) -> Reply:
        """The answer of the faults ``http_500`` and ``http_429``."""
        ...


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A request that is known to come from an account. ``key`` makes it safe to repeat."""

    request: web.Request
    operation: Operation
    account: Account
    body: bytes
    request_id: str
    key: str | None


class Shell:
    """Serves the operations of one dialect."""

    def __init__(self, engine: Engine, gate: FaultGate, dialect: Dialect) -> None:
        self._engine = engine
        self._gate = gate
        self._dialect = dialect
        self._in_flight: set[tuple[str, str]] = set()

    def handler(self, operation: Operation) -> Handler:
        """The aiohttp handler of an operation."""

        async def handle(request: web.Request) -> web.Response:
            request_id = self._dialect.new_request_id()
            key: str | None = None
            try:
                account = self._account(request)
                body = await request.read()
                key = self._dialect.idempotency_key(request, operation)
                reply = await self._serve(_Arrival(request, operation, account, body, request_id, key))
            except Refusal as refusal:
                reply = refusal.reply
            except ConnectionLost:
                return web.Response()
            headers = self._dialect.headers(request, reply, request_id, key)
            return web.Response(
                status=reply.status, body=reply.body, content_type="application/json", headers=headers | reply.headers
            )

        return handle

    def _account(self, request: web.Request) -> Account:
        key, secret = self._dialect.authenticate(request)
        store = self._engine.store
        account = store.account(key)
        if account is None or (account.secret is None and secret is not None):
            with store.transaction():
                account = store.add_account(key, self._dialect.processor, secret, self._engine.now_ms() // 1000)
        self._dialect.accept(account, secret)
        return account

    async def _serve(self, arrival: _Arrival) -> Reply:
        # Counting the arrival and doing the work share one commit; a refusal undoes the work alone.
        with self._engine.store.transaction():
            fault = self._gate.arrive(arrival.account.key, arrival.operation.name)
            if fault is None:
                return self._answer(arrival)
        return await self._serve_with(fault, arrival)

    async def _serve_with(self, fault: ArmedFault, arrival: _Arrival) -> Reply:
        if fault.mode in {Mode.HTTP_500, Mode.HTTP_429}:
            return self._dialect.failed(Mode(fault.mode))
        if fault.mode == Mode.SLOW and arrival.key is not None:
            await self._at_work(arrival, arrival.key, fault)
        else:
            await self._gate.before(fault, arrival.request)
        reply = self._answer(arrival)
        await self._gate.after(fault, arrival.request)
        return reply

    async def _at_work(self, arrival: _Arrival, key: str, fault: ArmedFault) -> None:
        """A slow request is at work on its key already: another one with the same key is turned away meanwhile."""
        slot = (arrival.account.key, key)
        if slot in self._in_flight:
            raise self._dialect.key_in_flight(key)
        self._in_flight.add(slot)
        try:
            await self._gate.before(fault, arrival.request)
        finally:
            self._in_flight.discard(slot)

    def _answer(self, arrival: _Arrival) -> Reply:
        try:
            return self._perform(arrival)
        except Refusal as refusal:
            return refusal.reply

    def _perform(self, arrival: _Arrival) -> Reply:
        """Do it, or repeat what the key was answered before. No waiting in here: requests can't interleave."""
        key, account = arrival.key, arrival.account
        values = self._dialect.values(arrival.request, arrival.body)
        call = Call(dict(arrival.request.match_info), values)
        if key is None:
            with self._engine.work(account, request_id=arrival.request_id) as work:
                return arrival.operation.perform(work, call)
        if (account.key, key) in self._in_flight:
            raise self._dialect.key_in_flight(key)
        fingerprint = _fingerprint(arrival.request, values)
        stored = self._engine.store.reply(account.key, key)
        if stored is not None:
            if stored.fingerprint != fingerprint:
                raise self._dialect.key_reused(key)
            return Reply(stored.status, stored.body, self._dialect.replayed(stored))
        try:
            with self._engine.work(account, request_id=arrival.request_id, idempotency_key=key) as work:
                reply = arrival.operation.perform(work, call)
                self._keep(arrival, key, fingerprint, reply)
        except Refusal as refusal:
            if refusal.executed:
                with self._engine.store.transaction():
                    self._keep(arrival, key, fingerprint, refusal.reply)
            raise
        return reply

    def _keep(self, arrival: _Arrival, key: str, fingerprint: bytes, reply: Reply) -> None:
        kept = StoredReply(fingerprint, arrival.request_id, reply.status, reply.body)
        self._engine.store.add_reply(arrival.account.key, key, kept, created_s=self._engine.now_ms() // 1000)


def _fingerprint(request: web.Request, values: Values) -> bytes:
    canonical = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(f"{request.method} {request.path}\n".encode() + canonical).digest()
