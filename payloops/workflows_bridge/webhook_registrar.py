"""Registering this service's address with processors, for the API. The SDK for it is imported when first needed."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakValueDictionary

from payloops.commands.webhook_setup import HeldWebhook, NotRegistered, WebhookRegistration
from payloops.errors import Overloaded

if TYPE_CHECKING:
    import aiohttp

    from payloops.workflows_bridge.processors.stripe_webhooks import StripeWebhooks

ASK_TIMEOUT_S: Final = 10.0
"""A merchant waits for the registration; it takes three requests at most."""
TURN_TIMEOUT_S: Final = 15.0

_SDK_MODULE: Final = "payloops.workflows_bridge.processors.stripe_webhooks"
_STRIPE_DOMAIN: Final = "stripe.com"

_log = logging.getLogger(__name__)


class ProcessorWebhooks:
    """A WebhookRegistrar. ``close`` at the end."""

    def __init__(self, *, stripe_api_base: str, timeout_s: float = ASK_TIMEOUT_S) -> None:
        self._stripe_api_base = stripe_api_base
        self._timeout_s = min(timeout_s, ASK_TIMEOUT_S)
        self._http: aiohttp.ClientSession | None = None
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        """Close the HTTP session, if there is one."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    def obstacle(self, url: str) -> str | None:
        """The simulator is on this machine; Stripe itself needs an address on the internet, over TLS."""
        host = urlsplit(self._stripe_api_base).hostname or ""
        if host != _STRIPE_DOMAIN and not host.endswith(f".{_STRIPE_DOMAIN}"):
            return None
        if _is_local(urlsplit(url).hostname or ""):
            return "Stripe can't reach this machine: set PUBLIC_URL to the address by which the internet reaches it."
        if not url.startswith("https://"):
            return "Stripe sends events over https only: set PUBLIC_URL to an https address."
        return None

    @asynccontextmanager
    async def turn(self, merchant_id: UUID) -> AsyncIterator[None]:
        """See WebhookRegistrar. Raises Overloaded when those before take too long."""
        lock = self._turns.setdefault(merchant_id, asyncio.Lock())
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await lock.acquire()
        except TimeoutError:
            raise Overloaded(
                "Another change of this account's processors takes long; send the request again."
            ) from None
        try:
            yield
        finally:
            lock.release()

    async def register(self, secret_key: str, url: str, held: HeldWebhook | None) -> WebhookRegistration:
        """See WebhookRegistrar."""
        try:
            return await (await self._account(secret_key)).register(url, held)
        except Exception:  # noqa: BLE001 - the configuration is saved whatever a registration comes to
            _log.exception("registering a webhook endpoint failed")
            return NotRegistered("The address could not be registered; save the configuration again to try again.")

    async def remove(self, secret_key: str, endpoint_id: str) -> None:
        """See WebhookRegistrar."""
        try:
            gone = await (await self._account(secret_key)).remove(endpoint_id)
        except Exception:  # noqa: BLE001 - what is left behind sends events that are refused, no more
            _log.exception("removing the webhook endpoint %s failed", endpoint_id)
            return
        if not gone:
            _log.warning("the webhook endpoint %s could not be removed at the processor", endpoint_id)

    async def _account(self, secret_key: str) -> StripeWebhooks:
        # Half a second of imports, in a thread: other requests go on meanwhile.
        module = await asyncio.to_thread(importlib.import_module, _SDK_MODULE)
        from payloops.workflows_bridge.processors.transport import Transport, processor_session  # noqa: PLC0415

        if self._http is None:
            self._http = processor_session(connections_max=10)
        transport = Transport(self._http, timeout_s=self._timeout_s)
        account: StripeWebhooks = module.StripeWebhooks(secret_key, api_base=self._stripe_api_base, transport=transport)
        return account


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
