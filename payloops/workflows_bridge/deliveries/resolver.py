"""Host names to addresses, each lookup in a thread of its own.

The event loop's own resolver has few threads for all names: some names that never resolve would hold up every other
lookup of the process. A thread here is a daemon, so that one that hangs does not hold up the process's end either.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS_MAX: Final = 64
ADDRESSES_MAX: Final = 16
"""More than that many addresses of one name are not tried."""

Lookup = Callable[[str], Sequence[str]]
"""Blocking: the addresses of a name, in the order in which they are to be tried. Raises OSError."""


def system_lookup(host: str) -> list[str]:
    """The system's resolver. It also reads the forms ``0x7f.1``, ``0177.1`` and ``2130706433`` as addresses."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


class Resolver(AbstractResolver):
    """For aiohttp. Nothing is kept: whoever asks while a name is being looked up shares that answer, no longer."""

    def __init__(self, lookup: Lookup = system_lookup, *, lookups_max: int = LOOKUPS_MAX) -> None:
        self._lookup = lookup
        self._free = asyncio.Semaphore(lookups_max)
        self._asked: dict[str, asyncio.Task[list[str]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See AbstractResolver. Raises OSError when the name has no address."""
        task = self._asked.get(host)
        if task is None:
            task = asyncio.create_task(self._ask(host), name="webhook-lookup")
            self._asked[host] = task
            task.add_done_callback(lambda done: self._forget(host, done))
        results: list[ResolveResult] = []
        for address in await asyncio.shield(task):
            found = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6  # noqa: PLR2004 - a version
            if family in (socket.AF_UNSPEC, found):
                results.append(
                    ResolveResult(
                        hostname=host, host=address, port=port, family=found, proto=0, flags=socket.AI_NUMERICHOST
                    )
                )
        if not results:
            raise OSError(None, "the name has no address")
        return results

    async def close(self) -> None:
        """Ask no more; a lookup under way ends by itself."""
        for task in list(self._asked.values()):
            task.cancel()

    def _forget(self, host: str, task: asyncio.Task[list[str]]) -> None:
        self._asked.pop(host, None)
        if not task.cancelled():
            # All who waited may be gone by now: then nobody else looks at what became of it.
            task.exception()

    async def _ask(self, host: str) -> list[str]:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def finish(addresses: Sequence[str], problem: OSError | None) -> None:
            self._free.release()
            if answer.done():
                return
            if problem is not None:
                answer.set_exception(problem)
            else:
                answer.set_result(list(addresses)[:ADDRESSES_MAX])

        def look_up() -> None:
            addresses: Sequence[str] = ()
            problem: OSError | None = None
            try:
                addresses = self._lookup(host)
            except OSError as trouble:
                problem = trouble
            except (UnicodeError, ValueError):
                problem = OSError(None, "the name can't be looked up")
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(finish, addresses, problem)

        threading.Thread(target=look_up, daemon=True, name="webhook-lookup").start()
        return await answer
