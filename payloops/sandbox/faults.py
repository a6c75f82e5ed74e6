"""Faults on demand: a processor that hangs, drops the connection, fails, limits, or is slow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from typing import Final

from aiohttp import web

from payloops.sandbox.store import ArmedFault, Store

OPERATIONS: Final = (
    "payment.create",
    "payment.capture",
    "payment.cancel",
    "payment.get",
    "refund.create",
    "refund.get",
    "dispute.get",
)
"""The operations that a fault can be armed for."""

HOLD_S: Final = 60.0
"""How long a timed-out call is held open at most before its connection is dropped."""
SLOW_MS_DEFAULT: Final = 1000
SLOW_MS_MAX: Final = 60_000
TIMES_MAX: Final = 1_000_000
_CLOSE_WITH_RESET: Final = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    """What goes wrong. *before*: nothing was done; *after*: it was done and the answer is lost."""

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    HTTP_500 = "http_500"
    HTTP_429 = "http_429"
    SLOW = "slow"


class ConnectionLost(Exception):
    """The fault ended the connection; there is nobody left to answer."""


class FaultGate:
    """Counts every arrival of an operation and plays the faults that wait for it."""

    def __init__(self, store: Store, *, hold_s: float = HOLD_S) -> None:
        self._store = store
        self._hold_s = hold_s
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let go of every call that is held open."""
        self._closing.set()

    def arrive(self, account: str, operation: str) -> ArmedFault | None:
        """Count an arrival and spend the oldest fault armed for it, together or not at all."""
        with self._store.transaction():
            self._store.count_call(account, operation)
            return self._store.take_fault(account, operation)

    async def before(self, fault: ArmedFault, request: web.Request) -> None:
        """Play the part that comes before anything is done.

        :raises ConnectionLost: the call goes no further.
        """
        match Mode(fault.mode):
            case Mode.TIMEOUT_BEFORE:
                await self._hold(request)
            case Mode.RESET_BEFORE:
                _reset(request)
            case Mode.SLOW:
                await self._pause(fault.wait_ms / 1000)
            case _:
                return

    async def after(self, fault: ArmedFault, request: web.Request) -> None:
        """Play the part that comes when all is done and the answer is ready.

        :raises ConnectionLost: the answer is lost.
        """
        match Mode(fault.mode):
            case Mode.TIMEOUT_AFTER:
                await self._hold(request)
            case Mode.RESET_AFTER:
                _reset(request)
            case _:
                return

    async def _hold(self, request: web.Request) -> None:
        await self._pause(self._hold_s)
        _reset(request)

    async def _pause(self, duration_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._closing.wait()


def _reset(request: web.Request) -> None:
    """Drop the connection so that the peer sees a reset, not an orderly end."""
    transport = request.transport
    if transport is not None:
        peer = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
        transport.abort()
    raise ConnectionLost
