"""The clients of asyncio: ``AsyncPayLoops`` by API key, ``AsyncDashboard`` by token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar

import httpx

from payloops.client import resources
from payloops.client.base import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, BaseClient, BaseDashboard, bearer
from payloops.client.calls import accounts, dashboard
from payloops.client.core.binding import AsyncResource, RunsLater, WillDo, WillList
from payloops.client.core.call import Call
from payloops.client.core.exchange import Answer, Broken, Outcome, Pause, Request, Setup, Steps, exchange
from payloops.client.core.retries import Retries
from payloops.client.feed import STREAM_RETRIES, Following
from payloops.client.models.accounts import SignedIn
from payloops.client.models.webhooks import EventType, FeedEvent
from payloops.client.transport import Body, answer_of, broken, options_of

T = TypeVar("T")


async def send(http: httpx.AsyncClient, request: Request) -> Answer | Broken:
    """One attempt."""
    try:
        async with http.stream(request.method, request.url, **options_of(request)) as response:
            return answer_of(response, await _body_of(response))
    except httpx.RequestError as problem:
        return broken(problem, request)


async def _body_of(response: httpx.Response) -> bytes:
    body = Body()
    async for chunk in response.aiter_bytes():
        if not body.add(chunk):
            break
    return body.whole()


async def drive(http: httpx.AsyncClient, steps: Steps[T]) -> T:
    """Do what the steps say, to their end."""
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Pause):
                outcome = None
                await asyncio.sleep(step.seconds)
            else:
                outcome = await send(http, step)
    except StopIteration as end:
        value: T = end.value
        return value


async def follow(http: httpx.AsyncClient, setup: Setup, following: Following) -> AsyncGenerator[FeedEvent, None]:
    """The feed, opened again whenever it breaks."""
    first = following.where_from()
    if first is not None:
        following.begin_after(await drive(http, exchange(first, setup)))
    while True:
        request = following.request()
        outcome: Outcome = None
        opened = False
        try:
            async with http.stream(request.method, request.url, **options_of(request)) as response:
                opened = following.is_open(answer_of(response))
                if opened:
                    async for chunk in response.aiter_bytes():
                        for event in following.take(chunk):
                            yield event
                else:
                    outcome = answer_of(response, await _body_of(response))
        except httpx.RequestError as problem:
            outcome = None if opened else broken(problem, request)
        await asyncio.sleep(following.pause(outcome).seconds)


class _Http:
    """Connections, and what is done over them."""

    _http: httpx.AsyncClient
    _owns_http: bool
    _setup: Setup

    async def run(self, call: Call[T]) -> T:
        """Make a call. Raises ApiError, NoAnswer, UnreadableAnswer."""
        return await drive(self._http, exchange(call, self._setup))

    async def aclose(self) -> None:
        """Close the connections. An ``http_client`` that was given stays open: it is the giver's."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncPayLoops(_Http, BaseClient):
    """A merchant's server, by API key.

    Used so::

        async with AsyncPayLoops("sk_test_…", base_url="https://pay.example") as client:
            order = await client.orders.create(2599, currency="USD")

    ``timeout_s`` is for each wait on the connection (``wait=`` comes on top), ``correlation_id`` goes with each request
    and into every log line of it, ``http_client`` brings proxies, certificates or hooks of your own. One event loop
    at a time. Raises ValueError for options that can't work.
    """

    orders: resources.AsyncOrders
    checkout_sessions: resources.AsyncCheckoutSessions

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries = DEFAULT_RETRIES,
        correlation_id: str | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        setup = Setup(base_url, {"X-API-Key": api_key}, timeout_s, retries, correlation_id)
        self._http = http_client or httpx.AsyncClient()
        super().__init__(setup, owns_http=http_client is None)

    def _bind(self) -> None:
        self.orders = resources.AsyncOrders(self)
        self.checkout_sessions = resources.AsyncCheckoutSessions(self)


class AsyncDashboard(_Http, BaseDashboard):
    """A person at the dashboard, by token: ``await AsyncDashboard.login(email=…, password=…, base_url=…)``.

    Its options are those of AsyncPayLoops.
    """

    me: resources.AsyncMe
    api_keys: resources.AsyncApiKeys
    processors: resources.AsyncProcessors
    processor_events: resources.AsyncProcessorEvents
    webhook_endpoints: resources.AsyncWebhookEndpoints
    webhook_deliveries: resources.AsyncWebhookDeliveries
    orders: resources.AsyncDashboardOrders
    events: AsyncEvents
    stats = WillDo(dashboard.stats)
    audit = WillList(dashboard.audit)
    logout = WillDo(accounts.logout)

    def __init__(
        self,
        token: str,
        *,
        base_url: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries = DEFAULT_RETRIES,
        correlation_id: str | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        setup = Setup(base_url, bearer(token), timeout_s, retries, correlation_id)
        self._http = http_client or httpx.AsyncClient()
        super().__init__(setup, owns_http=http_client is None)

    def _bind(self) -> None:
        self.me = resources.AsyncMe(self)
        self.api_keys = resources.AsyncApiKeys(self)
        self.processors = resources.AsyncProcessors(self)
        self.processor_events = resources.AsyncProcessorEvents(self)
        self.webhook_endpoints = resources.AsyncWebhookEndpoints(self)
        self.webhook_deliveries = resources.AsyncWebhookDeliveries(self)
        self.orders = resources.AsyncDashboardOrders(self)
        self.events = AsyncEvents(self, lambda following: follow(self._http, self._setup, following), self.setup)

    @classmethod
    async def register(
        cls, *, name: str, email: str, password: str, base_url: str, http_client: httpx.AsyncClient | None = None
    ) -> Self:
        """Make an account, and sign in. Raises InvalidRequest (``email_exists``), RateLimited."""
        return await cls._signed_in(accounts.register(name=name, email=email, password=password), base_url, http_client)

    @classmethod
    async def login(
        cls, *, email: str, password: str, base_url: str, http_client: httpx.AsyncClient | None = None
    ) -> Self:
        """Sign in. Raises AuthenticationFailed, RateLimited."""
        return await cls._signed_in(accounts.login(email=email, password=password), base_url, http_client)

    @classmethod
    async def _signed_in(cls, call: Call[SignedIn], base_url: str, http_client: httpx.AsyncClient | None) -> Self:
        made = cls("", base_url=base_url, http_client=http_client)
        try:
            made.use_token((await made.run(call)).token)
        except BaseException:
            await made.aclose()
            raise
        return made

    async def change_password(self, *, current_password: str, new_password: str) -> None:
        """Change the password, and go on with a new token; every other one is revoked, ``with_options``'s copies' too.

        Raises AuthenticationFailed, RateLimited.
        """
        call = accounts.change_password(current_password=current_password, new_password=new_password)
        self.use_token((await self.run(call)).token)


class AsyncEvents(AsyncResource):
    """``dashboard.events``: the feed of public events."""

    list = WillList(dashboard.list_events)

    def __init__(
        self,
        client: RunsLater,
        begin: Callable[[Following], AsyncGenerator[FeedEvent, None]],
        setup: Callable[[], Setup],
    ) -> None:
        super().__init__(client)
        self._begin = begin
        self._setup = setup

    def stream(
        self,
        *,
        after: int | Literal["latest"] | None = None,
        types: Sequence[EventType] | None = None,
        retries: Retries = STREAM_RETRIES,
    ) -> AsyncGenerator[FeedEvent, None]:
        """Public events after that position, as they come, without an end: each once, also over broken connections.

        ``retries`` says how many connections may fail in a row. ``aclose()`` ends it (``contextlib.aclosing``). Raises
        AuthenticationFailed when the token ends, RateLimited, NoAnswer, UnreadableAnswer.
        """
        return self._begin(Following(self._setup(), after=after, types=types, retries=retries))
