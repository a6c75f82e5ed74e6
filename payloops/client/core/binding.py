"""How a call becomes a method: once for both clients.

A call is a function that builds a ``Call``. ``Does(calls.get)`` in a resource of the sync client is a method with the
same parameters that gives the answer, ``WillDo(calls.get)`` one of the async client that is awaited for it; type
checkers see the parameters through ``ParamSpec``. What can be asked and how is written down once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from payloops.client.core.call import Call, Pages
from payloops.client.errors import UnreadableAnswer

P = ParamSpec("P")
T = TypeVar("T")
PageT = TypeVar("PageT")


class Runs(Protocol):
    """A client that runs a call to its end."""

    def run(self, call: Call[T]) -> T:
        """The call's answer."""
        ...


class RunsLater(Protocol):
    """An async client."""

    async def run(self, call: Call[T]) -> T:
        """The call's answer."""
        ...


class HasClient(Protocol):
    """What a method of the sync client is called on: a noun, or the client itself."""

    @property
    def client(self) -> Runs:
        """Runs its calls."""
        ...


class HasAsyncClient(Protocol):
    """What a method of the async client is called on."""

    @property
    def client(self) -> RunsLater:
        """Runs its calls."""
        ...


class Resource:
    """A noun of the sync client."""

    def __init__(self, client: Runs) -> None:
        self.client = client


class AsyncResource:
    """A noun of the async client."""

    def __init__(self, client: RunsLater) -> None:
        self.client = client


class Does(Generic[P, T]):
    """A method of the sync client that makes a call."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self.build = build
        self._shown = _shown(build, "Pager")

    def __get__(self, resource: HasClient, _owner: type) -> Callable[P, T]:
        @functools.wraps(self.build)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return resource.client.run(self.build(*args, **kwargs))

        vars(method)["__signature__"] = self._shown
        return method


class WillDo(Generic[P, T]):
    """A method of the async client that makes a call."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self.build = build
        self._shown = _shown(build, "Pager")

    def __get__(self, resource: HasAsyncClient, _owner: type) -> Callable[P, Awaitable[T]]:
        @functools.wraps(self.build)
        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await resource.client.run(self.build(*args, **kwargs))

        vars(method)["__signature__"] = self._shown
        return method


class Lists(Generic[P, T, PageT]):
    """A method of the sync client that gives a list."""

    def __init__(self, build: Callable[P, Pages[T, PageT]]) -> None:
        self.build = build
        self._shown = _shown(build, "Pager")

    def __get__(self, resource: HasClient, _owner: type) -> Callable[P, Pager[T, PageT]]:
        @functools.wraps(self.build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Pager[T, PageT]:
            return Pager(resource.client, self.build(*args, **kwargs))

        vars(method)["__signature__"] = self._shown
        return method


class WillList(Generic[P, T, PageT]):
    """A method of the async client that gives a list."""

    def __init__(self, build: Callable[P, Pages[T, PageT]]) -> None:
        self.build = build
        self._shown = _shown(build, "AsyncPager")

    def __get__(self, resource: HasAsyncClient, _owner: type) -> Callable[P, AsyncPager[T, PageT]]:
        @functools.wraps(self.build)
        def method(*args: P.args, **kwargs: P.kwargs) -> AsyncPager[T, PageT]:
            return AsyncPager(resource.client, self.build(*args, **kwargs))

        vars(method)["__signature__"] = self._shown
        return method


def _shown(build: Callable[..., Any], pager: str) -> inspect.Signature:
    """The signature for people: with what the method gives, not with what it is made of."""
    signature = inspect.signature(build)
    made = str(signature.return_annotation)
    given = made[len("Call[") : -1] if made.startswith("Call[") else made.replace("Pages[", f"{pager}[", 1)
    return signature.replace(return_annotation=given)


class Pager(Generic[T, PageT]):
    """A list: ``for item in pager`` asks for page after page as it gets to them; nothing is asked before."""

    def __init__(self, client: Runs, pages: Pages[T, PageT]) -> None:
        self._client = client
        self._pages = pages

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from self._pages.items(page)

    def pages(self) -> Iterator[PageT]:
        """Page by page."""
        call: Call[PageT] | None = self._pages.first
        while call is not None:
            page = self._client.run(call)
            yield page
            call = after(self._pages, call, page)

    def first_page(self) -> PageT:
        """The first page alone."""
        return self._client.run(self._pages.first)

    def first(self) -> T | None:
        """The first item alone; None of an empty list."""
        return next(iter(self._pages.items(self.first_page())), None)


class AsyncPager(Generic[T, PageT]):
    """A list: ``async for item in pager`` asks for page after page as it gets to them; nothing is asked before."""

    def __init__(self, client: RunsLater, pages: Pages[T, PageT]) -> None:
        self._client = client
        self._pages = pages

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in self._pages.items(page):
                yield item

    async def pages(self) -> AsyncIterator[PageT]:
        """Page by page."""
        call: Call[PageT] | None = self._pages.first
        while call is not None:
            page = await self._client.run(call)
            yield page
            call = after(self._pages, call, page)

    async def first_page(self) -> PageT:
        """The first page alone."""
        return await self._client.run(self._pages.first)

    async def first(self) -> T | None:
        """The first item alone; None of an empty list."""
        return next(iter(self._pages.items(await self.first_page())), None)


def after(pages: Pages[Any, PageT], call: Call[PageT], page: PageT) -> Call[PageT] | None:
    """The call for the page after this one. Raises UnreadableAnswer where that would be the same page for ever."""
    changes: Mapping[str, str] | None = pages.following(page)
    if changes is None:
        return None
    if all(call.query.get(name) == value for name, value in changes.items()):
        message = f"{call.method} {call.route} says that more follows, and leads to the same page"
        raise UnreadableAnswer(message, status=200, correlation_id=None)
    return replace(call, query={**call.query, **changes})
