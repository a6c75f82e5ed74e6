"""A sender for tests."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from payloops.values import SystemClock
from payloops.workflows_bridge.deliveries.resolver import Lookup, system_lookup
from payloops.workflows_bridge.deliveries.sender import Answer, Sender

BODY = b'{"id":"x"}'
HEADERS = {"X-Test": "1"}


@asynccontextmanager
async def sending(
    *,
    allow_loopback: bool = True,
    https_only: bool = False,
    timeout_s: float = 2.0,
    lookup: Lookup = system_lookup,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Callable[[str], Any]]:
    sender = Sender(
        SystemClock(),
        allow_loopback=allow_loopback,
        https_only=https_only,
        timeout_s=timeout_s,
        lookup=lookup,
        tls=tls,
    )
    await sender.open()

    async def send(url: str) -> Answer:
        return await sender.send(url, BODY, HEADERS)

    try:
        yield send
    finally:
        await sender.close()
