"""The one way a command takes effect: load, decide, fold, append, and again when another was faster."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

from payloops.commands.counting import COUNTED, Counted
from payloops.commands.idempotency import IdempotencyKey, Response, ResponseKeeper, in_flight_error
from payloops.errors import EmailExists, InvalidApiKey, NotFound, Overloaded, PayloopsError, VersionConflict
from payloops.events.base import Event
from payloops.events.store import Append, Appended, EventStore, Outcome
from payloops.values import value

RELOADS_MAX: Final = 3
CACHE_MAX: Final = 20_000
TURN_TIMEOUT_S: Final = 10.0
"""How long a command waits for those on the same stream before it."""

S = TypeVar("S")
C = TypeVar("C")


class Inline(Protocol):
    """Rows of a table that an event writes in its own transaction (projections.base.InlineProjection)."""

    @property
    def table(self) -> str:
        """The table's name."""

    def concerns(self, event_class: type[Any]) -> bool:
        """Whether events of this class can write rows."""

    def rows(self, before: Any, event: Any, after: Any, /) -> list[dict[str, Any]]:
        """The rows that the event writes, made from the states around it."""

    def merge(self, into: dict[Any, dict[str, Any]], rows: list[dict[str, Any]]) -> None:
        """Put rows over those of the same key, as the table's upsert does."""


@value(frozen=True, slots=True)
class Aggregate(Generic[S, C]):
    """All that the handler must know of a kind of aggregate. ``owner`` is the merchant that a state belongs to."""

    name: str
    events: tuple[type[Any], ...]
    """The classes of its events. A stream of others is no such aggregate: for the caller it does not exist."""
    initial: S
    evolve: Callable[[S, Any], S]
    decide: Callable[[C, S], Sequence[Any]]
    version: Callable[[S], int]
    owner: Callable[[S], UUID | None]
    inline: tuple[Inline, ...]
    inline_of: Mapping[type[Any], tuple[Inline, ...]]
    """The inline tables that each class of events can write."""
    live: Callable[[S], bool | None] = lambda _: None
    """The mode that a state is of: live, test (False), or neither (None)."""


@value(frozen=True, slots=True)
class Guard:
    """Who asks. The API key is checked again in the very transaction that appends; streams of others don't exist."""

    merchant_id: UUID
    api_key_id: UUID | None = None
    live: bool | None = None
    """The mode of the API key: streams of the other mode don't exist for it either. None: both do."""

    def may_reach(self, aggregate: Aggregate[S, Any], state: S) -> bool:
        """Whether the stream that is in this state exists for who asks. One that is not there yet does."""
        owner, live = aggregate.owner(state), aggregate.live(state)
        return owner in {None, self.merchant_id} and (live is None or self.live in {None, live})


@value(frozen=True, slots=True)
class Companion(Generic[S, C]):
    """A command on another stream that takes effect together with the one it accompanies, or not at all."""

    aggregate: Aggregate[S, C]
    stream_id: UUID
    command: C


@value(frozen=True, slots=True)
class Executed(Generic[S]):
    """What a command did. ``events`` is empty when all was so already, or when the response is a replay."""

    state: S
    events: tuple[Event, ...]
    position: int | None
    response: Response | None


class CommandHandler:
    """Executes commands of all aggregates over one store."""

    def __init__(
        self, store: EventStore, keeper: ResponseKeeper, *, counted: Mapping[type[Any], Counted] = COUNTED
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._counted = counted
        self._cache: OrderedDict[tuple[str, UUID], Any] = OrderedDict()
        self._turns: dict[UUID, _Turn] = {}
        self._running_keys: set[UUID] = set()

    async def load(self, aggregate: Aggregate[S, Any], stream_id: UUID) -> S:
        """The state of a stream as it is in the log now. Raises Unavailable."""
        state = aggregate.initial
        events = await self._store.load(stream_id)
        if not events or not isinstance(events[0], aggregate.events):
            return state
        for event in events:
            state = aggregate.evolve(state, event)
        self._remember(aggregate, stream_id, state)
        return state

    async def execute(
        self,
        aggregate: Aggregate[S, C],
        stream_id: UUID,
        command: C,
        *,
        guard: Guard | None = None,
        respond: Callable[[S, tuple[Event, ...]], Response] | None = None,
        idempotency: IdempotencyKey | None = None,
        expected_version: int | None = None,
        claim: str | None = None,
        taken: PayloopsError | None = None,
        extra_rows: Mapping[str, Sequence[dict[str, Any]]] | None = None,
        also: Sequence[Companion[Any, Any]] = (),
        new: bool = False,
    ) -> Executed[S]:
        """Execute one command.

        ``respond`` makes the response from the state after the events; with an idempotency key it commits with them.
        ``expected_version`` is If-Match. ``claim`` is a value that only one stream may hold; ``taken`` is raised when
        another holds it. ``also`` are commands on other streams of the same owner, decided on their latest states and
        appended in the same transaction. ``new`` says that the stream can't exist yet, so there is nothing to load.

        Raises what ``decide`` raises, and: InvalidApiKey (revoked or expired since), NotFound (another merchant's),
        VersionConflict (If-Match, or lost races after RELOADS_MAX reloads), ``taken`` or EmailExists (the claim is
        another's), IdempotencyMismatch, IdempotencyInFlight, Overloaded, Unavailable, OutcomeUnknown.
        """
        request = _Request(
            aggregate,
            stream_id,
            command,
            guard,
            respond,
            idempotency,
            expected_version,
            claim,
            extra_rows,
            tuple(also),
            taken,
        )
        if idempotency is None:
            return await self._execute(request, new=new)
        if idempotency.id in self._running_keys:
            if guard is not None:
                await self.prove(guard)
            raise in_flight_error()
        self._running_keys.add(idempotency.id)
        try:
            return await self._execute(request, new=new)
        finally:
            self._running_keys.discard(idempotency.id)

    async def _execute(self, request: _Request[S, C], *, new: bool) -> Executed[S]:
        if new:
            executed = await self._attempt(request, request.aggregate.initial, fresh=True)
            if executed is not None:
                return executed
        async with self._turn(request.stream_id):
            cached = self._cached(request.aggregate, request.stream_id)
            if cached is not None:
                executed = await self._attempt(request, cached, fresh=False)
                if executed is not None:
                    return executed
            # What was tried before stood on a guess or on the cache; a reload is what follows a lost race.
            for _ in range(RELOADS_MAX if new or cached is not None else 1 + RELOADS_MAX):
                state = await self.load(request.aggregate, request.stream_id)
                executed = await self._attempt(request, state, fresh=True)
                if executed is not None:
                    return executed
        raise VersionConflict("Other requests changed this at the same time; send the request again.")

    async def _attempt(self, request: _Request[S, C], state: S, *, fresh: bool) -> Executed[S] | None:
        """Decide on this state and append. None when it is not the latest one: load and try again."""
        try:
            request.require_reachable(state)
            events = tuple(request.aggregate.decide(request.command, state))
        except PayloopsError:
            if not fresh:
                self._forget(request)
                return None
            replayed = await self._before_refusal(request)
            if replayed is None:
                raise
            return Executed(state, (), None, replayed)
        if not events and not fresh:
            self._forget(request)
            return None
        after, rows = fold(request.aggregate, state, events)
        accompanying = await self._accompany(request, rows)
        if accompanying and not events and not await self._is_latest(request, state):
            return None
        response = None if request.respond is None else request.respond(after, events)
        if not (events or accompanying) and (request.idempotency is None or response is None):
            await self._before_refusal(request)
            return Executed(after, events, None, response)
        append = self._append_of(request, (*events, *accompanying), rows, response)
        appended = await self._store.append(append)
        return self._settle(request, appended, Executed(after, events, appended.position, response))

    async def _accompany(self, request: _Request[Any, Any], rows: dict[str, list[dict[str, Any]]]) -> tuple[Event, ...]:
        """The events of the companions, their rows put to ``rows``. Raises what their ``decide`` raises, NotFound."""
        events: list[Event] = []
        for companion in request.also:
            aggregate, state = companion.aggregate, await self.load(companion.aggregate, companion.stream_id)
            if request.guard is not None and not request.guard.may_reach(aggregate, state):
                raise NotFound(f"No such {aggregate.name}.")
            decided = tuple(aggregate.decide(companion.command, state))
            _, more = fold(aggregate, state, decided)
            for table, its in more.items():
                rows.setdefault(table, []).extend(its)
            events.extend(decided)
        return tuple(events)

    async def _is_latest(self, request: _Request[S, C], state: S) -> bool:
        """Whether the stream still ends where the companions' decisions took it to: no event of its own will tell."""
        latest = await self.load(request.aggregate, request.stream_id)
        return request.aggregate.version(latest) == request.aggregate.version(state)

    def _append_of(
        self,
        request: _Request[S, C],
        events: tuple[Event, ...],
        rows: dict[str, list[dict[str, Any]]],
        response: Response | None,
    ) -> Append:
        if events and request.extra_rows:
            for table, more in request.extra_rows.items():
                rows.setdefault(table, []).extend(dict(row) for row in more)
        key = request.idempotency
        return Append(
            events=[self._store.to_stored(event) for event in events],
            rows=rows,
            api_key_id=None if request.guard is None else request.guard.api_key_id,
            claim=None if request.claim is None else (request.claim, request.stream_id),
            idempotency=None if key is None or response is None else self._keeper.row(key, response),
        )

    def _settle(self, request: _Request[S, C], appended: Appended, done: Executed[S]) -> Executed[S] | None:
        match appended.outcome:
            case Outcome.APPENDED:
                if done.events:
                    self._remember(request.aggregate, request.stream_id, done.state)
                    self._count(done)
                self._forget_companions(request)
                return done
            case Outcome.CONFLICT:
                self._forget(request)
                return None
            case Outcome.UNAUTHORIZED:
                raise _revoked()
            case Outcome.CLAIMED:
                raise request.taken or EmailExists("An account with this e-mail address exists.", param="email")
            case Outcome.REPLAYED | Outcome.IN_FLIGHT:
                if request.idempotency is None or appended.response is None:
                    raise RuntimeError("a replay of a request that brought no idempotency key")
                in_flight = appended.outcome is Outcome.IN_FLIGHT
                response = self._keeper.replay(request.idempotency, appended.response, in_flight=in_flight)
                return Executed(done.state, (), None, response)

    def _count(self, done: Executed[Any]) -> None:
        for event in done.events:
            count = self._counted.get(type(event))
            if count is not None:
                count(event, done.state)

    async def _before_refusal(self, request: _Request[Any, Any]) -> Response | None:
        """What an append would have checked, asked because a refusal appends nothing.

        Does the API key still hold, and was this idempotency key answered before (then that answer stands)?
        """
        key, api_key_id = request.idempotency, None if request.guard is None else request.guard.api_key_id
        if key is None and api_key_id is None:
            return None
        holds, stored, in_flight = await self._store.prove_request(api_key_id, None if key is None else key.id)
        if not holds:
            raise _revoked()
        if key is None or stored is None:
            return None
        return self._keeper.replay(key, stored, in_flight=in_flight)

    async def prove(self, guard: Guard) -> None:
        """Raises InvalidApiKey when the guard's API key holds no longer."""
        if guard.api_key_id is not None:
            holds, _, _ = await self._store.prove_request(guard.api_key_id, None)
            if not holds:
                raise _revoked()

    async def wait_for(
        self, aggregate: Aggregate[S, Any], stream_id: UUID, reached: Callable[[S], bool], *, timeout_s: float
    ) -> S:
        """The stream's state once ``reached`` holds, or as it is when the time is over. Raises Unavailable."""
        with self._store.watch.stream(stream_id) as grew:
            deadline = asyncio.get_running_loop().time() + timeout_s
            state = await self.load(aggregate, stream_id)
            while not reached(state):
                try:
                    async with asyncio.timeout_at(deadline):
                        await grew.wait()
                except TimeoutError:
                    return await self.load(aggregate, stream_id)
                grew.clear()
                state = await self.load(aggregate, stream_id)
            return state

    async def finish(self, key: IdempotencyKey, response: Response) -> bool:
        """The last word of a request that waited for its outcome: replays give it from now on.

        False when ``flight_s`` was over before: then replays give the first answer. Raises Unavailable.
        """
        body = self._keeper.body(key.id, response)
        return await self._store.finish_idempotency(key.id, status=response.status, body=body, sealed=response.secret)

    def _cached(self, aggregate: Aggregate[S, Any], stream_id: UUID) -> S | None:
        return self._cache.get((aggregate.name, stream_id))

    def _remember(self, aggregate: Aggregate[S, Any], stream_id: UUID, state: S) -> None:
        """Keep the state, unless a later one is kept: loads overtake each other."""
        key = (aggregate.name, stream_id)
        kept = self._cache.get(key)
        if kept is None or aggregate.version(state) > aggregate.version(kept):
            self._cache[key] = state
        self._cache.move_to_end(key)
        if len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)

    def _forget(self, request: _Request[Any, Any]) -> None:
        self._cache.pop((request.aggregate.name, request.stream_id), None)
        self._forget_companions(request)

    def _forget_companions(self, request: _Request[Any, Any]) -> None:
        for companion in request.also:
            self._cache.pop((companion.aggregate.name, companion.stream_id), None)

    @asynccontextmanager
    async def _turn(self, stream_id: UUID) -> AsyncIterator[None]:
        """Commands on one stream take turns within this process, so that only other processes can be in the way.

        Raises Overloaded when those before take too long.
        """
        turn = self._turns.setdefault(stream_id, _Turn())
        turn.users += 1
        try:
            try:
                async with asyncio.timeout(TURN_TIMEOUT_S):
                    await turn.lock.acquire()
            except TimeoutError:
                raise Overloaded("Too many requests change this at the same time; send the request again.") from None
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if turn.users == 0:
                self._turns.pop(stream_id, None)


class _Turn:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


@value(frozen=True, slots=True)
class _Request(Generic[S, C]):
    aggregate: Aggregate[S, C]
    stream_id: UUID
    command: C
    guard: Guard | None
    respond: Callable[[S, tuple[Event, ...]], Response] | None
    idempotency: IdempotencyKey | None
    expected_version: int | None
    claim: str | None
    extra_rows: Mapping[str, Sequence[dict[str, Any]]] | None
    also: tuple[Companion[Any, Any], ...] = ()
    taken: PayloopsError | None = None

    def require_reachable(self, state: S) -> None:
        """Raises NotFound (another merchant's stream, or one of the other mode), VersionConflict (If-Match)."""
        if self.guard is not None and not self.guard.may_reach(self.aggregate, state):
            raise NotFound(f"No such {self.aggregate.name}.")
        if self.expected_version is not None and self.aggregate.owner(state) is not None:
            version = self.aggregate.version(state)
            if version != self.expected_version:
                raise VersionConflict(
                    f"The {self.aggregate.name} is at version {version}, not at the one that If-Match names; "
                    "read it again and send its ETag unchanged."
                )


def fold(aggregate: Aggregate[S, C], state: S, events: tuple[Event, ...]) -> tuple[S, dict[str, list[dict[str, Any]]]]:
    """The state after the events, and the rows that they write."""
    tables: dict[str, dict[Any, dict[str, Any]]] = {}
    for event in events:
        after = aggregate.evolve(state, event)
        for inline in aggregate.inline_of[type(event)]:
            rows = inline.rows(state, event, after)
            if rows:
                inline.merge(tables.setdefault(inline.table, {}), rows)
        state = after
    return state, {table: list(rows.values()) for table, rows in tables.items()}


def _revoked() -> InvalidApiKey:
    return InvalidApiKey("This API key is not valid: it is unknown, expired or revoked.")
