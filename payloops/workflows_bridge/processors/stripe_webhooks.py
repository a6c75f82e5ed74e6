"""Webhook endpoints in a merchant's Stripe account (https://docs.stripe.com/api/webhook_endpoints).

Stripe shows an endpoint's secret once, in the answer to its creation: one whose secret we don't hold is no use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import stripe

from payloops.commands.webhook_setup import EVENT_TYPES, HeldWebhook, NotRegistered, WebhookRegistration
from payloops.workflows_bridge.processors.stripe_replies import members
from payloops.workflows_bridge.processors.stripe_sdk import stripe_client
from payloops.workflows_bridge.processors.transport import (
    CredentialsRefused,
    MaybeExecuted,
    NotExecuted,
    Transport,
    UnreadableReply,
)

if TYPE_CHECKING:
    from stripe.params import (
        WebhookEndpointCreateParams,
        WebhookEndpointListParams,
        WebhookEndpointUpdateParams,
    )

ENDPOINTS_MAX: Final = 100
"""Stripe allows an account 16 of them."""
DESCRIPTION: Final = "PayLoops: payments, refunds and disputes"


class StripeWebhooks:
    """The endpoints of one account."""

    def __init__(self, secret_key: str, *, api_base: str, transport: Transport) -> None:
        self._endpoints = stripe_client(secret_key, api_base=api_base, transport=transport).v1.webhook_endpoints
        self._transport = transport

    async def register(self, url: str, held: HeldWebhook | None) -> WebhookRegistration:
        """See WebhookRegistrar."""
        try:
            with self._transport.one_ask():
                return await self._register(url, held)
        except CredentialsRefused:
            return NotRegistered("Stripe refused the secret key, or does not allow it to manage webhook endpoints.")
        except (NotExecuted, MaybeExecuted, UnreadableReply):
            return NotRegistered("Stripe did not answer; save the configuration again to try again.")
        except stripe.StripeError as refusal:
            return NotRegistered(refusal.user_message or "Stripe refused to register the address.")

    async def remove(self, endpoint_id: str) -> bool:
        """Whether it is gone."""
        with self._transport.one_ask():
            return await self._remove(endpoint_id)

    async def _remove(self, endpoint_id: str) -> bool:
        try:
            await self._endpoints.delete_async(endpoint_id)
        except stripe.InvalidRequestError as refusal:
            return refusal.code == "resource_missing"
        except (CredentialsRefused, NotExecuted, MaybeExecuted, UnreadableReply, stripe.StripeError):
            return False
        return True

    async def _register(self, url: str, held: HeldWebhook | None) -> WebhookRegistration:
        page = await self._endpoints.list_async(cast("WebhookEndpointListParams", {"limit": ENDPOINTS_MAX}))
        there = members(page)
        kept = next((one for one in there if held is not None and one.id == held.endpoint_id), None)
        if held is None or kept is None:
            registered = await self._create(url)
        else:
            registered = held
            await self._renew(kept, url)
        # First the new one, then the others go: no event falls between them. One that stays sends what is refused.
        for other in there:
            if other is not kept and getattr(other, "url", None) == url:
                await self._remove(other.id)
        return registered

    async def _create(self, url: str) -> HeldWebhook:
        params = {"url": url, "enabled_events": list(EVENT_TYPES["stripe"]), "description": DESCRIPTION}
        made = await self._endpoints.create_async(cast("WebhookEndpointCreateParams", params))
        if not made.id or not made.secret:
            raise UnreadableReply("no secret")
        return HeldWebhook(made.id, made.secret)

    async def _renew(self, kept: Any, url: str) -> None:
        """An endpoint keeps its secret whatever else changes of it.

        One of an earlier release may ask for less, one that failed for long is disabled by Stripe, and PUBLIC_URL may
        be another one than when it was registered.
        """
        events = EVENT_TYPES["stripe"]
        if (kept.url, set(kept.enabled_events), kept.status) == (url, set(events), "enabled"):
            return
        params = {"url": url, "enabled_events": list(events), "disabled": False}
        await self._endpoints.update_async(kept.id, cast("WebhookEndpointUpdateParams", params))
