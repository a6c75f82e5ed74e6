"""The clients that wait: ``PayLoops`` by API key, ``Dashboard`` by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar

import httpx

from payloops.client import resources
from payloops.client.base import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, BaseClient, BaseDashboard, bearer
from payloops.client.calls import accounts, dashboard
from payloops.client.core.binding import Does, Lists, Resource, Runs
from payloops.client.core.call import Call
from payloops.client.core.exchange import Answer, Broken, Outcome, Pause, Request, Setup, Steps, exchange
from payloops.client.core.retries import Retries
from payloops.client.feed import STREAM_RETRIES, Following
from payloops.client.models.accounts import SignedIn
from payloops.client.models.webhooks import EventType, FeedEvent
from payloops.client.transport import Body, answer_of, broken, options_of

T = TypeVar("T")


def send(http: httpx.Client, request: Request) -> Answer | Broken:
    """One attempt."""
    try:
        with http.stream(request.method, request.url, **options_of(request)) as response:
            return answer_of(response, _body_of(response))
    except httpx.RequestError as problem:
        return broken(problem, request)


def _body_of(response: httpx.Response) -> bytes:
    body = Body()
    for chunk in response.iter_bytes():
        if not body.add(chunk):
            break
    return body.whole()


def drive(http: httpx.Client, steps: Steps[T]) -> T:
    """Do what the steps say, to their end."""
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Pause):
                outcome = None
                time.sleep(step.seconds)
            else:
                outcome = send(http, step)
    except StopIteration as end:
        value: T = end.value
        return value


def follow(http: httpx.Client, setup: Setup, following: Following) -> Generator[FeedEvent, None, None]:
    """The feed, opened again whenever it breaks."""
    first = following.where_from()
    if first is not None:
        following.begin_after(drive(http, exchange(first, setup)))
    while True:
        request = following.request()
        outcome: Outcome = None
        opened = False
        try:
            with http.stream(request.method, request.url, **options_of(request)) as response:
                opened = following.is_open(answer_of(response))
                if opened:
                    for chunk in response.iter_bytes():
                        yield from following.take(chunk)
                else:
                    outcome = answer_of(response, _body_of(response))
        except httpx.RequestError as problem:
            outcome = None if opened else broken(problem, request)
        time.sleep(following.pause(outcome).seconds)


class _Http:
    """Connections, and what is done over them."""

    _http: httpx.Client
    _owns_http: bool
    _setup: Setup

    def run(self, call: Call[T]) -> T:
        """Make a call. Raises ApiError, NoAnswer, UnreadableAnswer."""
        return drive(self._http, exchange(call, self._setup))

    def close(self) -> None:
        """Close the connections. An ``http_client`` that was given stays open: it is the giver's."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PayLoops(_Http, BaseClient):
    """A merchant's server, by API key.

    Used so::

        with PayLoops("sk_test_…", base_url="https://pay.example") as client:
            order = client.orders.create(2599, currency="USD")

    ``timeout_s`` is for each wait on the connection (``wait=`` comes on top), ``correlation_id`` goes with each request
    and into every log line of it, ``http_client`` brings proxies, certificates or hooks of your own. Threads may share
    one. Raises ValueError for options that can't work.
    """

    orders: resources.Orders
    checkout_sessions: resources.CheckoutSessions

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries = DEFAULT_RETRIES,
        correlation_id: str | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        setup = Setup(base_url, {"X-API-Key": api_key}, timeout_s, retries, correlation_id)
        self._http = http_client or httpx.Client()
        super().__init__(setup, owns_http=http_client is None)

    def _bind(self) -> None:
        self.orders = resources.Orders(self)
        self.checkout_sessions = resources.CheckoutSessions(self)


class Dashboard(_Http, BaseDashboard):
    """A person at the dashboard, by token: ``Dashboard.login(email=…, password=…, base_url=…)``.

    Its options are those of PayLoops.
    """

    me: resources.Me
    api_keys: resources.ApiKeys
    processors: resources.Processors
    processor_events: resources.ProcessorEvents
    webhook_endpoints: resources.WebhookEndpoints
    webhook_deliveries: resources.WebhookDeliveries
    orders: resources.DashboardOrders
    events: Events
    stats = Does(dashboard.stats)
    audit = Lists(dashboard.audit)
    logout = Does(accounts.logout)

    def __init__(
        self,
        token: str,
        *,
        base_url: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries = DEFAULT_RETRIES,
        correlation_id: str | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        setup = Setup(base_url, bearer(token), timeout_s, retries, correlation_id)
        self._http = http_client or httpx.Client()
        super().__init__(setup, owns_http=http_client is None)

    def _bind(self) -> None:
        self.me = resources.Me(self)
        self.api_keys = resources.ApiKeys(self)
        self.processors = resources.Processors(self)
        self.processor_events = resources.ProcessorEvents(self)
        self.webhook_endpoints = resources.WebhookEndpoints(self)
        self.webhook_deliveries = resources.WebhookDeliveries(self)
        self.orders = resources.DashboardOrders(self)
        self.events = Events(self, lambda following: follow(self._http, self._setup, following), self.setup)

    @classmethod
    def register(
        cls, *, name: str, email: str, password: str, base_url: str, http_client: httpx.Client | None = None
    ) -> Self:
        """Make an account, and sign in. Raises InvalidRequest (``email_exists``), RateLimited."""
        return cls._signed_in(accounts.register(name=name, email=email, password=password), base_url, http_client)

    @classmethod
    def login(cls, *, email: str, password: str, base_url: str, http_client: httpx.Client | None = None) -> Self:
        """Sign in. Raises AuthenticationFailed, RateLimited."""
        return cls._signed_in(accounts.login(email=email, password=password), base_url, http_client)

    @classmethod
    def _signed_in(cls, call: Call[SignedIn], base_url: str, http_client: httpx.Client | None) -> Self:
        made = cls("", base_url=base_url, http_client=http_client)
        try:
            made.use_token(made.run(call).token)
        except BaseException:
            made.close()
            raise
        return made

    def change_password(self, *, current_password: str, new_password: str) -> None:
        """Change the password, and go on with a new token; every other one is revoked, ``with_options``'s copies' too.

        Raises AuthenticationFailed, RateLimited.
        """
        call = accounts.change_password(current_password=current_password, new_password=new_password)
        self.use_token(self.run(call).token)


class Events(Resource):
    """``dashboard.events``: the feed of public events."""

    list = Lists(dashboard.list_events)

    def __init__(
        self,
        client: Runs,
        begin: Callable[[Following], Generator[FeedEvent, None, None]],
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
    ) -> Generator[FeedEvent, None, None]:
        """Public events after that position, as they come, without an end: each once, also over broken connections.

        ``retries`` says how many connections may fail in a row. ``close()`` ends it (``contextlib.closing``). Raises
        AuthenticationFailed when the token ends, RateLimited, NoAnswer, UnreadableAnswer.
        """
        return self._begin(Following(self._setup(), after=after, types=types, retries=retries))
