"""Stripe's SDK, made to send over our transport and to keep quiet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import stripe
from multidict import CIMultiDict
from stripe import _util as sdk_util

from payloops.workflows_bridge.processors.transport import Transport

_REQUEST_HEADERS: Final = ("Authorization", "Idempotency-Key", "Content-Type", "Stripe-Version")
_REPLY_HEADERS: Final = ("Request-Id",)


def stripe_client(secret_key: str, *, api_base: str, transport: Transport) -> stripe.StripeClient:
    """A client of one account that retries nothing, logs nothing and tells Stripe nothing about this machine."""
    _quieten_sdk()
    return stripe.StripeClient(
        secret_key,
        base_addresses={"api": api_base.rstrip("/")},
        http_client=_SharedSession(transport),
        max_network_retries=0,
    )


class _SharedSession(stripe.HTTPClient):
    """The SDK's HTTP client, over our transport: only the headers that the API needs go out and come back.

    Headers that describe this machine stay here, and ``Stripe-Notice`` in an answer stays out: the SDK makes a warning
    of it, and so would let the other side write into our log.
    """

    name = "aiohttp"

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        reply = await self._transport.send(
            method.upper(),
            url,
            headers={name: headers[name] for name in _REQUEST_HEADERS if name in headers},
            body=post_data,
        )
        kept = CIMultiDict((name, reply.headers[name]) for name in _REPLY_HEADERS if name in reply.headers)
        return reply.body, reply.status, kept

    async def close_async(self) -> None:
        """The session belongs to whoever made it."""


def _quieten_sdk() -> None:
    """It would log every body at debug level, to stderr as well when STRIPE_LOG says so, and send timings to Stripe."""
    stripe.enable_telemetry = False
    stripe.log = None
    sdk_util.STRIPE_LOG = None
    logging.getLogger("stripe").setLevel(logging.WARNING)
